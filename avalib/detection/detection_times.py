"""The times of a video at which people and actions are detected."""

import math

import numpy as np
import pandas as pd

from avalib.detection.stretches import DEFAULT_STEP_S
from avalib.video.reader import Video


def choose_times(
    reader: Video, person_boxes: pd.DataFrame | None, step: float | None, start: float, stop: float | None
) -> np.ndarray:
    """Choose the times of a video at which people are detected.

    Parameters
    ----------
    reader : Video
    person_boxes : DataFrame or None
        From `read_person_boxes`; its times are taken, at least `step` apart.
    step : float or None
        Seconds; None: 1, or every time of the boxes.
    start, stop : float
        Seconds; stop None: the end of the video.

    Returns
    -------
    (M,) array of float
        Seconds, ascending.
    """
    # Seconds from the video's first frame, at most its length.
    stop = reader.duration_s if stop is None else min(stop, reader.duration_s)
    if not 0 <= start < stop:
        raise ValueError(f"start={start}, stop={stop:g}: {reader.path} has the seconds 0 to {reader.duration_s:.2f}")
    # A regular grid from `start`; the tolerance keeps a rounding error from adding a time at `stop`.
    if person_boxes is None:
        step = step or DEFAULT_STEP_S
        return start + np.arange(math.ceil((stop - start) / step - 1e-9)) * step
    # Of the boxes' times each that is at least a step after the last one chosen.
    chosen = []
    for time_s in np.unique(person_boxes["time_s"]):
        is_far_enough = not chosen or time_s >= chosen[-1] + (step or 0) - 1e-6
        if start <= time_s <= stop and is_far_enough:
            chosen.append(time_s)
    return np.array(chosen)
