"""From feature maps and boxes to logits: mean or maximum over time, RoIAlign, classifier.

Module names (`bbox_head.fc_cls`, `shared_head`) are fixed by the keys of the published state_dicts.
Source: MMAction2 v0.10.0 and 1.x (single_straight3d.py, bbox_head.py), PySlowFast head_helper.py.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import roi_align

from avalib.data.labels import N_ACTIONS
from avalib.models.relation import RelationHead
from avalib.zoo.entry import ZooEntry

FEATURE_STRIDE = 16  # input pixels per cell of the feature maps
RESERVED_LOGIT = -20.0  # of column 0 in models whose classifier starts with action 1: a score of 2e-9


class BBoxHead(nn.Module):
    """RoI features (N,C,h,w) -> logits (N, n_classes + 1): dropout, spatial max, one or two linear layers.

    Parameters
    ----------
    channels : int
        C.
    entry : ZooEntry
        head_width, dropout_first, reserved_column.
    dropout : float
        0..1; on every element before the maximum, or on the C maxima (dropout_first=False).
    n_classes : int
        Classes without the reserved column 0.
    """

    def __init__(self, channels: int, entry: ZooEntry, dropout: float = 0.5, n_classes: int = N_ACTIONS):
        super().__init__()
        self.n_classes = n_classes
        self.dropout_first = entry.dropout_first
        self.reserved_column = entry.reserved_column
        self.dropout = nn.Dropout(dropout)
        n_outputs = n_classes + 1 if entry.reserved_column else n_classes
        if entry.head_width is None:
            self.fc_cls = nn.Linear(channels, n_outputs)
        else:
            hidden = nn.Linear(channels, entry.head_width)
            self.fc_cls = nn.Sequential(hidden, nn.ReLU(), nn.Linear(entry.head_width, n_outputs))

    @property
    def classifier(self):
        """The last linear layer."""
        return self.fc_cls if isinstance(self.fc_cls, nn.Linear) else self.fc_cls[-1]

    def forward(self, features):
        if self.dropout_first:
            features = self.dropout(features)
        # not adaptive_max_pool2d: torch 2.11's ONNX lacks it, and its gradient is not deterministic on a GPU
        x = features.flatten(2).max(dim=2).values  # (N,C)
        if not self.dropout_first:
            x = self.dropout(x)
        logits = self.fc_cls(x)
        # column i is action_id i in every model
        return logits if self.reserved_column else F.pad(logits, (1, 0), value=RESERVED_LOGIT)


class RoIHead(nn.Module):
    """Feature maps and boxes -> logits.

    Parameters
    ----------
    channels : int
        Of the maps of all pathways together.
    entry : ZooEntry
        temporal_pool, roi_size, roi_aligned; context: append an average of the whole map to each RoI's features;
        relation: classify the RelationHead's maps instead of the RoI's features.
    dropout : float
        In the classifier, 0..1.
    n_classes : int
        Classes without the reserved column 0.
    """

    def __init__(self, channels: int, entry: ZooEntry, dropout: float = 0.5, n_classes: int = N_ACTIONS):
        super().__init__()
        self.context = entry.context
        self.temporal_pool = entry.temporal_pool
        self.roi_size = entry.roi_size
        self.roi_aligned = entry.roi_aligned
        self.shared_head = RelationHead(channels) if entry.relation else None
        self.bbox_head = BBoxHead(2 * channels if entry.context else channels, entry, dropout, n_classes)

    @property
    def sees_whole_picture(self):
        """Whether a box's logits depend on cells outside of it."""
        return self.context or self.shared_head is not None

    def pool_time(self, maps):
        """[(B,C_i,T_i,H/16,W/16)] -> (B,C,H/16,W/16): means or maxima over time of all pathways, concatenated."""
        if self.temporal_pool == "max":
            return torch.cat([m.amax(dim=2) for m in maps], dim=1)
        return torch.cat([m.mean(dim=2) for m in maps], dim=1)

    def align(self, features, rois):
        """RoIAlign, average mode, adaptive sampling: (B,C,H/16,W/16), (N,5) -> (N,C,roi_size,roi_size)."""
        return roi_align(features, rois, self.roi_size, 1 / FEATURE_STRIDE, sampling_ratio=0, aligned=self.roi_aligned)

    def extract_roi_features(self, maps, rois):
        """Features of all boxes.

        Parameters
        ----------
        maps : list of Tensor
            (B,C_i,T_i,H/16,W/16), one for each pathway.
        rois : Tensor
            (N,5) in input pixels.

        Returns
        -------
        Tensor
            (N,C,roi_size,roi_size), or (N,C,H/16,W/16) with `relation`; float32 (or float64).
        """
        # one map for each clip (B,C,H/16,W/16), in full precision
        x = self.pool_time(maps)
        x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        picture_index = rois[:, 0].long()  # (N,)
        # (N,C,roi_size,roi_size), then what is added to it or computed from it
        features = self.align(x, rois.to(x.dtype))
        if self.context:
            whole_picture = F.adaptive_avg_pool2d(x, self.roi_size)  # (B,C,8,8)
            features = torch.cat([features, whole_picture[picture_index]], dim=1)
        if self.shared_head is not None:
            features = self.shared_head(features, x, picture_index)
        return features

    def forward(self, maps, rois):
        return self.bbox_head(self.extract_roi_features(maps, rois))
