"""Are Kinetics' clips as long as their names say? Each is opened once; what was seen is kept for the next call."""

import os
from pathlib import Path

import pandas as pd

from avalib.data.layout import DatasetLayout
from avalib.utils.files import is_writable, write_table
from avalib.utils.progress import show_progress
from avalib.utils.workers import run_parallel
from avalib.video.frame_numbers import AVA_FPS
from avalib.video.frame_source import open_video

MAX_SHORTER_S = 0.75  # than its name says, that a clip may be. Source: MMAction2 1.2.0, cut_kinetics.py
CHECKED_FILE = "kinetics_clips.csv"  # clips that were opened before: name, changed, fault
MIN_CLIPS_FOR_PROCESSES = 500


def find_faulty_clips(
    layout: DatasetLayout, names: list[str], workers: int | None = None, progress: bool = True
) -> dict[str, str]:
    """Open clips that weren't opened before, and find those that can't be used.

    Parameters
    ----------
    layout : DatasetLayout
        Has the clips.
    names : list of str
        The clips' names.
    workers : int, optional
        Processes; by default one per core for 500 clips or more, else this one.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    dict
        {name: why it can't be used}: it can't be read, or is more than 0.75 s shorter than its name says.
    """
    changed = {name: _get_time_changed(layout.find_video(name)) for name in names}
    earlier = _read_checked(layout.root / CHECKED_FILE)
    faults = {name: earlier[name][1] for name in names if earlier.get(name, (None, ""))[0] == changed[name]}
    arguments = {name: (layout, name) for name in names if name not in faults}
    workers = workers or (1 if len(arguments) < MIN_CLIPS_FOR_PROCESSES else os.cpu_count())
    try:
        with show_progress(
            total=len(arguments), desc="checking clips", unit="clip", disable=not (progress and arguments)
        ) as bar:
            for name, get_fault in run_parallel(describe_clip_fault, workers, arguments):
                faults[name] = get_fault()
                bar.update()
    finally:
        # after an interruption too, so that the next call goes on from here
        if arguments and is_writable(layout.root):
            earlier |= {name: (changed[name], fault) for name, fault in faults.items()}
            _write_checked(layout.root / CHECKED_FILE, earlier)
    return {name: faults[name] for name in names if faults[name]}


def describe_clip_fault(layout: DatasetLayout, name: str) -> str:
    """Why a clip can't be used, as text; "" if it can."""
    length_s = layout.get_clip(name).length_s
    try:
        with open_video(layout, name) as video:
            seconds = video.n_ava_frames / AVA_FPS
    except OSError as error:
        return str(error).replace(f"{layout.root}{os.sep}", "")
    if seconds < length_s - MAX_SHORTER_S:
        return f"{name} is {seconds:.2f} s long, its name says {length_s} s"
    return ""


def _get_time_changed(path: Path) -> int:
    return path.stat().st_mtime_ns


def _read_checked(path):
    """{name: (time of the file's last change, fault)} of earlier calls."""
    if not path.is_file():
        return {}
    table = pd.read_csv(path, dtype={"name": str, "changed": "int64", "fault": str}, keep_default_na=False)
    return {row.name: (row.changed, row.fault) for row in table.itertuples(index=False, name="Checked")}


def _write_checked(path, checked):
    rows = [(name, changed, fault) for name, (changed, fault) in checked.items()]
    write_table(pd.DataFrame(rows, columns=["name", "changed", "fault"]), path)
