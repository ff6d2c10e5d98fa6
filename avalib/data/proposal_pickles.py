"""Read person boxes as AVA publishes them, a pickle {"video_id,0902": array (n,5)}; and other pickles of plain values.

No code in a pickle is run, see utils.safe_pickle.
"""

import numpy as np
import pandas as pd

from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, check_rows, parse_number
from avalib.utils.pickled_arrays import PickleError
from avalib.utils.safe_pickle import load_pickle

PROPOSAL_COLUMNS = [*KEYFRAME_COLUMNS, *BOX_COLUMNS, "score"]
LARGEST_FRACTION = 2.0  # detectors' boxes may reach a little outside the frame (0..1); above this they are pixels
_EXPECTED = 'expected a dict "video_id,0902" -> array (n,5) of x1, y1, x2, y2 (0..1), score'


def read_pickle(path, content):
    """The dicts, lists, text, numbers and numpy arrays of a pickle.

    content: what it should hold, for messages. Raises ValueError that names the file, what is wrong and what to do.
    """
    try:
        return load_pickle(path)
    except PickleError as error:
        raise ValueError(
            f"{path}: not a pickle of {content}: {error}. Get the file again, or write it again"
        ) from error


def read_proposal_pickle(path):
    """Table of PROPOSAL_COLUMNS from a pickle of person boxes; video_id is a categorical. Values are checked.

    Raises ValueError that names file, key and value.
    """
    boxes_of_key = read_pickle(path, "person boxes")
    if not isinstance(boxes_of_key, dict):
        raise ValueError(f"{path}: a {type(boxes_of_key).__name__}; {_EXPECTED}")
    keys = [_decode(key) for key in boxes_of_key]
    videos, seconds = _split_keys(keys, path)
    arrays = [_to_array(boxes, key, path) for key, boxes in zip(keys, boxes_of_key.values(), strict=True)]
    counts = np.array([len(array) for array in arrays], np.int64)

    # all frames' boxes in one array, (N,5); the frame's video and second repeated for each of its boxes
    non_empty = [array for array in arrays if len(array)]
    values = np.concatenate(non_empty, dtype=np.float64) if non_empty else np.zeros((0, 5))
    codes, names = pd.factorize(np.array(videos, dtype=object))
    columns = {
        "video_id": pd.Categorical.from_codes(np.repeat(codes, counts), names),
        "timestamp": np.repeat(np.array(seconds, np.float64), counts),
    }
    columns |= dict(zip([*BOX_COLUMNS, "score"], values.T.copy(), strict=True))

    def locate(row):
        # row of the table -> its key, and the row of that key's array
        frame = int(np.searchsorted(np.cumsum(counts), row, side="right"))
        return f"{path}, key {keys[frame]!r}, row {row - int(counts[:frame].sum())}"

    return check_fractions(check_rows(pd.DataFrame(columns), path, locate=locate), locate)


def check_fractions(table, locate):
    """The table of person boxes. Raises ValueError for coordinates that can't be fractions of the frame.

    locate: maps a row number to its place for messages.
    """
    is_too_large = (table[BOX_COLUMNS].abs() > LARGEST_FRACTION).to_numpy()
    if is_too_large.any():
        # the first such value
        row, column = (int(n) for n in np.argwhere(is_too_large)[0])
        name = BOX_COLUMNS[column]
        raise ValueError(
            f"{locate(row)}, column {name}, value {table[name].iat[row]:g}: expected fractions of the frame (0..1). "
            "Are the boxes in pixels? Divide x by the frame's width and y by its height"
        )
    return table


def _decode(key):
    """A key as text; Python 2 wrote bytes."""
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else key


def _split_keys(keys, path):
    """The video ids and the seconds of keys "video_id,0902"; a video's name may contain commas."""
    videos = []
    seconds = []
    seconds_of_text = {}  # parse each text once
    for key in keys:
        # the last comma: names may have commas
        video_id, _, text = key.rpartition(",") if isinstance(key, str) else ("", "", "")
        if text not in seconds_of_text:
            seconds_of_text[text] = parse_number(text, default=np.nan)
        if not video_id or np.isnan(seconds_of_text[text]):
            raise ValueError(f"{path}, key {key!r:.120}: expected key video_id,0902 (a video, a comma, the second)")
        videos.append(video_id)
        seconds.append(seconds_of_text[text])
    return videos, seconds


def _to_array(boxes, key, path):
    """One frame's boxes as an array (n,5); any empty list or array is a frame without boxes."""
    if not isinstance(boxes, np.ndarray):
        try:
            boxes = np.asarray(boxes if isinstance(boxes, list | tuple) else [None], np.float64)
        except (TypeError, ValueError):
            fault = f"a list of rows that are not all 5 numbers long, or no list ({type(boxes).__name__})"
            raise ValueError(f"{path}, key {key!r:.120}: {fault}; expected an array (n,5)") from None
    if not boxes.size:
        return boxes.reshape(0, 5)
    if boxes.ndim != 2 or boxes.shape[1] != 5 or boxes.dtype.kind == "b":
        hint = "; the score is missing (1.0 for boxes drawn by hand)" if boxes.shape[-1:] == (4,) else ""
        fault = f"{boxes.dtype} array {boxes.shape}"
        raise ValueError(f"{path}, key {key!r:.120}: {fault}; expected a float array (n,5){hint}")
    return boxes
