"""Cuts: frames that follow each other and are of two shots; dissolves and fades through black, too.

Flashes, fast pans and changes of the light are no cuts.

Frames are compared as thumbnails, and nothing but the frames within half a second decides about a cut. So a stretch of
a video has the same cuts as the whole.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from PIL import Image

from avalib.video.frame_numbers import AVA_FPS

# Two frames whose thumbnails differ by more levels, on average, are of two shots. In the mini-AVA, frame by frame,
# cuts differ by 26 to 59, frames of one shot by at most 11.
CUT_THRESHOLD = 22
# A jump is no cut if the camera has moved: the thumbnails, shifted by up to MAX_SHIFT, differ by less than this share
# of the jump. By measure_cuts.py it is at most 0.46 in pans of up to a fifth of the picture a frame, at least 0.67 at
# cuts.
MOVED_SHARE = 0.56
MAX_SHIFT = (3, 7)  # rows and columns of a thumbnail
# Nor is it one if only the light has changed: one thumbnail, times a factor, differs from the other by less than this
# share of the mean level, and their correlation is higher. By measure_cuts.py the first is at most 0.11 in changes of
# the light, at least 0.21 at cuts; the second at least 0.68. Plain pictures have none.
MAX_LIGHT_RESIDUAL = 0.16
MIN_LIGHT_CORRELATION = 0.6
# A jump between two frames is a flash if the picture of before is back within FLASH_WINDOW frames: a difference of less
# than this share of the jump. At the mini-AVA's cuts it is 0.93 or more.
SAME_SHOT_SHARE = 0.6
FLASH_WINDOW = 4  # frames before and after a jump that are compared: flashes of up to three frames
BLACK_LEVEL = 10  # the brightest part of a black thumbnail
# In a dissolve the frames lie on the straight line from one picture to the other. In the mini-AVA none of 42,000 frames
# inside shots is within these bounds, and of 300 dissolves between its shots 72 % are.
DISSOLVE_S = 0.4  # before and after its middle
MAX_RESIDUAL = 0.18  # mean distance from the line, as a share of its length
MAX_STEP = 0.4  # the largest step along the line between two frames: more is a hard cut
MAX_CORRELATION = 0.9  # of both pictures: more is a change of the light
MAX_BRIGHTNESS_SHARE = 0.7  # of the difference that all colors have in common: more is a change of the light or a fade


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
    jump = measure_difference(before, after)
    return jump > CUT_THRESHOLD and not _has_other_light(before, after) and not _has_moved(before, after, jump)


def _has_other_light(before, after):
    """Whether one thumbnail is the other one times a factor."""
    if min(before.std(), after.std()) == 0:
        return False
    if np.corrcoef(before.ravel(), after.ravel())[0, 1] < MIN_LIGHT_CORRELATION:
        return False
    for dark, bright in ((before, after), (after, before)):
        factor = (dark * bright).sum() / max((dark**2).sum(), 1e-9)
        if np.abs(bright - factor * dark).mean() < MAX_LIGHT_RESIDUAL * bright.mean():
            return True
    return False


def _has_moved(before, after, jump):
    """Whether two thumbnails are of one place, shifted; `jump` is their difference."""
    height, width = before.shape[:2]
    for down in range(-MAX_SHIFT[0], MAX_SHIFT[0] + 1):
        for across in range(-MAX_SHIFT[1], MAX_SHIFT[1] + 1):
            # the part that both show
            rows = slice(max(0, down), height + min(0, down))
            columns = slice(max(0, across), width + min(0, across))
            rows_after = slice(max(0, -down), height + min(0, -down))
            columns_after = slice(max(0, -across), width + min(0, -across))
            if measure_difference(before[rows, columns], after[rows_after, columns_after]) < MOVED_SHARE * jump:
                return True
    return False


class CutFinder:
    """Finds the cuts in a stream of frames; each is known `n_ahead` frames later.

    Parameters
    ----------
    fps : float
        Frames per second.
    """

    def __init__(self, fps: float = AVA_FPS):
        self.half = max(FLASH_WINDOW, round(DISSOLVE_S * fps))  # frames before and after the middle of a dissolve
        self._frames = deque(maxlen=2 * self.half + 1)  # the last (number, thumbnail) pairs

    @property
    def n_ahead(self) -> int:
        """How many frames after a frame decide whether a cut lies before it; one more and two before it do, too."""
        return self.half - 1

    @property
    def last_decided(self) -> int:
        """The last frame of which it is known whether a cut lies before it; -1: none."""
        return self._frames[-self.half][0] if len(self._frames) >= self.half else -1

    def add(self, number: int, thumbnail: np.ndarray) -> list[int]:
        """Add the next frame; -> the frames that a cut lies before, of those that are decided now: none or one."""
        self._frames.append((number, thumbnail))
        middle = len(self._frames) - self.half
        return self._list_cuts(middle, middle + 1)

    def finish(self) -> list[int]:
        """The frames that a cut lies before, of the last ones, after which no frame follows."""
        return self._list_cuts(len(self._frames) - self.half + 1, len(self._frames))

    def _list_cuts(self, first, stop):
        """The numbers of the frames at some places of the window that a cut lies before."""
        cuts = []
        for i in range(max(first, 1), stop):
            thumbnails = [thumbnail for _, thumbnail in self._frames]
            if _is_hard_cut(thumbnails[:i], thumbnails[i:]) or self._is_dissolve(thumbnails, i):
                cuts.append(self._frames[i][0])
        return cuts

    def _is_dissolve(self, thumbnails, i):
        """Whether frame i is the first one behind the middle of a dissolve; only of the first of such neighbors."""
        if i <= self.half or i + self.half > len(thumbnails):
            return False
        windows = [np.stack(thumbnails[k - self.half : k + self.half]) for k in (i, i - 1)]
        return _has_dissolve_in_middle(windows[0]) and not _has_dissolve_in_middle(windows[1])


def _is_hard_cut(before, after):
    """Whether a cut lies between the thumbnails before and those after it; a fade out of black counts as one."""
    jump = measure_difference(before[-1], after[0])
    if jump <= CUT_THRESHOLD:
        return _is_black(before[-1]) and not _is_black(after[0])
    if not is_cut(before[-1], after[0]):
        return False
    # a flash: the picture of before is back
    pairs = [(a, b) for a in before[-FLASH_WINDOW:] for b in after[:FLASH_WINDOW]]
    return min(measure_difference(a, b) for a, b in pairs) > SAME_SHOT_SHARE * jump


def _has_dissolve_in_middle(window):
    """Whether a window (2n,16,24,3) of thumbnails goes from one picture to another, and is half way in its middle."""
    window = window.reshape(len(window), -1)
    first, last = window[:2].mean(axis=0), window[-2:].mean(axis=0)
    line = last - first
    length = np.abs(line).mean()
    if length <= CUT_THRESHOLD or abs(line.mean()) >= MAX_BRIGHTNESS_SHARE * length:
        return False
    # (2n,) how far along the line each frame is, 0 to 1
    progress = (window - first) @ line / (line @ line)
    middle = len(window) // 2
    if not progress[middle - 1] < 0.5 <= progress[middle] or np.diff(progress).max() >= MAX_STEP:
        return False
    residual = np.abs(window - (first + progress[:, None] * line)).mean()
    if residual >= MAX_RESIDUAL * length or _is_black(first) or _is_black(last):
        return False
    return np.corrcoef(first, last)[0, 1] < MAX_CORRELATION


def _is_black(thumbnail):
    """Whether nothing can be seen."""
    return thumbnail.max() < BLACK_LEVEL


def find_cuts(frames: Sequence[np.ndarray], times_s: np.ndarray) -> np.ndarray:
    """The times (K,) of the frames that a cut lies before; frames (N,H,W,3) uint8 at times_s (N,)."""
    times_s = np.asarray(times_s, float)
    finder = CutFinder(1 / np.median(np.diff(times_s)) if len(times_s) > 1 else AVA_FPS)
    cuts = []
    for i, frame in enumerate(frames):
        cuts += finder.add(i, make_thumbnail(frame))
    return times_s[[*cuts, *finder.finish()]]
