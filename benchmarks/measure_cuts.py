"""How many cuts are found: all of the rendered mini-AVA, and 350 transitions of a film that looks real.

    python benchmarks/measure_cuts.py        about three minutes; prints a table, writes outputs/benchmarks/cuts.json

The film (film.py) pans, things move over it, and it has a grain. Of each kind of transition there are fifty, made from
seeds; flashes, fast pans and changes of the light are no cuts.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from common import RESULTS
from film import generate_frames

from avalib.data.catalog import prepare
from avalib.data.synthetic.generate import build_takes
from avalib.data.synthetic.video_specs import list_videos
from avalib.utils.files import write_json
from avalib.video.cut_finder import CutFinder, make_thumbnail
from avalib.video.reader import Video

SHOT_LEN = 40  # frames of each shot of a made transition
COUNT = 50  # transitions of a kind
TOLERANCE = 1  # frames by which a hard cut may be off


@dataclass(frozen=True)
class Transition:
    """A film with at most one cut in it."""

    frames: list
    first: int | None  # the cut lies before one of the frames first..last; None: there is no cut
    last: int | None = None


def make_shot(seed, count=SHOT_LEN):
    """`count` frames of the film, (180,320,3) uint8."""
    return list(generate_frames(count, 320, 180, seed))


def make_hard_cut(rng, seed):
    return Transition([*make_shot(seed), *make_shot(seed + 1)], SHOT_LEN, SHOT_LEN)


def make_closer_view(rng, seed):
    """A cut to the middle of the same place."""
    frames = make_shot(seed, 2 * SHOT_LEN)
    closer = [frame[36:144, 64:256].repeat(2, axis=0).repeat(2, axis=1)[:180, :320] for frame in frames[SHOT_LEN:]]
    return Transition([*frames[:SHOT_LEN], *closer], SHOT_LEN, SHOT_LEN)


def make_dissolve(rng, seed):
    """One shot becomes the other within 8 to 24 frames."""
    length = int(rng.integers(8, 25))
    first = SHOT_LEN - length // 2
    share = np.clip((np.arange(2 * SHOT_LEN) - first) / length, 0, 1)
    before, after = make_shot(seed, 2 * SHOT_LEN), make_shot(seed + 1, 2 * SHOT_LEN)
    mixed = [((1 - p) * a + p * b).astype(np.uint8) for p, a, b in zip(share, before, after, strict=True)]
    return Transition(mixed, first, first + length)


def make_fade(rng, seed):
    """Through black, 8 to 16 frames down and as many up."""
    length = int(rng.integers(8, 17))
    brightness = np.clip((np.abs(np.arange(2 * SHOT_LEN) - SHOT_LEN) - 1) / length, 0, 1)
    shots = [*make_shot(seed), *make_shot(seed + 1)]
    frames = [(share * frame).astype(np.uint8) for share, frame in zip(brightness, shots, strict=True)]
    return Transition(frames, SHOT_LEN - length, SHOT_LEN + length)


def make_flash(rng, seed):
    """One to three frames that are nearly white."""
    frames = make_shot(seed)
    for n in range(20, 20 + int(rng.integers(1, 4))):
        frames[n] = (0.15 * frames[n] + 0.85 * 255).astype(np.uint8)
    return Transition(frames, None)


def make_fast_pan(rng, seed):
    """The camera moves by 20 to 60 pixels a frame, over a place that is wider than the picture."""
    wide = np.concatenate(make_shot(seed, 60)[::15], axis=1)
    speed = int(rng.integers(20, 61))
    lefts = np.minimum(speed * np.maximum(np.arange(SHOT_LEN) - 10, 0), wide.shape[1] - 320)
    return Transition([wide[:, left : left + 320] for left in lefts], None)


def make_light_change(rng, seed):
    """The light becomes half as bright, or twice, within 2 to 10 frames."""
    length = int(rng.integers(2, 11))
    share = np.clip((np.arange(SHOT_LEN) - 15) / length, 0, 1)
    brightness = (1 - 0.5 * share)[:: int(rng.choice([-1, 1]))]
    return Transition([(b * f).astype(np.uint8) for b, f in zip(brightness, make_shot(seed), strict=True)], None)


KINDS: dict[str, Callable] = {
    "hard cut": make_hard_cut,
    "cut to a closer view": make_closer_view,
    "dissolve": make_dissolve,
    "fade through black": make_fade,
    "flash": make_flash,
    "fast pan": make_fast_pan,
    "change of light": make_light_change,
}


def list_cuts(frames):
    """The numbers of the frames that a cut lies before."""
    finder = CutFinder()
    cuts = [cut for n, frame in enumerate(frames) for cut in finder.add(n, make_thumbnail(frame))]
    return [*cuts, *finder.finish()]


def measure_rendered(size, seed=0):
    """The row of the rendered data set: all its cuts are known."""
    layout = prepare(size, seed)
    row = {"kind": f"rendered ({size})", "cuts": 0, "found": 0, "false": 0, "frames": 0}
    for spec in list_videos(size, seed):
        expected = np.array([take.first_frame for take in build_takes(spec)][1:])
        with Video(layout.videos / spec.file_name) as video:
            cuts = np.array(list_cuts(video.iter_frames()))
        # (expected, cuts) bool: which of them are the same
        is_same = np.abs(expected[:, None] - cuts[None]) <= TOLERANCE
        row["cuts"] += len(expected)
        row["found"] += int(is_same.any(axis=1).sum())
        row["false"] += int((~is_same.any(axis=0)).sum())
        row["frames"] += spec.n_frames
    return row


def measure_made(kind):
    """The row of one kind of transition."""
    rng = np.random.default_rng(0)
    row = {"kind": kind, "cuts": 0, "found": 0, "false": 0, "frames": 0}
    for i in range(COUNT):
        transition = KINDS[kind](rng, 2 * i)
        cuts = list_cuts(transition.frames)
        row["frames"] += len(transition.frames)
        if transition.first is None:
            row["false"] += len(cuts)
            continue
        is_in_place = [transition.first - TOLERANCE <= n <= transition.last + TOLERANCE for n in cuts]
        row["cuts"] += 1
        row["found"] += any(is_in_place)
        row["false"] += len(cuts) - any(is_in_place)  # a second cut in one transition is one too many
    return row


def main(arguments=None):
    """Measure everything, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="mini", help="of the rendered data set")
    parser.add_argument("--json", default=RESULTS / "cuts.json", help="where the figures go")
    options = parser.parse_args(arguments)
    rows = [measure_rendered(options.size), *map(measure_made, KINDS)]
    print(pd.DataFrame(rows).to_string(index=False))
    write_json(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
