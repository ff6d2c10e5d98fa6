"""Detect people at every keyframe of a data set's videos, and write them as AVA's proposals."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from avalib.data.kinetics_clips import parse_clip_name
from avalib.data.proposals import write_proposals
from avalib.data.row_checks import BOX_COLUMNS, check_video_ids
from avalib.detection.person_detector import PersonDetector, load_person_detector
from avalib.detection.video_start import infer_start_from_file_name, infer_start_from_timestamps
from avalib.utils.files import join_inside, write_json, write_table
from avalib.utils.progress import show_progress
from avalib.utils.temporary_files import clear_abandoned_parts
from avalib.video.frame_numbers import AVA_FPS, to_frame_number
from avalib.video.reader import Video

COLUMNS = ["timestamp", *BOX_COLUMNS, "score"]


def make_proposals(
    videos: str | Path | Sequence[str | Path] | dict[str, str | Path],
    path: str | Path,
    seconds: Mapping[str, Sequence[float]] | None = None,
    detector: str | Path | Callable = "fasterrcnn",
    weights: str | Path = "coco",
    person_score: float = 0.05,
    batch_size: int = 4,
    device: str | torch.device = "cpu",
    mirror: str | Path | None = None,
    progress: bool = True,
    start: float | None = None,
) -> pd.DataFrame:
    """Detect people at the keyframes of videos, and write them as AVA's proposals.

    The people of a finished video are kept in `path`.parts/ until all videos are done: an interrupted call resumes.

    Parameters
    ----------
    videos : path, list of paths, or dict
        The videos; a dict is {video_id: path}, else a video's id is its file's name without suffix.
    path : str or Path
        The proposals to write (.pkl).
    seconds : dict, optional
        {video_id: seconds of its keyframes}, fractions too; by default every whole second.
    detector, weights, device, mirror, progress
        See `load_person_detector`.
    person_score : float
        People with a lower score are left out.
    batch_size : int
        Pictures at once.
    start : float, optional
        The second at which videos start: AVA's 900, or 0 in data of one's own. None: from `path` (proposals of a data
        set), else from the name of a clip of Kinetics, <id>_<start>_<end>, else from `seconds`, else 900.

    Returns
    -------
    DataFrame
        The table that was written: video_id, timestamp, x1, y1, x2, y2 (0..1), score.

    Raises
    ------
    VideoError, DownloadError, CheckpointError
        A video or the weights cannot be read.
    ValueError
        Two videos with one id, keyframes outside a video, or `path`.parts/ of another call.
    """
    videos = _index_videos(videos)
    if start is None:
        start = infer_start_from_file_name(path)
    # The parts of an earlier call count only if it had the same settings.
    settings = {
        "detector": _name_detector(detector),
        "weights": Path(str(weights)).name,
        "person_score": person_score,
        "seconds": _hash_seconds(seconds),
        "start": start,
    }
    parts = _open_parts_folder(Path(path), settings)
    # A csv for each finished video; the detector is loaded only if one is missing.
    files = {video_id: join_inside(parts, f"{video_id}.csv") for video_id in videos}
    remaining = [video_id for video_id, file in files.items() if not file.exists()]
    if remaining:
        person_detector = load_person_detector(
            detector, weights, person_score, device, mirror=mirror, progress=progress
        )
        for video_id in show_progress(remaining, desc="detecting people", unit="video", disable=not progress):
            with Video(videos[video_id]) as reader:
                keyframes = _list_keyframes(reader, (seconds or {}).get(video_id), _choose_start(video_id, start))
                table = _detect_at_keyframes(reader, keyframes, person_detector, batch_size)
            write_table(table, files[video_id])

    # All videos in one file, then the parts can go.
    tables = [pd.read_csv(file).assign(video_id=video_id) for video_id, file in files.items()]
    proposals = pd.concat(tables, ignore_index=True)[["video_id", *COLUMNS]]
    write_proposals(proposals, path)
    for file in parts.iterdir():
        file.unlink()
    parts.rmdir()
    return proposals


def _index_videos(videos):
    """{video_id: path} of one path, several, or such a dict. Raises ValueError for two of one name."""
    if isinstance(videos, (str, Path)):
        videos = [videos]
    if not isinstance(videos, dict):
        paths = [Path(video) for video in videos]
        videos = {path.stem: path for path in paths}
        if len(videos) < len(paths):
            names = [path.stem for path in paths]
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"videos: {', '.join(repeated[:5])} is the name of two videos; give {{video_id: path}}")
    check_video_ids(videos, "videos")
    if not videos:
        raise ValueError("videos: none; expected paths, or {video_id: path}")
    return videos


def _name_detector(detector):
    """A text that differs for another detector: its name, its file's name, or what it says of itself."""
    if callable(detector):
        return PersonDetector(detector).name
    return Path(detector).name


