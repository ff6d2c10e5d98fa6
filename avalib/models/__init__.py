"""The networks.

detector, resnet3d, vit, roi_head, losses: the published definition. key_names: the names of tensors in each code base's
files. build, checkpoint, checkpoint_entry, checkpoint_file, checkpoint_meta, caffe2_names, classifier_check: weights.
fused, export, summary: faster inference, files for other programs, tables. cpu/: faster forms of the layers.
"""

from avalib.models.detector import Detector

__all__ = [
    "Detector",
]
