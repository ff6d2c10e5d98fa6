"""A video in stretches: each is computed on its own, on any machine; tracks and cuts are joined in a second pass.

Every video is computed in these stretches, by one process as well as by a cluster. That is why the results are the same
to the bit wherever a stretch was computed.
"""

from dataclasses import dataclass, replace

import numpy as np

from avalib.utils.tracker import Tracker

STRETCH_LEN = 240  # times
DEFAULT_STEP_S = 1.0
TRACK_GAP_STEPS = 2.5  # a track ends after so many steps without its person, who may be hidden at one time or two


@dataclass(frozen=True)
class StretchResult:
    """What was detected in one stretch of a video, before people are tracked."""

    frame_results: list  # of FrameResult, in order of time, of the times with people
    skipped_s: list  # of float: times whose clip cannot be decoded
    cut_frames: list  # of int: the native frames that cuts lie before
    n_times: int  # that are finished
    n_frames: int  # that were read
    is_interrupted: bool = False  # by Ctrl-C


def split_times(times_s: np.ndarray, length: int = STRETCH_LEN) -> list[np.ndarray]:
    """Split the times (M,) of a video into stretches of `length` times; the last one may be shorter."""
    return np.split(times_s, np.arange(length, len(times_s), length))


def track_people(stretches: list[StretchResult], times_s: np.ndarray) -> list:
    """Give the people of a whole video ids that last; people after a cut are others.

    Parameters
    ----------
    stretches : list of StretchResult
        In order of time.
    times_s : (M,) array of float
        All times of the video, also those without people.

    Returns
    -------
    list of FrameResult
        Ids that came with the boxes stay.
    """
    # The tracker bridges a person who is hidden at one time or two.
    step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else DEFAULT_STEP_S
    tracker = Tracker(max_gap_s=TRACK_GAP_STEPS * max(step_s, 1))
    cut_frames = [cut for stretch in stretches for cut in stretch.cut_frames]
    current_shot = 0
    tracked = []
    for result in (result for stretch in stretches for result in stretch.frame_results):
        if result.person_ids is None:
            # The shot's number is that of the cuts up to the frame.
            shot = int(np.searchsorted(cut_frames, result.frame, side="right"))
            if shot != current_shot:
                tracker.reset()
                current_shot = shot
            result = replace(result, person_ids=tracker.update(result.time_s, result.boxes))
        tracked.append(result)
    return tracked
