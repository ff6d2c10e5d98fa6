"""How time and memory grow with clips, people per keyframe, video length and classes; a plot each.

    python benchmarks/bench_growth.py [--repeats 3] [--figure outputs/figures/bench_growth.png]

Each point is a fresh process. clips: `detect` at this many times of one film. people: SlowOnly R50 on one clip of
256x340 with this many boxes. seconds of video: `detect` at eight times of a film of this length. classes: the evaluator
on 3,000 keyframes with three people and this many classes. Time grows by an exponent, computed from the largest and the
third largest size (two neighboring sizes are too close for a noisy machine). Above 1.1 it is worse than linear, a
defect.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import film
import numpy as np
import pandas as pd
from common import ROOT, build_parser, compare, get_peak_gb, record

MAX_EXPONENT = 1.1


def main():
    parser = build_parser("growth", __doc__, repeats=3)
    parser.add_argument("--figure", default=ROOT / "outputs" / "figures" / "bench_growth.png")
    parser.add_argument("--child", nargs=3, help="(series, size, the folder of films: used by itself)")
    args = parser.parse_args()
    if args.child:
        name, size, folder = args.child
        print(json.dumps(measure(SERIES[name].prepare(int(size), Path(folder)))))
        return
    with tempfile.TemporaryDirectory() as folder:
        for seconds in {CLIPS_FILM_S, *SERIES["seconds of video"].sizes}:
            film.write_film(Path(folder, f"{seconds}.mp4"), seconds, 320, 180)
        points = {}
        for name, series in SERIES.items():
            points[name] = [measure_point(name, size, folder, args.repeats) for size in series.sizes]
    rows = [compare_series(name, points[name]) for name in SERIES]
    plot(points, args.figure)
    record("growth", rows, args, sizes={name: series.sizes for name, series in SERIES.items()}, points=points)


def compare_series(name, points):
    """A row of the table: the exponent of one series, with its first and last point."""
    sizes = SERIES[name].sizes
    seconds = [point["seconds"] for point in points]
    first, last = (f"{seconds[i]:.2g} s, {points[i]['peak_gb']:.2f} GB at {sizes[i]}" for i in (0, -1))
    exponent = compute_exponent(sizes, seconds)
    return compare(f"exponent of time over {name}", exponent, None, "", MAX_EXPONENT, note=f"{first}; {last}")


def compute_exponent(sizes, seconds):
    """The slope of log time over log size between the third largest size and the largest."""
    return float(np.log(seconds[-1] / seconds[-3]) / np.log(sizes[-1] / sizes[-3]))


def measure_point(name, size, folder, repeats):
    """The medians of several measurements, each in a process of its own."""
    command = [sys.executable, __file__, "--child", name, str(size), str(folder)]
    runs = []
    for _ in range(repeats):
        process = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
        runs.append(json.loads(process.stdout.splitlines()[-1]))
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def measure(work):
    """Seconds of processor time of work() and the process's peak memory."""
    started = time.process_time()
    work()
    return {"seconds": time.process_time() - started, "peak_gb": get_peak_gb()}


# --- one function per series: (size, folder) -> the function to measure -----------------------------------------------

CLIPS_FILM_S = 68  # length of the film from which clips are taken


def prepare_clips(size, folder):
    return prepare_detection(folder / f"{CLIPS_FILM_S}.mp4", 2 + np.arange(size))


def prepare_length(size, folder):
    return prepare_detection(folder / f"{size}.mp4", np.linspace(2, size - 2, 8))


def prepare_detection(path, times_s):
    import avalib
    from avalib import zoo
    from avalib.data.labels import get_evaluated_actions
    from avalib.models.checkpoint_meta import CheckpointMeta

    model = avalib.build_model("slowonly_r50")
    recipe = zoo.update_recipe(zoo.build_mini_recipe(model.entry), short_side=64)
    label_map = {action: f"action {action}" for action in get_evaluated_actions()}
    model.meta = CheckpointMeta(model.entry, recipe, label_map)
    boxes = pd.DataFrame([[t, 0.2, 0.2, 0.6, 0.9] for t in times_s], columns=["time_s", "x1", "y1", "x2", "y2"])
    return lambda: avalib.detect(path, model, boxes=boxes, device="cpu", precision="float32", progress=False)


def prepare_people(size, folder):
    import torch

    import avalib

    network = avalib.for_inference(avalib.build_model("slowonly_r50"), verbose=False)
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 120, (size, 2))
    side = rng.uniform(40, 130, (size, 2))
    rois = torch.from_numpy(np.concatenate([np.zeros((size, 1)), corner, corner + side], axis=1)).float()
    clip = torch.randn(1, 3, 4, 256, 340)
    return torch.inference_mode()(lambda: network(clip, rois))


def prepare_classes(size, folder, keyframes=3000, people=3):
    import avalib

    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.5, (keyframes * people, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.5, corner.shape)], axis=1).round(3)
    table = pd.DataFrame(boxes, columns=["x1", "y1", "x2", "y2"])
    table.insert(0, "video_id", "film")
    table.insert(1, "timestamp", 902 + np.repeat(np.arange(keyframes), people))
    # each box with each action; one in twenty of these is annotated
    rows = table.loc[table.index.repeat(size)].assign(action_id=np.tile(1 + np.arange(size), len(table)))
    detections = rows.assign(score=rng.random(len(rows)))
    ground_truth = rows[rng.random(len(rows)) < 0.05].assign(person_id=0)
    label_map = {action: str(action) for action in range(1, size + 1)}
    return lambda: avalib.evaluate(ground_truth, detections, label_map).mAP


@dataclass(frozen=True)
class Series:
    """What grows, and how one size of it is prepared."""

    sizes: tuple
    prepare: Callable


SERIES = {
    "clips": Series((8, 16, 32, 64), prepare_clips),
    "people": Series((1, 8, 32, 128), prepare_people),
    "seconds of video": Series((30, 60, 120, 240), prepare_length),
    "classes": Series((80, 160, 320, 640), prepare_classes),
}


def plot(points_by_name, path):
    """Four panels: seconds and peak memory over the size; dashed: linear from the first point."""
    from avalib import draw
    from avalib.draw.figure_style import create_figure

    fig, axes = create_figure(4, (13, 3.2))
    for ax, (name, points) in zip(axes, points_by_name.items(), strict=True):
        sizes = SERIES[name].sizes
        seconds = [point["seconds"] for point in points]
        ax.plot(sizes, seconds, "o-", label="processor time, s")
        ax.plot(sizes, [seconds[0] * size / sizes[0] for size in sizes], "--", color="grey", label="linear, s")
        ax.plot(sizes, [point["peak_gb"] for point in points], "s:", label="peak memory, GB")
        ax.set(xscale="log", yscale="log", xlabel=name, xticks=sizes, xticklabels=sizes, title=f"more {name}")
        ax.minorticks_off()
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    draw.save_figure(fig, path, dpi=100)


if __name__ == "__main__":
    main()
