"""torchvision's detectors as person detectors: which there are, their weights, and people in frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.models import get_model, get_model_weights

from avalib.detection.detector_inference import optimize_detector
from avalib.models.checkpoint_file import CheckpointError, parse_hash_in_name, read_checkpoint_file
from avalib.utils.boxes import to_norm
from avalib.utils.download import download_file, is_url
from avalib.utils.download_errors import DownloadError
from avalib.utils.suggest import suggest

PERSON = 1  # COCO's class


@dataclass(frozen=True)
class DetectorEntry:
    """A detector of torchvision."""

    name: str
    torchvision_name: str
    box_ap: float  # published, on COCO val2017, all classes, in percent
    cpu_seconds: float  # torchvision's own forward, a picture of 640x480 on two cores
    person_score: float  # the default: people with a lower score are left out


# From the most accurate to the fastest. Small networks and sigmoids give lower scores, so their thresholds are lower.
DETECTORS = {
    entry.name: entry
    for entry in (
        DetectorEntry("fasterrcnn", "fasterrcnn_resnet50_fpn_v2", 46.7, 7.7, 0.7),
        DetectorEntry("retinanet", "retinanet_resnet50_fpn_v2", 41.5, 4.4, 0.4),
        DetectorEntry("fasterrcnn_mobilenet", "fasterrcnn_mobilenet_v3_large_fpn", 32.8, 0.82, 0.6),
        DetectorEntry("fasterrcnn_mobilenet_320", "fasterrcnn_mobilenet_v3_large_320_fpn", 22.8, 0.12, 0.5),
        DetectorEntry("ssdlite", "ssdlite320_mobilenet_v3_large", 21.3, 0.10, 0.35),
    )
}
FAST_DETECTOR = "fasterrcnn_mobilenet_320"
STRONG_DETECTOR = "fasterrcnn"


def choose_detector(name: str, device: str | torch.device) -> DetectorEntry:
    """The DetectorEntry of a name.

    Parameters
    ----------
    name : str
        "auto" (the strong one on a CUDA GPU, else the fast one), a key of DETECTORS, or torchvision's name.
    device : str or torch.device

    Raises
    ------
    ValueError
        There is no detector of this name.
    """
    if name == "auto":
        return DETECTORS[STRONG_DETECTOR if torch.device(device).type == "cuda" else FAST_DETECTOR]
    for entry in DETECTORS.values():
        if name in (entry.name, entry.torchvision_name):
            return entry
    raise ValueError(
        f"detector={name!r}: expected 'auto', {', '.join(map(repr, DETECTORS))}, an ONNX file (.onnx) or a callable."
        f"{suggest(name, DETECTORS)}"
    )


def build_torchvision_detector(
    name: str = "auto",
    weights: str | Path | None = "coco",
    device: str | torch.device = "cpu",
    mirror: str | Path | None = None,
    progress: bool = True,
) -> torch.nn.Module:
    """Build a detector of torchvision in eval mode, as published.

    Parameters
    ----------
    name : str
        See `choose_detector`.
    weights : str, Path or None
        "coco" (torchvision's published file, downloaded once), a URL, a path, or None for random weights.
    device : str or torch.device
    mirror : str, optional
        Where to download from instead, see `download.download_file`.
    progress : bool
        Show a bar while downloading.

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        There is no detector of this name.
    DownloadError
        The weights cannot be downloaded; the message names other ways to get them.
    CheckpointError
        The file has no weights of this detector.
    """
    torchvision_name = choose_detector(name, device).torchvision_name
    # The network without weights, so that torchvision downloads nothing by itself.
    model = get_model(torchvision_name, weights=None, weights_backbone=None)
    if weights is not None:
        file = read_checkpoint_file(_locate_weights(torchvision_name, str(weights), mirror, progress))
        try:
            model.load_state_dict(file.state_dict)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise CheckpointError(
                f"{file.source}: no weights of torchvision's {torchvision_name} with COCO's 91 classes: {first}"
            ) from error
    return model.to(device).eval()


def _locate_weights(torchvision_name, weights, mirror, progress):
    """The path of the weights, downloaded first if they are not on this machine."""
    url = get_model_weights(torchvision_name).DEFAULT.url if weights == "coco" else weights
    if not is_url(url):
        return url
    try:
        return download_file(url, parse_hash_in_name(url), mirror=mirror, progress=progress)
    except DownloadError as error:
        raise DownloadError(
            f"the person detector's weights cannot be downloaded. {error}\nDownload {url} where there is a network, "
            "then give its path (detector_weights=…), or the folder it is in as AVALIB_MIRROR. Or use person boxes "
            "of your own (boxes=…)."
        ) from error


class TorchvisionDetector:
    """A detector of torchvision in its inference form: frames -> boxes and scores of people.

    Parameters
    ----------
    name, weights, device, mirror, progress
        See `build_torchvision_detector`.
    dtype : torch.dtype
        What backbone and box head compute in.

    Attributes
    ----------
    person_score : float
        The default threshold.
    description : str
    """

    def __init__(
        self,
        name: str = "auto",
        weights: str | Path | None = "coco",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        mirror: str | Path | None = None,
        progress: bool = True,
    ):
        entry = choose_detector(name, device)
        self.device = torch.device(device)
        self.network = optimize_detector(
            build_torchvision_detector(entry.name, weights, device, mirror, progress), dtype
        )
        self.name = entry.name
        self.person_score = entry.person_score
        precision = str(dtype).removeprefix("torch.")
        self.description = (
            f"{entry.name} (torchvision's {entry.torchvision_name}, published COCO box AP {entry.box_ap}; "
            f"{self.device.type}, {precision})"
        )

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The people in frames (n,H,W,3) uint8 RGB: for each the boxes (k,4) xyxy, 0..1, and their scores (k,)."""
        height, width = frames.shape[1:3]
        # (n,H,W,3) uint8 -> n times (3,H,W) float, 0..1
        pictures = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2) / 255
        people = []
        for output in self.network(list(pictures)):
            # Of COCO's 91 classes only people; boxes (k,4) in the frame's pixels -> fractions.
            is_person = output["labels"] == PERSON
            boxes_px = output["boxes"][is_person].float().cpu().numpy()
            scores = output["scores"][is_person].float().cpu().numpy()
            people.append((to_norm(boxes_px, width, height), scores))
        return people
