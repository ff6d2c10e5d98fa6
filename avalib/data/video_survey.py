"""The videos of a data set, one row each: what is there, and which frames can be read."""

import os
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.layout import DatasetLayout
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.workers import run_parallel
from avalib.video.frame_numbers import AVA_FPS, to_frame_number
from avalib.video.frame_source import open_video
from avalib.video.video_error import VideoError

CUT_FRAMES = 27030  # AVA-numbered frames of a 15-minute cut of the real AVA
FRAMES_TOLERANCE = 30  # how many frames more or less a folder of jpgs may have
FROZEN_FRAMES = 8  # numbers that one frame may fill before it is reported; at 5 frames a second it fills six
FILE_COLUMNS = ["file", "fps", "width", "height", "seconds", "frames"]
SURVEY_COLUMNS = ["split", "video_id", *FILE_COLUMNS, "problem", "keyframes", "people", "labels", "gaps"]
INSPECTION_COLUMNS = [
    "split",
    "video_id",
    *FILE_COLUMNS,
    "keyframes",
    "unreadable",
    "decode_errors",
    "misnumbered",
    "problem",
]


@dataclass
class VideoInfo:
    """One video as its file describes it. frames: AVA-numbered frames, 30 a second."""

    file: str = ""
    fps: float = np.nan
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    frames: int = 0


@dataclass
class VideoInspection(VideoInfo):
    """One video and which of its keyframes can be read."""

    split: str = ""
    video_id: str = ""
    keyframes: int = 0
    unreadable: int = 0  # keyframes without a readable frame
    decode_errors: int = 0  # of the frames that were decoded
    misnumbered: bool = False  # a folder with another number of jpgs than the recipe's extraction makes
    problem: str = ""  # text for the user; "" if there is none


def describe_video(video):
    """The VideoInfo of an open video (or folder of jpgs)."""
    n_frames = video.n_ava_frames
    return VideoInfo(
        file=video.path.name,
        fps=round(getattr(video, "fps", float(AVA_FPS)), 3),
        width=video.width,
        height=video.height,
        seconds=round(getattr(video, "duration_s", n_frames / AVA_FPS), 2),
        frames=n_frames,
    )


# --- what is there ----------------------------------------------------------------------------------------------------


def survey_videos(layout: DatasetLayout, splits: tuple[str, ...] = ("train", "val")) -> pd.DataFrame:
    """List the videos of a data set with their annotations. No frame is decoded.

    Parameters
    ----------
    layout : DatasetLayout
        The data set.
    splits : tuple of str
        The splits to list.

    Returns
    -------
    DataFrame
        One row per video: split, video_id, file, fps, width, height, seconds, frames (at 30 a second), problem,
        keyframes, people (boxes), labels, gaps (seconds without annotation between the first and the last). A missing
        or unreadable video has its error message in `problem`.
    """
    rows = []
    for split in splits:
        table = read_ava_csv(layout.get_csv_path(split), "ground_truth")
        exclusions = read_exclusions(layout.get_exclusions_path(split))
        for video_id, annotations in table.groupby("video_id", sort=False):
            excluded_seconds = exclusions.timestamp[exclusions.video_id == video_id]
            gaps = _find_gaps({*annotations.timestamp, *excluded_seconds})
            rows.append(
                {
                    "split": split,
                    "video_id": video_id,
                    **_survey_file(layout, video_id),
                    "keyframes": annotations.timestamp.nunique(),
                    "people": len(annotations.drop_duplicates(["timestamp", *BOX_COLUMNS])),
                    "labels": len(annotations),
                    "gaps": " ".join(map(str, gaps)),
                }
            )
    return pd.DataFrame(rows, columns=SURVEY_COLUMNS)


def _survey_file(layout, video_id):
    """The columns that come from the video's file; only file and problem if it can't be opened."""
    try:
        with open_video(layout, video_id) as video:
            return {**asdict(describe_video(video)), "problem": ""}
    except OSError as error:
        return {"file": "", "problem": str(error)}


def _find_gaps(seconds):
    """Whole seconds that are missing between the first and the last of a set; none if keyframes are at any time."""
    if any(second % 1 for second in seconds):
        return []
    return [second for second in range(int(min(seconds)), int(max(seconds)) + 1) if second not in seconds]


# --- what can be read -------------------------------------------------------------------------------------------------


def inspect_videos(layout, truth, decode="some", workers=None, progress=True):
    """Open every video and decode some of its frames, or all.

    Parameters
    ----------
    layout : DatasetLayout
        The data set.
    truth : dict
        {split: ground truth table}.
    decode : {"some", "all"}
        Five frames of each video, or every AVA-numbered frame.
    workers : int, optional
        Processes; by default one per core for 50 videos or more, else this process.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        One row per video: the fields of VideoInspection.
    """
    arguments = {
        (split, video_id): (layout, video_id, split, rows.timestamp.unique(), decode)
        for split, table in truth.items()
        for video_id, rows in table.groupby("video_id", sort=False)
    }
    workers = workers or (1 if len(arguments) < 50 else os.cpu_count())
    inspections = {}
    with tqdm(total=len(arguments), desc="checking videos", unit="video", disable=not progress) as bar:
        for key, result in run_parallel(inspect_video, workers, arguments):
            inspections[key] = result()
            bar.update()
    return pd.DataFrame([asdict(inspections[key]) for key in arguments], columns=INSPECTION_COLUMNS)


def inspect_video(layout, video_id, split, timestamps, decode="some"):
    """The VideoInspection of one video. timestamps: (K,) seconds of its keyframes."""
    inspection = VideoInspection(split=split, video_id=video_id, keyframes=len(timestamps), unreadable=len(timestamps))
    try:
        with open_video(layout, video_id) as video:
            for name, value in asdict(describe_video(video)).items():
                setattr(inspection, name, value)
            undecodable = _find_undecodable(video, decode)
            numbers = to_frame_number(timestamps, layout.get_start_s(video_id))
            is_unreadable = (numbers > video.n_ava_frames) | np.isin(numbers, undecodable)
            inspection.unreadable = int(is_unreadable.sum())
            inspection.decode_errors = len(undecodable)
            inspection.misnumbered = video.path.is_dir() and _has_wrong_length(layout, video)
            inspection.problem = "; ".join(_list_problems(layout, video, undecodable))
    except OSError as error:
        inspection.problem = str(error)
    inspection.problem = inspection.problem.replace(f"{layout.root}{os.sep}", "")  # reports name no local folders
    return inspection


def _count_expected_frames(layout, video):
    """The frames that a video of the real AVA, or a clip of Kinetics, should have; None for others."""
    clip = layout.get_clip(video.path.name if video.path.is_dir() else video.path.stem)
    if clip:
        return clip.length_s * AVA_FPS
    return CUT_FRAMES if layout.is_real_ava else None


def _has_wrong_length(layout, video):
    """Whether a video of the real AVA has another number of frames than a cut, or a clip than its name says."""
    expected = _count_expected_frames(layout, video)
    return expected is not None and abs(video.n_ava_frames - expected) > FRAMES_TOLERANCE


def _list_problems(layout, video, undecodable):
    """Yield what is wrong with an open video."""
    if missing := getattr(video, "missing_frames", 0):
        yield f"truncated: {missing} frames fewer than its header promises"
    if undecodable:
        others = f", nor {len(undecodable) - 1} others" if len(undecodable) > 1 else ""
        yield f"frame {undecodable[0]} can't be decoded{others}"
    if hasattr(video, "ava_index"):
        # runs of AVA numbers that show the same native frame
        starts = np.flatnonzero(np.diff(video.ava_index, prepend=-1))
        lengths = np.diff(starts, append=video.n_ava_frames)
        longest = int(lengths.max())
        if longest >= FROZEN_FRAMES:
            first = starts[lengths.argmax()] + 1
            yield f"frames {first} to {first + longest - 1} are identical (missing frames?)"
    if _has_wrong_length(layout, video):
        hint = ""
        if video.path.is_dir():
            hint = " (not numbered as ffmpeg numbers them? OpenCV leaves out repeated frames)"
        yield f"expected {_count_expected_frames(layout, video):,} frames, found {video.n_ava_frames:,}{hint}"


def _find_undecodable(video, decode):
    """The AVA numbers, of all or of five, whose frames can't be decoded."""
    if decode == "some":
        numbers = np.unique(np.linspace(1, video.n_ava_frames, 5).astype(int)).tolist()
        return [number for number in numbers if not _can_decode(video, number)]
    try:
        for _ in video.iter_ava_frames():  # in order, each once
            pass
        return []
    except VideoError:
        return [number for number in range(1, video.n_ava_frames + 1) if not _can_decode(video, number)]


def _can_decode(video, number):
    try:
        video.read_ava_frames([number])
        return True
    except VideoError:
        return False
