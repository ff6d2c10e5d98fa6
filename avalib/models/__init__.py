"""The networks.

detector, resnet3d, losses: the published definition. build, checkpoint, checkpoint_file, checkpoint_meta: weights.
fused, export, summary: faster inference, files for other programs, tables. cpu/: faster forms of the layers.
"""

from avalib.models.detector import Detector

__all__ = [
    "Detector",
]
