"""PySlowFast's frame lists, frame_lists/{train,val}.csv: do their positions mean the frames that are read?

A clip of PySlowFast has positions in a video's list of frames, from 0. Frames are read here by the numbers in their
files' names, so position p has to be the file with number p + 1 (or p, where the files are counted from 0).

Source: PySlowFast, slowfast/datasets/ava_helper.py; the lists of Long-Term Feature Banks.
"""

import re
from pathlib import Path, PurePosixPath

import pandas as pd

COLUMNS = ("original_vido_id", "video_id", "frame_id", "path", "labels")  # "vido": as the original spells it
_FRAME_NAME = re.compile(r"(.*?)(\d+)\D*")


def read_frame_list(path: str | Path) -> pd.DataFrame:
    """Read a frame list, and check that each video's frames are all there, in order.

    Parameters
    ----------
    path : str or Path
        Columns original_vido_id, video_id, frame_id, path, labels, separated by blanks, with a header.

    Returns
    -------
    DataFrame
        One row per video: video_id, frames (how many), first (the number in the first one's name, 0 or 1).

    Raises
    ------
    ValueError
        Naming file, line and value: a row without 5 columns, a file without a number, or one that isn't the frame
        after the one before it.
    """
    counts = {}  # {video_id: frames so far}
    first_numbers = {}  # {video_id: number in the name of its first frame}
    with open(path, encoding="utf-8") as file:
        header = file.readline().split()
        if tuple(header) != COLUMNS:
            raise ValueError(f"{path}, line 1, value {' '.join(header)[:80]!r}: expected {' '.join(COLUMNS)}")
        for line, text in enumerate(file, 2):
            fields = text.split()
            if len(fields) != len(COLUMNS):
                raise ValueError(f"{path}, line {line}: {len(fields)} columns, expected {len(COLUMNS)}")
            video_id, name = fields[0], fields[3]
            match = _FRAME_NAME.fullmatch(PurePosixPath(name).stem)
            if match is None:
                raise ValueError(f"{path}, line {line}, value {name[:80]!r}: expected a file's name with a number")
            number = int(match[2])
            position = counts.get(video_id, 0)
            first = first_numbers.setdefault(video_id, number)
            if number != first + position or first > 1:
                raise ValueError(
                    f"{path}, line {line}, value {name[:80]!r}: expected the frame with number "
                    f"{(first if first <= 1 else 1) + position}; a list with gaps means other frames than are read here"
                )
            counts[video_id] = position + 1
    rows = [(video_id, count, first_numbers[video_id]) for video_id, count in counts.items()]
    return pd.DataFrame(rows, columns=["video_id", "frames", "first"])
