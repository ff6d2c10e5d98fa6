"""Cuts: frames that follow each other and are of two shots. Flashes are no cuts; after a fade through black one is.

Frames are compared as thumbnails, and nothing but the few frames around it decides about a cut. So a stretch of a video
has the same cuts as the whole.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from PIL import Image

# Two frames whose thumbnails differ by more levels, on average, are of two shots. In the mini-AVA, frame by frame,
# cuts differ by 26 to 59, frames of one shot by at most 11.
CUT_THRESHOLD = 22
# A jump between two frames is a flash if the picture of before is back within WINDOW frames: thumbnails that differ by
# fewer levels. Frames of one shot that are so far apart differ by 10 (98 %), two shots by 26 or more.
SAME_SHOT_THRESHOLD = 16
WINDOW = 4  # frames before and after a jump that are compared: flashes of up to three frames
BLACK_LEVEL = 10  # the brightest part of a black thumbnail


def make_thumbnail(frame: np.ndarray) -> np.ndarray:
    """A frame (H,W,3) uint8 as (16,24,3), float: colors, as two places may be equally bright."""
    # few rows and columns tell a cut, and cost no time
    every_nth_row = frame[:: max(1, frame.shape[0] // 128)]
    picture = Image.fromarray(np.ascontiguousarray(every_nth_row))
    narrow = picture.resize((192, picture.height), Image.Resampling.NEAREST)
    return np.asarray(narrow.resize((24, 16), Image.Resampling.BOX), float)


def measure_difference(a: np.ndarray, b: np.ndarray) -> float:
    """The mean difference of two thumbnails in levels, 0..255."""
    return float(np.abs(a - b).mean())


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two thumbnails of frames that follow each other are of two shots, for who cannot wait for more frames."""
    return measure_difference(before, after) > CUT_THRESHOLD


class CutFinder:
    """Finds the cuts in a stream of frames; each is known WINDOW - 1 frames later."""

    def __init__(self):
        self._frames = deque(maxlen=2 * WINDOW)  # the last (number, thumbnail) pairs

    def add(self, number: int, thumbnail: np.ndarray) -> list[int]:
        """Add the next frame; -> the frames that a cut lies before, of those that are decided now: none or one."""
        self._frames.append((number, thumbnail))
        return self._list_cuts(len(self._frames) - WINDOW, len(self._frames) - WINDOW + 1)

    @property
    def last_decided(self) -> int:
        """The last frame of which it is known whether a cut lies before it; -1: none."""
        return self._frames[-WINDOW][0] if len(self._frames) >= WINDOW else -1

    def finish(self) -> list[int]:
        """The frames that a cut lies before, of the last ones, after which no frame follows."""
        return self._list_cuts(len(self._frames) - WINDOW + 1, len(self._frames))

    def _list_cuts(self, first, stop):
        """The numbers of the frames at some places of the window that a cut lies before."""
        numbers = [number for number, _ in self._frames]
        thumbnails = [thumbnail for _, thumbnail in self._frames]
        places = range(max(first, 1), stop)
        return [numbers[i] for i in places if _begins_shot(thumbnails[max(i - WINDOW, 0) : i], thumbnails[i:])]


def _begins_shot(before, after):
    """Whether a cut lies between the thumbnails before and those after it."""
    if not is_cut(before[-1], after[0]):
        # the first picture that fades in
        return _is_black(before[-1]) and not _is_black(after[0])
    # a flash: the picture of before is back
    return min(measure_difference(a, b) for a in before for b in after) > SAME_SHOT_THRESHOLD


def _is_black(thumbnail):
    """Whether nothing can be seen."""
    return thumbnail.max() < BLACK_LEVEL


def find_cuts(frames: Sequence[np.ndarray], times_s: np.ndarray) -> np.ndarray:
    """The times (K,) of the frames that a cut lies before; frames (N,H,W,3) uint8 at times_s (N,)."""
    finder = CutFinder()
    cuts = []
    for i, frame in enumerate(frames):
        cuts += finder.add(i, make_thumbnail(frame))
    return np.asarray(times_s)[[*cuts, *finder.finish()]]
