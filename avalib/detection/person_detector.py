"""Person boxes: found by torchvision's detection models, for pictures or for a whole data set.

The only room that knows torchvision.models.detection. Boxes are fractions of the frame (0..1).
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torchvision.models import get_model, get_model_weights
from tqdm.auto import tqdm

from avalib.data.proposals import write_proposals
from avalib.data.row_checks import BOX_COLUMNS, check_video_ids
from avalib.detection.given_boxes import PERSON_SCORE, find_start_time, read_given_boxes, read_start_time  # noqa: F401
from avalib.models.checkpoint_file import CheckpointError, parse_hash_in_name, read_checkpoint_file
from avalib.utils.boxes import to_norm
from avalib.utils.download import download_file
from avalib.utils.files import join_inside, write_json, write_table
from avalib.utils.http_transfer import FetchError
from avalib.utils.temporary_files import clear_abandoned_parts
from avalib.video.frame_numbers import AVA_FPS, to_frame_number
from avalib.video.reader import Video

# name here -> torchvision's name; box AP on COCO 46.7, 41.5 and 21.3, and each several times as fast as the one before
DETECTORS = {
    "fasterrcnn": "fasterrcnn_resnet50_fpn_v2",
    "retinanet": "retinanet_resnet50_fpn_v2",
    "ssdlite": "ssdlite320_mobilenet_v3_large",
}
PERSON = 1  # COCO's class


# --- finding ----------------------------------------------------------------------------------------------------------


def build_person_detector(name="fasterrcnn", weights="coco", device="cpu", mirror=None, progress=True):
    """A torchvision detector in eval mode.

    name: a key of DETECTORS, or torchvision's own name of one. weights: "coco" (torchvision's published file,
    downloaded once), a URL, a path, or None for random ones. mirror: see fetch.
    Raises ValueError for another name, FetchError and CheckpointError that say how to bring the weights.
    """
    full = DETECTORS.get(name, name)
    if full not in DETECTORS.values():
        raise ValueError(f"person detector {name!r}: there are {', '.join(DETECTORS)}")
    model = get_model(full, weights=None, weights_backbone=None)
    if weights is not None:
        file = read_checkpoint_file(_locate(full, str(weights), mirror, progress))
        try:
            model.load_state_dict(file.state_dict)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise CheckpointError(
                f"{file.source} isn't of torchvision's {full} with COCO's 91 classes: {first}"
            ) from error
    return model.to(device).eval()


def _locate(full, weights, mirror, progress):
    """The weights' path, fetched where they aren't on this machine."""
    url = get_model_weights(full).DEFAULT.url if weights == "coco" else weights
    if not url.startswith(("http://", "https://")):
        return url
    try:
        return download_file(url, parse_hash_in_name(url), mirror=mirror, progress=progress)
    except FetchError as error:
        raise FetchError(
            f"the person detector's weights can't be had. {error}\nBring them: download {url} where there is a "
            "network, then give its path (detector_weights=…), or the folder it is in as AVALIB_MIRROR. Or do without: "
            "give person boxes (boxes=…)."
        ) from error


class PersonDetector:
    """Finds people in pictures: called with [(H,W,3) uint8, …] -> [(boxes_norm (n,4) float64, scores (n,)), …].

    name, weights, device, mirror, progress: build_detector's. person_score: people with a lower score are left out.
    """

    def __init__(self, name="fasterrcnn", weights="coco", person_score=PERSON_SCORE, device="cpu", **options):
        self.model, self.person_score = build_person_detector(name, weights, device, **options), person_score

    @torch.inference_mode()
    def __call__(self, pictures):
        device = next(self.model.parameters()).device
        batch = [torch.from_numpy(np.ascontiguousarray(p)).to(device).permute(2, 0, 1) / 255 for p in pictures]
        found = []
        for picture, out in zip(pictures, self.model(batch) if batch else [], strict=True):
            keep = (out["labels"] == PERSON) & (out["scores"] >= self.person_score)
            boxes_px = out["boxes"][keep].float().cpu().numpy()
            height, width = picture.shape[:2]
            found.append((to_norm(boxes_px, width, height).astype(float), out["scores"][keep].cpu().numpy()))
        return found


# --- for a data set ---------------------------------------------------------------------------------------------------


def make_proposals(
    videos, path, seconds=None, detector="fasterrcnn", weights="coco", person_score=0.05, batch_size=4, device="cpu",
    mirror=None, progress=True, start=None,
):  # fmt: skip
    """Find people at every whole second of videos and write them as AVA's proposals (pickle); -> the table written.

    videos: paths, or {video_id: path}; a video's id is its file's name without suffix. seconds: {video_id: seconds} of
    the keyframes, fractions too, default every whole second inside. start: the second at which videos begin, AVA's 900
    or 0 in data of one's own; None: told by `path` (proposals of a data set) or by `seconds`, else 900. The people of a
    finished video are kept in `path`.parts/ until all are done, so an interrupted call goes on where it was.
    Raises VideoError, FetchError, CheckpointError, ValueError.
    """
    videos = _by_id(videos)
    known = read_start_time(path) if start is None else start
    settings = {"detector": detector, "weights": Path(str(weights)).name, "person_score": person_score}
    parts = _parts(Path(path), settings | {"seconds": _digest(seconds), "start": known})
    done = {v: join_inside(parts, f"{v}.csv") for v in videos}
    todo = [v for v in videos if not done[v].exists()]
    finder = PersonDetector(detector, weights, person_score, device, mirror=mirror, progress=progress) if todo else None
    for video_id in tqdm(todo, desc="finding people", unit="video", disable=not progress):
        with Video(videos[video_id]) as reader:
            found = _people_of(reader, (seconds or {}).get(video_id), finder, batch_size, known)
        write_table(found, done[video_id])
    tables = [pd.read_csv(part).assign(video_id=v) for v, part in done.items()]
    table = pd.concat(tables, ignore_index=True)[["video_id", "timestamp", *BOX_COLUMNS, "score"]]
    write_proposals(table, path)
    for file in parts.iterdir():
        file.unlink()
    parts.rmdir()
    return table


def _by_id(videos):
    """{video_id: path} of paths, or of such a dict. Raises ValueError for two of one name."""
    if isinstance(videos, (str, Path)):
        videos = [videos]
    if not isinstance(videos, dict):
        paths = [Path(v) for v in videos]
        videos = {path.stem: path for path in paths}
        if len(videos) < len(paths):
            names = [path.stem for path in paths]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"videos: {', '.join(twice[:5])} is there twice; give {{video_id: path}}")
    check_video_ids(videos, "videos")
    if not videos:
        raise ValueError("videos: there are none; expected paths, or {video_id: path}")
    return videos


def _digest(seconds):
    """A short text that differs where the keyframes do."""
    plain = {str(v): sorted(map(float, s)) for v, s in (seconds or {}).items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16] if seconds else "all"


def _parts(path, settings):
    """The folder of the finished videos; those of other settings are not mixed in."""
    parts = path.with_name(path.name + ".parts")
    parts.mkdir(parents=True, exist_ok=True)
    file = parts / "settings.json"
    begun = json.loads(file.read_text(encoding="utf-8")) if file.exists() else settings
    if begun != settings:
        raise ValueError(f"{parts} was begun with {begun}, now it is {settings}; delete it to start anew")
    write_json(file, settings)
    clear_abandoned_parts(parts, path.parent)
    return parts


def _people_of(reader, seconds, finder, batch_size, start):
    """Table timestamp, x1, y1, x2, y2, score of one video, decoded once in order."""
    last, name = reader.n_ava_frames, str(reader.path)
    length = (last - 1) / AVA_FPS
    begin = find_start_time([] if seconds is None else seconds, length, name, start)
    wanted = begin + np.arange(int(length) + 1.0) if seconds is None else np.unique(np.asarray(seconds, float))
    at = to_frame_number(wanted, begin)
    if len(outside := wanted[~((at >= 1) & (at <= last))]):
        raise ValueError(f"{name}: keyframe {outside[0]:g} is outside the video, {begin}..{begin + length:g}")
    numbers = {}
    for number, second in zip(at.tolist(), wanted.tolist(), strict=True):
        numbers.setdefault(number, []).append(second)
    rows, batch = [], []
    for number, picture in enumerate(reader.iter_ava_frames(stop=max(numbers, default=0) + 1), 1):
        if number in numbers:
            batch.append((numbers[number], picture))
        if len(batch) == batch_size or (batch and number == max(numbers)):
            for (times, _), (found, scores) in zip(batch, finder([p for _, p in batch]), strict=True):
                people = list(zip(found.tolist(), scores.tolist(), strict=True))
                rows += [(second, *box, score) for second in times for box, score in people]
            batch = []
    return pd.DataFrame(rows, columns=["timestamp", *BOX_COLUMNS, "score"])
