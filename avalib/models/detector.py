"""The detector: backbone, RoIAlign, classifier. `model(clips, rois) -> logits`.

Source: MMAction2 v0.10.0 (fast_rcnn.py, single_straight3d.py, bbox_head.py), ARCHITECTURE in the zoo entry's source.
"""

import torch
import torch.nn.functional as F
from torch import nn

from avalib.data.labels import N_ACTIONS
from avalib.models.resnet3d import SlowFast, SlowOnly, init_backbone
from avalib.models.roi_align import SIZE, roi_align

STRIDE = 16  # input pixels per feature cell


def build_backbone(entry):
    """The backbone that a zoo entry names."""
    if entry.backbone == "SlowOnly":
        return SlowOnly(entry.depth)
    if entry.backbone == "SlowFast":
        return SlowFast(entry.depth, entry.resample_rate, entry.speed_ratio, entry.channel_ratio, entry.fusion_kernel)
    raise ValueError(f"backbone {entry.backbone!r}: the zoo has SlowOnly and SlowFast")


class BBoxHead(nn.Module):
    """RoI features (N,C,8,8) -> logits (N,81): dropout on every element, spatial max, one linear layer."""

    def __init__(self, channels, dropout=0.5, n_classes=N_ACTIONS):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc_cls = nn.Linear(channels, n_classes + 1)

    def pool(self, features):
        """(N,C,8,8) -> (N,C), what enters the classifier."""
        # not adaptive_max_pool2d: torch 2.11's ONNX lacks it, and its gradient is not deterministic on a GPU
        return self.dropout(features).flatten(2).max(dim=2).values

    def forward(self, features):
        return self.fc_cls(self.pool(features))


class RoIHead(nn.Module):
    """Feature maps and boxes -> logits. `context` appends an 8x8 average of the whole map to every RoI's features."""

    def __init__(self, channels, context, dropout=0.5, n_classes=N_ACTIONS):
        super().__init__()
        self.context = context
        self.bbox_head = BBoxHead(2 * channels if context else channels, dropout, n_classes)

    def roi_features(self, maps, rois):
        """maps: list of (B,C_i,T_i,H/16,W/16); rois (N,5) in input pixels -> (N,C,8,8) float32 (or float64)."""
        # mean over time with channels last, as they lie in memory: over (B,C,T,…) it takes twenty times as long
        x = torch.cat([m.permute(0, 2, 3, 4, 1).mean(dim=1) for m in maps], dim=-1)
        x = x.permute(0, 3, 1, 2)  # (B,C,H/16,W/16)
        x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        features = roi_align(x, rois.to(x.dtype), 1 / STRIDE)
        if self.context:
            everywhere = F.adaptive_avg_pool2d(x, SIZE)[rois[:, 0].long()]
            features = torch.cat([features, everywhere], dim=1)
        return features

    def forward(self, maps, rois):
        return self.bbox_head(self.roi_features(maps, rois))


class Detector(nn.Module):
    """One row of the zoo.

    clips (B,3,T,H,W) float, normalised (transforms.normalise); T = entry.clip_len.
    rois  (N,5) float [batch index, x1, y1, x2, y2] in input pixels; N may be 0.
    -> logits (N,81); column 0 is reserved, column i is action_id i; scores are logits.sigmoid(). With n_classes of
    one's own there are n_classes + 1 columns.
    Raises ValueError for other shapes.
    """

    def __init__(self, entry, dropout=0.5, zero_init_residual=True, fc_bias=0.0, n_classes=N_ACTIONS):
        super().__init__()
        self.entry = entry
        self.backbone = build_backbone(entry)
        self.roi_head = RoIHead(self.backbone.out_channels, entry.context, dropout, n_classes)
        init_backbone(self.backbone, zero_init_residual)
        self.init_classifier(fc_bias)

    def init_classifier(self, bias=0.0):
        """Classifier weights normal with std 0.01, biases `bias` (a float, or one per column)."""
        fc = self.roi_head.bbox_head.fc_cls
        nn.init.normal_(fc.weight, 0.0, 0.01)
        with torch.no_grad():
            fc.bias.copy_(torch.as_tensor(bias, dtype=fc.bias.dtype).expand_as(fc.bias))

    def forward(self, clips, rois):
        self.check(clips, rois)
        maps = self.backbone(clips.contiguous(memory_format=torch.channels_last_3d))
        return self.roi_head(maps, rois)

    def check(self, clips, rois):
        """Raise ValueError for other shapes than `forward` takes."""
        if clips.dim() != 5 or clips.shape[1] != 3 or clips.shape[2] != self.entry.clip_len:
            raise ValueError(
                f"{self.entry.alias} takes clips (B,3,{self.entry.clip_len},H,W), got {tuple(clips.shape)}"
            )
        if rois.dim() != 2 or rois.shape[1] != 5:
            raise ValueError(f"expected rois (N,5) [batch index, x1, y1, x2, y2], got {tuple(rois.shape)}")
