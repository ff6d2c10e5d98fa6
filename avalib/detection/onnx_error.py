"""The error of person detectors in ONNX files."""

from avalib.utils.errors import AvalibError


class OnnxDetectorError(AvalibError, ValueError):
    """An ONNX file cannot be used as a person detector; the message says why."""
