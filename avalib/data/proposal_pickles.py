"""Person boxes as AVA publishes them, a pickle {"video_id,0902": array (n,5)}; and other pickles of plain values."""

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS, check_rows, parse_number
from avalib.utils.pickled_arrays import PickleError
from avalib.utils.safe_pickle import load

COLUMNS = ["video_id", "timestamp", *BOX_COLUMNS, "score"]
LARGEST_FRACTION = 2.0  # boxes are in fractions of the frame; detectors let them stand out a little, pixels begin above
_EXPECTED = 'expected a dict "video_id,0902" -> array (n,5) of x1, y1, x2, y2 (0..1), score'


def read_pickle(path, what):
    """The dicts, lists, text, numbers and numpy arrays of a pickle; no code in it is run.

    Raises ValueError that names the file, what is wrong and what to do. See utils.safe_pickle for the bounds.
    """
    try:
        return load(path)
    except PickleError as error:
        raise ValueError(f"{path}: not a pickle of {what}: {error}. Get the file again, or make it anew") from error


def read_frames(path):
    """Table of COLUMNS from a pickle of person boxes; video_id is a categorical. Values are checked.

    Raises ValueError that names file, key and value.
    """
    frames = read_pickle(path, "person boxes")
    if not isinstance(frames, dict):
        raise ValueError(f"{path}: a {type(frames).__name__}; {_EXPECTED}")
    keys = [_decode(key) for key in frames]
    videos, seconds = _split(keys, path)
    arrays = [_boxes(boxes, key, path) for key, boxes in zip(keys, frames.values(), strict=True)]
    counts = np.array([len(array) for array in arrays], np.int64)
    filled = [array for array in arrays if len(array)]
    values = np.concatenate(filled, dtype=np.float64) if filled else np.zeros((0, 5))
    codes, names = pd.factorize(np.array(videos, dtype=object))
    columns = {"video_id": pd.Categorical.from_codes(np.repeat(codes, counts), names)}
    columns |= {"timestamp": np.repeat(np.array(seconds, np.float64), counts)}
    table = pd.DataFrame(columns | dict(zip([*BOX_COLUMNS, "score"], values.T.copy(), strict=True)))

    def place(row):
        frame = int(np.searchsorted(np.cumsum(counts), row, side="right"))
        return f"{path}, key {keys[frame]!r}, row {row - int(counts[:frame].sum())}"

    return check_fractions(check_rows(table, path, place=place), place)


def check_fractions(table, place):
    """The table of person boxes; a ValueError for coordinates that can't be fractions of the frame.

    place: row number -> the place in words.
    """
    far = (table[BOX_COLUMNS].abs() > LARGEST_FRACTION).to_numpy()
    if far.any():
        row, column = (int(n) for n in np.argwhere(far)[0])
        value = f"{table[BOX_COLUMNS].iat[row, column]:g}"
        raise ValueError(
            f"{place(row)}, column {BOX_COLUMNS[column]}, value {value}: expected fractions of the frame (0..1). Are the boxes "
            "in pixels? Divide x by the frame's width and y by its height"
        )
    return table


def _decode(key):
    """A key as text; Python 2 wrote bytes."""
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else key


def _split(keys, path):
    """The videos and seconds of keys "video_id,0902"; a video's name may have commas."""
    videos, seconds, known = [], [], {}
    for key in keys:
        video, _, second = key.rpartition(",") if isinstance(key, str) else ("", "", "")
        if second not in known:
            known[second] = parse_number(second, default=np.nan)
        if not video or known[second] != known[second]:
            raise ValueError(f"{path}, key {key!r:.120}: expected key video_id,0902 (a video, a comma, the second)")
        videos.append(video)
        seconds.append(known[second])
    return videos, seconds


def _boxes(boxes, key, path):
    """One frame's boxes as an array (n,5); any empty list or array is a frame without boxes."""
    if not isinstance(boxes, np.ndarray):
        try:
            boxes = np.asarray(boxes if isinstance(boxes, list | tuple) else [None], np.float64)
        except (TypeError, ValueError):
            what = f"a list of rows that are not all 5 numbers long, or no list ({type(boxes).__name__})"
            raise ValueError(f"{path}, key {key!r:.120}: {what}; expected an array (n,5)") from None
    if not boxes.size:
        return boxes.reshape(0, 5)
    if boxes.ndim != 2 or boxes.shape[1] != 5 or boxes.dtype.kind == "b":
        hint = "; the score is missing (1.0 for boxes drawn by hand)" if boxes.shape[-1:] == (4,) else ""
        what = f"{boxes.dtype} array {boxes.shape}"
        raise ValueError(f"{path}, key {key!r:.120}: {what}; expected a float array (n,5){hint}")
    return boxes
