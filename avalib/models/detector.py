"""The detector as published: backbone, RoIAlign, classifier. `model(clips, rois) -> logits`.

Source: MMAction2 v0.10.0 (fast_rcnn.py).
"""

import torch
from torch import nn

from avalib.data.labels import N_ACTIONS
from avalib.models.key_names import use_published_keys
from avalib.models.resnet3d import SlowFast, SlowOnly, init_backbone
from avalib.models.roi_head import RoIHead
from avalib.models.vit import VisionTransformer
from avalib.utils.boxes import extend_boxes


def build_backbone(entry):
    """The backbone that a zoo entry names."""
    if entry.backbone == "SlowOnly":
        return SlowOnly(entry)
    if entry.backbone == "SlowFast":
        return SlowFast(entry)
    if entry.backbone == "ViT":
        return VisionTransformer(entry)
    raise ValueError(f"backbone {entry.backbone!r}: the zoo has SlowOnly, SlowFast and ViT")


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
        self.roi_head = RoIHead(self.backbone.out_channels, entry, dropout, n_classes)
        if entry.backbone != "ViT":
            init_backbone(self.backbone, zero_init_residual)
        self.init_classifier(fc_bias)
        use_published_keys(self)

    @property
    def n_classes(self):
        """Classes without the reserved column 0; logits have one column more."""
        return self.roi_head.bbox_head.n_classes

    def init_classifier(self, bias=0.0):
        """Classifier weights as the entry says, biases `bias` (a float, or one for each column of the logits)."""
        # weights of all its linear layers
        head = self.roi_head.bbox_head
        for layer in head.fc_cls.modules():
            if isinstance(layer, nn.Linear):
                if self.entry.head_init == "xavier":
                    nn.init.xavier_normal_(layer.weight)
                else:
                    nn.init.normal_(layer.weight, 0.0, 0.01)
                nn.init.zeros_(layer.bias)
        # biases of the last one, (n_classes + 1,) with the reserved column 0
        biases = torch.as_tensor(bias, dtype=head.classifier.bias.dtype).expand(self.n_classes + 1)
        with torch.no_grad():
            head.classifier.bias.copy_(biases if head.reserved_column else biases[1:])

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
        return self.roi_head(self.backbone(clips), self.prepare_rois(rois, clips))

    def prepare_rois(self, rois, clips):
        """The boxes that RoIAlign takes: widened if the entry says so."""
        if self.entry.box_extension is None:
            return rois
        # (N,4) boxes, widened; then (N,5) again with their batch index
        height, width = clips.shape[3:]
        boxes_px = extend_boxes(rois[:, 1:], self.entry.box_extension, width, height)
        return torch.cat([rois[:, :1], boxes_px], dim=1)

    def check_inputs(self, clips, rois):
        """Raise ValueError for other shapes than `forward` takes."""
        if clips.dim() != 5 or clips.shape[1] != 3 or clips.shape[2] != self.entry.clip_len:
            raise ValueError(
                f"{self.entry.alias} takes clips (B,3,{self.entry.clip_len},H,W), got {tuple(clips.shape)}"
            )
        if rois.dim() != 2 or rois.shape[1] != 5:
            raise ValueError(f"expected rois (N,5) [batch index, x1, y1, x2, y2], got {tuple(rois.shape)}")
