"""Person boxes: found by torchvision's detection models, read from a table, or made for a whole data set.

The only room that knows torchvision.models.detection. Boxes are fractions of the frame (0..1).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torchvision.models import get_model, get_model_weights
from tqdm.auto import tqdm

from avalib import annotations, boxes, checkpoints, transforms
from avalib.fetch import FetchError, fetch
from avalib.tables import BOX
from avalib.utils import files
from avalib.video import Video

# name here -> torchvision's name; box AP on COCO 46.7, 41.5 and 21.3, and each several times as fast as the one before
DETECTORS = {
    "fasterrcnn": "fasterrcnn_resnet50_fpn_v2",
    "retinanet": "retinanet_resnet50_fpn_v2",
    "ssdlite": "ssdlite320_mobilenet_v3_large",
}
PERSON = 1  # COCO's class
PERSON_SCORE = 0.7


# --- finding ----------------------------------------------------------------------------------------------------------


def build_detector(name="fasterrcnn", weights="coco", device="cpu", mirror=None, progress=True):
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
        file = checkpoints.read(_locate(full, str(weights), mirror, progress))
        try:
            model.load_state_dict(file.state_dict)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise checkpoints.CheckpointError(
                f"{file.source} isn't of torchvision's {full} with COCO's 91 classes: {first}"
            ) from error
    return model.to(device).eval()


def _locate(full, weights, mirror, progress):
    """The weights' path, fetched where they aren't on this machine."""
    url = get_model_weights(full).DEFAULT.url if weights == "coco" else weights
    if not url.startswith(("http://", "https://")):
        return url
    try:
        return fetch(url, checkpoints.hash_in_name(url), mirror=mirror, progress=progress)
    except FetchError as error:
        raise FetchError(
            f"the person detector's weights can't be had. {error}\nBring them: download {url} where there is a "
            "network, then give its path (detector_weights=…), or the folder it is in as AVALIB_MIRROR. Or do without: "
            "give person boxes (boxes=…)."
        ) from error


class PersonFinder:
    """Finds people in pictures: called with [(H,W,3) uint8, …] -> [(boxes_norm (n,4) float64, scores (n,)), …].

    name, weights, device, mirror, progress: build_detector's. person_score: people with a lower score are left out.
    """

    def __init__(self, name="fasterrcnn", weights="coco", person_score=PERSON_SCORE, device="cpu", **options):
        self.model, self.person_score = build_detector(name, weights, device, **options), person_score

    @torch.inference_mode()
    def __call__(self, pictures):
        device = next(self.model.parameters()).device
        batch = [torch.from_numpy(np.ascontiguousarray(p)).to(device).permute(2, 0, 1) / 255 for p in pictures]
        found = []
        for picture, out in zip(pictures, self.model(batch) if batch else [], strict=True):
            keep = (out["labels"] == PERSON) & (out["scores"] >= self.person_score)
            boxes_px = out["boxes"][keep].float().cpu().numpy()
            height, width = picture.shape[:2]
            found.append((boxes.to_norm(boxes_px, width, height).astype(float), out["scores"][keep].cpu().numpy()))
        return found


# --- for a data set ---------------------------------------------------------------------------------------------------


def make_proposals(
    videos, path, seconds=None, detector="fasterrcnn", weights="coco", person_score=0.05, batch_size=4, device="cpu",
    mirror=None, progress=True,
):  # fmt: skip
    """Find people at every whole second of videos and write them as AVA's proposals (pickle); -> the table written.

    videos: paths, or {video_id: path}; a video's id is its file's name without suffix, and it begins at AVA's second
    900. seconds: {video_id: seconds (902 …)} of the keyframes, default every whole second inside. The people of a
    finished video are kept in `path`.parts/ until all are done, so an interrupted call goes on where it was.
    Raises VideoError, FetchError, CheckpointError, ValueError.
    """
    videos = videos if isinstance(videos, dict) else {Path(v).stem: Path(v) for v in videos}
    parts = _parts(Path(path), {"detector": detector, "weights": Path(str(weights)).name, "person_score": person_score})
    done = {v: files.path_inside(parts, f"{v}.csv") for v in videos}
    todo = [v for v in videos if not done[v].exists()]
    finder = PersonFinder(detector, weights, person_score, device, mirror=mirror, progress=progress) if todo else None
    for video_id in tqdm(todo, desc="finding people", unit="video", disable=not progress):
        with Video(videos[video_id]) as reader:
            found = _people_of(reader, (seconds or {}).get(video_id), finder, batch_size, progress)
        files.write_table(found, done[video_id])
    tables = [pd.read_csv(path).assign(video_id=v) for v, path in done.items()]
    table = pd.concat(tables, ignore_index=True)[["video_id", "timestamp", *BOX, "score"]]
    annotations.write_proposals(table, path)
    for file in parts.iterdir():
        file.unlink()
    parts.rmdir()
    return table


def _parts(path, settings):
    """The folder of the finished videos; those of other settings are not mixed in."""
    parts = path.with_name(path.name + ".parts")
    parts.mkdir(parents=True, exist_ok=True)
    file = parts / "settings.json"
    begun = json.loads(file.read_text(encoding="utf-8")) if file.exists() else settings
    if begun != settings:
        raise ValueError(f"{parts} was begun with {begun}, now it is {settings}; delete it to start anew")
    files.write_json(file, settings)
    files.clear_abandoned_parts(parts, path.parent)
    return parts


def _people_of(reader, seconds, finder, batch_size, progress):
    """Table timestamp, x1, y1, x2, y2, score of one video, decoded once in order."""
    last = reader.n_ava_frames
    inside = range(transforms.START, transforms.START + (last - 1) // transforms.FPS + 1)
    seconds = sorted(inside if seconds is None else seconds)
    numbers = {transforms.FPS * (round(s) - transforms.START) + 1: float(s) for s in seconds}
    if outside := [s for n, s in numbers.items() if not 1 <= n <= last]:
        raise ValueError(f"{reader.path}: keyframe {outside[0]:g} is outside the video, {inside[0]}..{inside[-1]}")
    rows, batch = [], []
    for number, picture in enumerate(reader.iter_ava_frames(stop=max(numbers, default=0) + 1), 1):
        if number in numbers:
            batch.append((numbers[number], picture))
        if len(batch) == batch_size or (batch and number == max(numbers)):
            for (second, _), (found, scores) in zip(batch, finder([p for _, p in batch]), strict=True):
                rows += [(second, *box, score) for box, score in zip(found.tolist(), scores.tolist(), strict=True)]
            batch = []
    return pd.DataFrame(rows, columns=["timestamp", *BOX, "score"])


# --- given ------------------------------------------------------------------------------------------------------------


def read_boxes(source, reader, person_score=PERSON_SCORE):
    """Given boxes of one video: table time_s, x1, y1, x2, y2, and person_id where it has one; each box once, by time.

    source: a DataFrame or a csv with a header, with x1, y1, x2, y2 (0..1) and time_s (from the video's first frame),
    frame (native, from 0) or timestamp (AVA's second, 900 at the first frame); or a csv in AVA's format; or AVA's
    proposals (.pkl). With a video_id column, the rows of this video (its file's name) are taken. score: of the person
    if the table has no action_id; boxes under person_score are left out. reader: the open video.Video.
    Raises ValueError naming the source, the row and what was expected.
    """
    name, table = _read_table(source)
    if absent := [c for c in BOX if c not in table]:
        raise ValueError(f"{name}: no column {', '.join(absent)}; it has {', '.join(map(str, table.columns))}")
    if "video_id" in table:
        known = pd.unique(table["video_id"])
        table = table[table["video_id"] == reader.path.stem]
        if not len(table):
            some = ", ".join(map(str, known[:5]))
            raise ValueError(f"{name}: no boxes of video_id {reader.path.stem!r} (the file's name); it has {some} …")
    table = table.assign(time_s=_times(name, table, reader))
    _check(name, table, reader)
    if "score" in table and "action_id" not in table:
        table = table[table["score"] >= person_score]
    kept = ["time_s", *BOX, *(["person_id"] if "person_id" in table and (table["person_id"] >= 0).all() else [])]
    return table[kept].drop_duplicates().sort_values("time_s", kind="stable").reset_index(drop=True)


def _read_table(source):
    """(name for messages, DataFrame)."""
    if isinstance(source, pd.DataFrame):
        return "boxes", source
    path = Path(source)
    if path.suffix == ".pkl":
        return str(path), annotations.read_proposals(path)
    with open(path) as file:
        first = file.readline()
    if "x1" in first:
        return str(path), pd.read_csv(path)
    whole = "." not in first.rpartition(",")[2]  # AVA's 8th column: a person's number, or a score
    return str(path), annotations.read_csv(path, "ground_truth" if whole else "detections")


def _times(name, table, reader):
    """Seconds from the video's first frame of every row."""
    if "time_s" in table:
        return table["time_s"].astype(float)
    if "timestamp" in table:
        return table["timestamp"].astype(float) - transforms.START
    if "frame" in table:
        frames = table["frame"].to_numpy()
        if len(frames) and (frames.min() < 0 or frames.max() >= reader.n_frames):
            raise ValueError(f"{name}: frames {frames.min()}..{frames.max()}; the video has 0..{reader.n_frames - 1}")
        return reader.times_s[frames.astype(int)]
    raise ValueError(f"{name}: no column time_s, timestamp or frame; it has {', '.join(map(str, table.columns))}")


def _check(name, table, reader):
    values, times = table[BOX].to_numpy(float), table["time_s"].to_numpy()
    length = reader.duration_s
    wrong = ~np.isfinite(values).all(1) | (values[:, 2] <= values[:, 0]) | (values[:, 3] <= values[:, 1])
    for mask, what in (
        (wrong, "expected finite x1 < x2 and y1 < y2"),
        ((np.abs(values) > 2).any(1), f"looks like pixels; divide x by {reader.width} and y by {reader.height}"),
        (~((times >= 0) & (times <= length)), f"expected a time inside the video's {length:.2f} s"),
    ):
        if mask.any():
            row = table.iloc[int(mask.argmax())]
            box = ", ".join(f"{v:g}" for v in row[BOX])
            raise ValueError(f"{name}, row {int(mask.argmax())}: box {box} at {row['time_s']:g} s: {what}")
