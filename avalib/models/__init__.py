"""The networks: the published definition, checkpoints, fused inference, export, tables; cpu/ has faster forms."""

from avalib.models.detector import Detector

__all__ = [
    "Detector",
]
