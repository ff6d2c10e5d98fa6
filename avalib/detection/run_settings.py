"""What a folder of detections was computed with: written at the first run, compared at the next ones."""

import hashlib
import json
from pathlib import Path

import torch

from avalib.detection.detect_settings import DetectSettings
from avalib.detection.onnx_detector import OnnxDetector
from avalib.detection.person_detector import PersonDetector
from avalib.detection.torchvision_detectors import TorchvisionDetector
from avalib.detection.video_detector import VideoDetector
from avalib.utils.credentials import hide_credentials
from avalib.utils.errors import AvalibError
from avalib.utils.experiment import get_versions
from avalib.utils.files import compute_sha256, write_json

SETTINGS_NAME = "settings.json"
# Where the weights are from, as their hashes count; and threads, which change the last digits on a CPU alone.
_NOT_COMPARED = ("checkpoint", "detector_weights", "threads")


class SettingsError(AvalibError, ValueError):
    """The folder has results of other settings; the message names them and says what to do."""


def describe_settings(settings: DetectSettings, detector: VideoDetector, threads: int) -> dict:
    """Describe what the results depend on.

    Parameters
    ----------
    settings : DetectSettings
    detector : VideoDetector
        Loaded with these settings.
    threads : int
        Of each process.

    Returns
    -------
    dict
        Plain values, for json.
    """
    person_detector = detector.person_detector
    return {
        "model": detector.loaded.action_model.entry.name,
        "checkpoint": hide_credentials(str(settings.checkpoint)),
        "checkpoint_sha256": compute_weights_sha256(detector.loaded.action_model),
        "detector": person_detector.name,
        "detector_step": settings.detector_step,
        "detector_weights": hide_credentials(str(settings.detector_weights)),
        "detector_sha256": compute_person_detector_sha256(person_detector),
        "person_score": person_detector.person_score,
        "step": settings.step,
        "start": settings.start,
        "stop": settings.stop,
        "smooth": settings.smooth,
        "score_threshold": settings.score_threshold,
        "batch_size": detector.batch_size,
        "stretch_len": settings.stretch_len,
        "threads": threads,
        "precision": str(detector.loaded.dtype).removeprefix("torch."),
    }


def compute_person_detector_sha256(person_detector: PersonDetector) -> str | None:
    """Compute the SHA-256 of a person detector's weights, or of its ONNX file; None for a function of the user's."""
    detect_boxes = person_detector.detect_boxes
    if isinstance(detect_boxes, TorchvisionDetector):
        return compute_weights_sha256(detect_boxes.network)
    if isinstance(detect_boxes, OnnxDetector):
        return compute_sha256(detect_boxes.path)
    return None


def compute_weights_sha256(model: torch.nn.Module) -> str:
    """Compute the SHA-256 of a model's weights: names and values, whatever file they are from."""
    digest = hashlib.sha256()
    # The bytes of each tensor, whatever its type.
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def write_or_compare_settings(folder: str | Path, settings: dict) -> None:
    """Write the settings of a folder, or compare them with those that it has.

    Parameters
    ----------
    folder : str or Path
    settings : dict
        From `describe_settings`.

    Raises
    ------
    SettingsError
        They differ; the message names what, and both values.
    """
    path = Path(folder) / SETTINGS_NAME
    if not path.exists():
        write_json(path, {"settings": settings, "versions": get_versions()})
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: not the settings of a run; remove it, or use another folder") from error
    # Names of both sides, as a version of this package may add or drop one.
    differences = [
        f"{name} is {settings.get(name)!r}, was {recorded.get(name)!r}"
        for name in {**recorded, **settings}
        if name not in _NOT_COMPARED and settings.get(name) != recorded.get(name)
    ]
    if differences:
        raise SettingsError(
            f"{folder}: holds results of other settings: {'; '.join(differences)}. Use those, or another folder."
        )