def _hash_seconds(seconds):
    """A short text that differs for other keyframes."""
    if not seconds:
        return "all"
    plain = {str(video_id): sorted(map(float, values)) for video_id, values in seconds.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _open_parts_folder(path, settings):
    """The folder of the finished videos. Raises ValueError if it belongs to a call with other settings."""
    parts = path.with_name(path.name + ".parts")
    parts.mkdir(parents=True, exist_ok=True)
    file = parts / "settings.json"
    if file.exists():
        earlier = json.loads(file.read_text(encoding="utf-8"))
        if earlier != settings:
            raise ValueError(f"{parts} was started with {earlier}, now it is {settings}; delete it to start again")
    write_json(file, settings)
    clear_abandoned_parts(parts, path.parent)
    return parts


def _choose_start(video_id, start):
    """The second at which a video starts, as far as it is known before its keyframes are: a clip's name has it."""
    clip = parse_clip_name(video_id)
    return clip.start_s if start is None and clip else start


def _list_keyframes(reader, seconds, start):
    """{AVA frame number: its seconds} of the keyframes of a video; seconds that round to one frame share it."""
    # By the convention of AVA numbers: 30 frames a second, from 1.
    last = reader.n_ava_frames
    name = str(reader.path)
    duration_s = (last - 1) / AVA_FPS
    if start is None:
        start = infer_start_from_timestamps([] if seconds is None else seconds, duration_s, name)
    if seconds is None:
        seconds = start + np.arange(int(duration_s) + 1.0)
    seconds = np.unique(np.asarray(seconds, float))
    # (K,) seconds of the data set -> (K,) numbers of the frames at which they begin.
    numbers = to_frame_number(seconds, start)
    outside = seconds[(numbers < 1) | (numbers > last)]
    if len(outside):
        raise ValueError(f"{name}: keyframe {outside[0]:g} is outside the video, {start}..{start + duration_s:g}")
    keyframes = {}
    for number, second in zip(numbers.tolist(), seconds.tolist(), strict=True):
        keyframes.setdefault(number, []).append(second)
    return keyframes


def _detect_at_keyframes(reader, keyframes, person_detector, batch_size):
    """Table timestamp, x1, y1, x2, y2, score of one video. keyframes: from `_list_keyframes`."""
    # A row per second and box: seconds that share a frame share its boxes.
    rows = []
    for batch in _iter_batches(reader, keyframes, batch_size):
        detected = person_detector([picture for _, picture in batch])
        for (number, _), people in zip(batch, detected, strict=True):
            for second in keyframes[number]:
                for box, score in zip(people.boxes_norm.tolist(), people.scores.tolist(), strict=True):
                    rows.append((second, *box, score))
    return pd.DataFrame(rows, columns=COLUMNS)


def _iter_batches(reader, keyframes, batch_size):
    """Lists of up to batch_size (number, picture) of the keyframes; the video is decoded once, in order."""
    batch = []
    stop = max(keyframes, default=0) + 1
    for number, picture in enumerate(reader.iter_ava_frames(stop=stop), 1):
        if number in keyframes:
            batch.append((number, picture))
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch
