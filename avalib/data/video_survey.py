"""The videos of a data set, one row each: what is there, and which frames can be read."""

import os
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.layout import SPLITS, DatasetLayout
from avalib.data.row_checks import BOX_COLUMNS
from avalib.utils.progress import show_progress
from avalib.utils.workers import run_parallel
from avalib.video.frame_numbers import AVA_FPS, to_frame_number
from avalib.video.frame_source import open_video
from avalib.video.video_error import VideoError

CUT_FRAMES = 27030  # AVA-numbered frames of a 15-minute cut of the real AVA
FRAMES_TOLERANCE = 30  # how many frames more or less a folder of jpgs may have
FROZEN_FRAMES = 8  # numbers that one frame may fill before it is reported; at 5 frames a second it fills six
MIN_VIDEOS_FOR_WORKERS = 50


@dataclass
class VideoSurvey:
    """One video: what its file describes, its annotations, and which of its keyframes can be read."""

    split: str
    video_id: str
    file: str = ""
    fps: float = np.nan
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    frames: int = 0  # AVA-numbered, 30 a second; 0 for a video that can't be opened
    problem: str = ""  # text for the user; "" if there is none
    keyframes: int = 0
    people: int = 0  # boxes
    labels: int = 0
    gaps: str = ""  # whole seconds without annotation between the first and the last
    unreadable: int = 0  # keyframes without a readable frame
    decode_errors: int = 0  # of the frames that were decoded
    misnumbered: bool = False  # a folder with another number of jpgs than the recipe's extraction makes


def survey_videos(
    layout: DatasetLayout,
    tables: dict[str, pd.DataFrame] | None = None,
    decode: str | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Open every video of a data set; list what it is and what is annotated.

    Parameters
    ----------
    layout : DatasetLayout
        The data set.
    tables : dict, optional
        {split: ground truth table}; by default those of train and val.
    decode : {None, "some", "all"}
        Decode no frame, five of each video, or every AVA-numbered one.
    workers : int, optional
        Processes; by default one per core to decode 50 videos or more, else this process.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        One row per video: the fields of VideoSurvey. A missing or unreadable video has its error message in
        `problem`, and 0 `frames`.
    """
    if tables is None:
        tables = {split: read_ava_csv(layout.get_csv_path(split), "ground_truth") for split in SPLITS}
    arguments = {}
    for split, table in tables.items():
        exclusions = read_exclusions(layout.get_exclusions_path(split))
        for video_id, rows in table.groupby("video_id", sort=False):
            excluded_seconds = exclusions.timestamp[exclusions.video_id == video_id]
            arguments[split, video_id] = (layout, _count_annotations(split, rows, excluded_seconds), rows, decode)
    workers = workers or (os.cpu_count() if decode and len(arguments) >= MIN_VIDEOS_FOR_WORKERS else 1)
    videos = {}
    with show_progress(total=len(arguments), desc="checking videos", unit="video", disable=not progress) as bar:
        for key, get_result in run_parallel(inspect_video, workers, arguments):
            videos[key] = get_result()
            bar.update()
    columns = [field.name for field in fields(VideoSurvey)]
    return pd.DataFrame([asdict(videos[key]) for key in arguments], columns=columns)


def _count_annotations(split, rows, excluded_seconds):
    """The VideoSurvey of the annotations of one video, its file not opened yet."""
    seconds = {*rows.timestamp, *excluded_seconds}
    # keyframes at any time have no gaps
    gaps = []
    if not any(second % 1 for second in seconds):
        gaps = [second for second in range(int(min(seconds)), int(max(seconds)) + 1) if second not in seconds]
    n_keyframes = rows.timestamp.nunique()
    return VideoSurvey(
        split,
        rows.video_id.iloc[0],
        keyframes=n_keyframes,
        people=len(rows.drop_duplicates(["timestamp", *BOX_COLUMNS])),
        labels=len(rows),
        gaps=" ".join(map(str, gaps)),
        unreadable=n_keyframes,
    )


def inspect_video(layout, survey, rows, decode=None):
    """Add to a VideoSurvey what its file tells. rows: its annotations."""
    try:
        with open_video(layout, survey.video_id) as video:
            n_frames = video.n_ava_frames
            undecodable = _find_undecodable(video, decode) if decode else []
            # the AVA number of each keyframe (K,)
            numbers = to_frame_number(rows.timestamp.unique(), layout.get_start_s(survey.video_id))
            is_unreadable = (numbers > n_frames) | np.isin(numbers, undecodable)
            return replace(
                survey,
                file=video.path.name,
                fps=round(getattr(video, "fps", float(AVA_FPS)), 3),
                width=video.width,
                height=video.height,
                seconds=round(getattr(video, "duration_s", n_frames / AVA_FPS), 2),
                frames=n_frames,
                problem="; ".join(_list_problems(layout, video, undecodable)),
                unreadable=int(is_unreadable.sum()),
                decode_errors=len(undecodable),
                misnumbered=video.path.is_dir() and _has_wrong_length(layout, video),
            )
    except OSError as error:
        # reports name no local folders
        return replace(survey, problem=str(error).replace(f"{layout.root}{os.sep}", ""))


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
        # five, the first and the last among them
        numbers = np.unique(np.linspace(1, video.n_ava_frames, 5).astype(int)).tolist()
        return [number for number in numbers if not _can_decode(video, number)]
    try:
        for _ in video.iter_ava_frames():  # in order, each once
            pass
        return []
    except VideoError:
        # one by one, to name the faulty ones
        return [number for number in range(1, video.n_ava_frames + 1) if not _can_decode(video, number)]


def _can_decode(video, number):
    try:
        video.read_ava_frames([number])
        return True
    except VideoError:
        return False
