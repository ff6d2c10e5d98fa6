"""The clock of a table: the timestamp of a video's first frame, 900 by AVA's clock or 0 in data of one's own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.layout import DatasetLayout
from avalib.video.frame_numbers import AVA_START_S


def infer_start_from_file_name(boxes: pd.DataFrame | str | Path) -> int | None:
    """The second at which videos start in the data set that a file belongs to; None if its name does not tell."""
    if isinstance(boxes, pd.DataFrame):
        return None
    # A data set's annotations or proposals, in its folder: its layout knows the clock.
    path = Path(boxes)
    for version in ("own", "mini"):
        layout = DatasetLayout(path.absolute().parent.parent, version)
        for split in ("train", "val"):
            if path.name == layout.get_csv_path(split).name or path.stem == layout.get_proposals_path(split).stem:
                return layout.start_s
    return None


def infer_start_from_timestamps(timestamps: Sequence[float], duration_s: float, name: str) -> int:
    """The timestamp of a video's first frame: 900 by AVA's clock, 0 in data of one's own.

    Parameters
    ----------
    timestamps : (N,) array of float
        Seconds inside the video.
    duration_s : float
        The length of the video.
    name : str
        For the message.

    Returns
    -------
    float
        The one by which all timestamps lie inside the video.

    Raises
    ------
    ValueError
        All timestamps lie inside by both.
    """
    # The clocks by which all timestamps lie inside the video: from 0, from 900, both or neither.
    seconds = np.asarray(timestamps, float)
    possible = [s for s in (0, AVA_START_S) if ((seconds >= s) & (seconds <= s + duration_s)).all()]
    if len(possible) == 2 and len(seconds):
        raise ValueError(
            f"{name}: timestamps {seconds.min():g} to {seconds.max():g} may count from 0 or from {AVA_START_S}, as "
            f"AVA's do; give boxes_start=0 or boxes_start={AVA_START_S}"
        )
    if possible:
        return possible[-1]
    # Neither fits: the likelier clock; the caller then names the first time outside the video.
    return 0 if len(seconds) and seconds.min() < AVA_START_S else AVA_START_S
