"""Detect people in pictures with torchvision's detection models. Boxes are fractions of the frame (0..1)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.models import get_model, get_model_weights

from avalib.detection.person_boxes import PERSON_SCORE
from avalib.models.checkpoint_file import CheckpointError, parse_hash_in_name, read_checkpoint_file
from avalib.utils.boxes import to_norm
from avalib.utils.download import download_file, is_url
from avalib.utils.download_errors import DownloadError

# our name -> torchvision's; box AP on COCO 46.7, 41.5 and 21.3, each several times as fast as the one before
DETECTORS = {
    "fasterrcnn": "fasterrcnn_resnet50_fpn_v2",
    "retinanet": "retinanet_resnet50_fpn_v2",
    "ssdlite": "ssdlite320_mobilenet_v3_large",
}
PERSON = 1  # COCO's class


@dataclass(frozen=True)
class DetectedPeople:
    """The people in one picture."""

    boxes_norm: np.ndarray  # (n, 4) float64 xyxy, 0..1
    scores: np.ndarray  # (n,) float32, 0..1


def build_person_detector(
    name: str = "fasterrcnn",
    weights: str | Path | None = "coco",
    device: str | torch.device = "cpu",
    mirror: str | Path | None = None,
    progress: bool = True,
) -> torch.nn.Module:
    """Build a detector of torchvision in eval mode.

    Parameters
    ----------
    name : str
        A key of DETECTORS, or torchvision's name of one of them.
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
    torchvision_name = DETECTORS.get(name, name)
    if torchvision_name not in DETECTORS.values():
        raise ValueError(f"person detector {name!r}: expected one of {', '.join(DETECTORS)}")
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


class PersonDetector:
    """Detects people in pictures.

    Parameters
    ----------
    name, weights, device, mirror, progress
        See `build_person_detector`.
    person_score : float
        People with a lower score are left out.
    """

    def __init__(
        self,
        name: str = "fasterrcnn",
        weights: str | Path | None = "coco",
        person_score: float = PERSON_SCORE,
        device: str | torch.device = "cpu",
        mirror: str | Path | None = None,
        progress: bool = True,
    ):
        self.model = build_person_detector(name, weights, device, mirror, progress)
        self.person_score = person_score

    @torch.inference_mode()
    def __call__(self, pictures: list[np.ndarray]) -> list[DetectedPeople]:
        """Detect the people in each of some pictures.

        Parameters
        ----------
        pictures : list of (H, W, 3) uint8 arrays
            RGB, of any sizes.

        Returns
        -------
        list of DetectedPeople
            One for each picture.
        """
        if not pictures:
            return []
        device = next(self.model.parameters()).device
        # (H,W,3) uint8 -> (3,H,W) float, 0..1
        batch = [torch.from_numpy(np.ascontiguousarray(p)).to(device).permute(2, 0, 1) / 255 for p in pictures]
        people = []
        for picture, output in zip(pictures, self.model(batch), strict=True):
            # Of COCO's 91 classes only people; boxes (n,4) in the picture's pixels -> fractions.
            is_person = (output["labels"] == PERSON) & (output["scores"] >= self.person_score)
            boxes_px = output["boxes"][is_person].float().cpu().numpy()
            height, width = picture.shape[:2]
            boxes_norm = to_norm(boxes_px, width, height).astype(float)
            people.append(DetectedPeople(boxes_norm, output["scores"][is_person].cpu().numpy()))
        return people
