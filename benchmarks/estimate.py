"""What large jobs would cost, on paper: the table in docs/benchmarks.md, from measured and assumed numbers.

    python benchmarks/estimate.py

Inputs: FLOPs a clip (counted), clips a second of a GPU (bench_gpu.json of check_gpu.py, else assumed), core-seconds a
clip of decoding (bench_video.json). Everything scales by its count; nothing here was run at these sizes.
"""

import json
import re

from common import RESULTS, ROOT

from avalib.utils.files import write_text

MARKS = re.compile(r"(<!-- estimate -->\n).*?(\n<!-- /estimate -->)", re.S)
GPUS = (1, 8, 128)
ASSUMED_CLIPS_S = 600  # SlowOnly R50 in training on an H200, bfloat16: the middle of the 400 to 800 that are expected
ASSUMED_MP4, ASSUMED_IN_ORDER, ASSUMED_CACHE = 2.0, 10.0, 150.0  # clips per core-second
TRAIN_GFLOP, TEST_GFLOP = 3 * 83.1, 113.4 * 455 / 340  # a clip: 256x256 forward and backward; 256x455 forward
EPOCHS = 20
SCORES = 3.6e9 * 1.7 * 80  # of a million hours
JOBS = {  # name: (clips trained on, clips scored, hours of video to decode)
    "AVA v2.1, 20 epochs, validated after each": (184_000 * EPOCHS, 57_000 * EPOCHS, 299 * 0.25),
    "AVA-Kinetics, 20 epochs (about 350,000 keyframes)": (
        350_000 * EPOCHS,
        90_000 * EPOCHS,
        299 * 0.25 + 239_000 / 360,
    ),
    "a million hours of video, one keyframe a second": (0, 3_600_000_000, 1_000_000),
}


def main():
    table, path = format_table(), ROOT / "docs" / "benchmarks.md"
    page = path.read_text(encoding="utf-8")
    write_text(path, MARKS.sub(lambda marks: marks[1] + table + marks[2], page))
    print(table)


def read_inputs():
    """{name: (value, where it is from)}."""
    sources = {
        "train": (ASSUMED_CLIPS_S, "assumed"),
        "mp4": (ASSUMED_MP4, "assumed"),
        "order": (ASSUMED_IN_ORDER, "assumed"),
        "cache": (ASSUMED_CACHE, "assumed"),
    }
    patterns = {
        "train": ("gpu", "GPU training, slowonly_r50, batch"),
        "mp4": ("video", "clips 4x16 from mp4, "),
        "order": ("video", "clips 4x16 from mp4 in order"),
        "cache": ("video", "clips 4x16 from the cache"),
    }
    for name, (record, start) in patterns.items():
        path = RESULTS / f"bench_{record}.json"
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else ()
        for row in rows:
            if row["what"].startswith(start) and row["ours"]:
                sources[name] = row["ours"], "measured"
    return sources


def format_table():
    """The table, its inputs, and what breaks first."""
    sources = read_inputs()
    train, mp4, order, cache = (sources[name][0] for name in ("train", "mp4", "order", "cache"))
    score = train * TRAIN_GFLOP / TEST_GFLOP  # the same arithmetic a second
    head = ["on paper, SlowOnly R50", *(f"{n} GPU{'s' * (n > 1)}" for n in GPUS), "decoding, once"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for job, (trained, scored, hours) in JOBS.items():
        seconds = trained / train + scored / score
        cells = [format_duration(seconds / n) for n in GPUS]
        lines.append(f"| {job} | {' | '.join(cells)} | {hours / order:,.0f} core-hours |")
    values = {name: f"{value:.3g} ({where})" for name, (value, where) in sources.items()}
    lines += [
        "",
        f"Inputs: {values['train']} training clips a second of one GPU; clips per core-second: {values['mp4']} from "
        f"mp4 at random, {values['order']} in order, {values['cache']} from the cache; {TRAIN_GFLOP:.0f} GFLOP a "
        f"training clip, {TEST_GFLOP:.0f} a test clip; GPUs scale evenly.",
        "",
        f"What breaks first: decoding. Feeding one GPU in training takes {train / mp4:,.0f} cores from mp4 and "
        f"{train / cache:,.1f} from the cache; in scoring, in order, {score / order:,.0f}. Then AVA itself: 128 GPUs "
        f"with 16 clips each take {184_000 / 128 / 16:.0f} steps an epoch, far from the recipe. Then, for a million "
        f"hours, the table: {SCORES / 1e9:,.0f} billion scores (80 for each of 1.7 people a keyframe), "
        f"{4 * SCORES / 1e12:,.0f} TB as float32 and some thirty times that as csv: a score threshold, and one table a "
        "video.",
    ]
    return "\n".join(lines)


def format_duration(seconds):
    """A duration in words."""
    if seconds < 5400:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:,.0f} days"


if __name__ == "__main__":
    main()
