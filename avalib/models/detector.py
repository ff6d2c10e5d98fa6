"""The detector as published: backbone, RoIAlign, classifier. `model(clips, rois) -> logits`.

Module names (`roi_head.bbox_head.fc_cls`) are fixed by the keys of the published state_dicts.
Source: MMAction2 v0.10.0 (fast_rcnn.py, single_straight3d.py, bbox_head.py).
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import roi_align

from avalib.data.labels import N_ACTIONS
from avalib.models.resnet3d import SlowFast, SlowOnly, init_backbone
from avalib.models.vit import VisionTransformer

FEATURE_STRIDE = 16  # input pixels per cell of the feature maps
ROI_SIZE = 8  # bins of RoIAlign, down and across


def build_backbone(entry):
    """The backbone that a zoo entry names."""
    if entry.backbone == "SlowOnly":
        return SlowOnly(entry.depth)
    if entry.backbone == "SlowFast":
        return SlowFast(entry.depth, entry.resample_rate, entry.speed_ratio, entry.channel_ratio, entry.fusion_kernel)
    if entry.backbone == "ViT":
        return VisionTransformer(entry)
    raise ValueError(f"backbone {entry.backbone!r}: the zoo has SlowOnly, SlowFast and ViT")


class BBoxHead(nn.Module):
    """RoI features (N,C,8,8) -> logits (N, n_classes + 1): dropout on every element, spatial max, one linear layer."""

    def __init__(self, channels, dropout=0.5, n_classes=N_ACTIONS):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc_cls = nn.Linear(channels, n_classes + 1)

    def forward(self, features):
        # not adaptive_max_pool2d: torch 2.11's ONNX lacks it, and its gradient is not deterministic on a GPU
        x = self.dropout(features).flatten(2).max(dim=2).values  # (N,C)
        return self.fc_cls(x)


class RoIHead(nn.Module):
    """Feature maps and boxes -> logits. `context` appends an 8x8 average of the whole map to each RoI's features."""

    def __init__(self, channels, context, dropout=0.5, n_classes=N_ACTIONS):
        super().__init__()
        self.context = context
        self.bbox_head = BBoxHead(2 * channels if context else channels, dropout, n_classes)

    def average_time(self, maps):
        """[(B,C_i,T_i,H/16,W/16)] -> (B,C,H/16,W/16): the means over time of all pathways, concatenated."""
        return torch.cat([m.mean(dim=2) for m in maps], dim=1)

    def align(self, features, rois):
        """RoIAlign, average mode, half-pixel shift, adaptive sampling: (B,C,H/16,W/16), (N,5) -> (N,C,8,8)."""
        return roi_align(features, rois, ROI_SIZE, 1 / FEATURE_STRIDE, sampling_ratio=0, aligned=True)

    def extract_roi_features(self, maps, rois):
        """maps: list of (B,C_i,T_i,H/16,W/16); rois (N,5) in input pixels -> (N,C,8,8) float32 (or float64)."""
        x = self.average_time(maps)
        x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        features = self.align(x, rois.to(x.dtype))  # (N,C,8,8)
        if self.context:
            whole_picture = F.adaptive_avg_pool2d(x, ROI_SIZE)  # (B,C,8,8)
            features = torch.cat([features, whole_picture[rois[:, 0].long()]], dim=1)
        return features

    def forward(self, maps, rois):
        return self.bbox_head(self.extract_roi_features(maps, rois))


class Detector(nn.Module):
    """One network of the zoo: (clips, rois) -> logits.

    Parameters
    ----------
    entry : ZooEntry
        The architecture.
    dropout : float
        In the classifier, 0..1.
    zero_init_residual : bool
        Initialize the last batch norm of each bottleneck with weight 0.
    fc_bias : float or sequence of float
        Initial biases of the classifier.
    n_classes : int
        Classes without the reserved column 0; AVA's 80 by default.
    """

    def __init__(self, entry, dropout=0.5, zero_init_residual=True, fc_bias=0.0, n_classes=N_ACTIONS):
        super().__init__()
        self.entry = entry
        self.backbone = build_backbone(entry)
        self.roi_head = RoIHead(self.backbone.out_channels, entry.context, dropout, n_classes)
        if entry.backbone != "ViT":
            init_backbone(self.backbone, zero_init_residual)
        self.init_classifier(fc_bias)

    def init_classifier(self, bias=0.0):
        """Classifier weights normal with std 0.01, biases `bias` (a float, or one per column)."""
        fc = self.roi_head.bbox_head.fc_cls
        nn.init.normal_(fc.weight, 0.0, 0.01)
        with torch.no_grad():
            fc.bias.copy_(torch.as_tensor(bias, dtype=fc.bias.dtype).expand_as(fc.bias))

    def forward(self, clips, rois):
        """Logits of all boxes.

        Parameters
        ----------
        clips : Tensor
            (B,3,T,H,W) float, normalized (transforms.normalize_clips); T = entry.clip_len.
        rois : Tensor
            (N,5) float [batch index, x1, y1, x2, y2] in input pixels; N may be 0.

        Returns
        -------
        Tensor
            Logits (N, n_classes + 1), for AVA (N,81). Column 0 is reserved, column i is action_id i; scores are their
            sigmoid.

        Raises
        ------
        ValueError
            For other shapes.
        """
        self.check_inputs(clips, rois)
        return self.roi_head(self.backbone(clips), rois)

    def check_inputs(self, clips, rois):
        """Raise ValueError for other shapes than `forward` takes."""
        if clips.dim() != 5 or clips.shape[1] != 3 or clips.shape[2] != self.entry.clip_len:
            raise ValueError(
                f"{self.entry.alias} takes clips (B,3,{self.entry.clip_len},H,W), got {tuple(clips.shape)}"
            )
        if rois.dim() != 2 or rois.shape[1] != 5:
            raise ValueError(f"expected rois (N,5) [batch index, x1, y1, x2, y2], got {tuple(rois.shape)}")
