"""The videos of a rendered data set, before anything is drawn: names, lengths, frame rates, kinds of shots."""

import itertools
import zlib
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from avalib.data.synthetic.render_manifest import SPLITS
from avalib.data.synthetic.scenes import deal_shot_kinds

FRAME_RATES = (Fraction(30), Fraction(25), Fraction(30000, 1001), *[Fraction(30)] * 5)
MEAN_SHOT_S = 5.2
ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ID_LENGTH = 11  # as YouTube's


@dataclass(frozen=True)
class Size:
    """How many videos, how long in seconds (shortest, longest), and of which of scenes.SHOT_KINDS (empty: all)."""

    train: int
    val: int
    seconds: tuple[float, float]
    kinds: tuple[str, ...] = ()


SIZES = {
    "tiny": Size(2, 1, (6.5, 8)),
    "mini": Size(31, 12, (28, 42)),
    "large": Size(240, 60, (40, 60)),
    "falls": Size(16, 6, (28, 42), ("falls",)),  # an experiment: falling and getting up, the same frames backwards
}


@dataclass(frozen=True)
class VideoSpec:
    """One video to be rendered: everything about it follows from `seed`."""

    video_id: str
    split: str
    suffix: str
    fps: Fraction
    n_frames: int
    seed: tuple[int, ...]
    kinds: tuple[str, ...]  # of its shots

    @property
    def file_name(self):
        return self.video_id + self.suffix

    @property
    def duration_s(self):
        return float(self.n_frames / self.fps)

    def build_rng(self, stream):
        """A generator for one of the streams of random numbers."""
        return np.random.default_rng([*self.seed, stream])


def list_videos(size: str = "mini", seed: int = 0) -> list[VideoSpec]:
    """The VideoSpecs of all videos of a size, train first. Raises ValueError for an unknown size."""
    if size not in SIZES:
        raise ValueError(f"size {size!r}: expected one of {', '.join(SIZES)}")
    # A number of the name that is the same in every process; hash() is not.
    size_key = zlib.crc32(size.encode())
    specs = []
    for split_index, split in enumerate(SPLITS):
        shot_kinds = deal_shot_kinds(np.random.default_rng((seed, size_key, split_index)), SIZES[size].kinds)
        for index in range(getattr(SIZES[size], split)):
            specs.append(_draw_video(size, split_index, index, (seed, size_key, split_index, index), shot_kinds))
    return specs


def _draw_video(size, split_index, index, seed, shot_kinds):
    """The VideoSpec of the index-th video of a split; `shot_kinds` is an endless iterator."""
    # Each video has a generator of its own, so that none depends on how many there are.
    rng = np.random.default_rng(seed)
    video_id = "".join(ID_CHARACTERS[k] for k in rng.integers(0, len(ID_CHARACTERS), ID_LENGTH))
    # Most videos have 30 frames per second; 25 and 29.97 test the numbering.
    fps = FRAME_RATES[(index + 2 * split_index) % len(FRAME_RATES)]
    duration_s = rng.uniform(*SIZES[size].seconds)
    n_shots = max(2, round(duration_s / MEAN_SHOT_S))
    is_first_of_val = SPLITS[split_index] == "val" and index == 0
    return VideoSpec(
        video_id=video_id,
        split=SPLITS[split_index],
        suffix=".mkv" if is_first_of_val else ".mp4",
        fps=fps,
        n_frames=round(duration_s * fps),
        seed=seed,
        kinds=tuple(itertools.islice(shot_kinds, n_shots)),
    )
