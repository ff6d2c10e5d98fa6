"""The networks: resnet3d (both pathways), detector (RoI head), targets (which boxes train, and the loss)."""

from avalib.models.detector import Detector

__all__ = [
    "Detector",
]
