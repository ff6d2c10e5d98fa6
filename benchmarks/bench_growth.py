"""How time and memory grow with clips, people per keyframe, video length and classes; a plot each.

    python benchmarks/bench_growth.py [--repeats 3] [--figure outputs/figures/bench_growth.png]

Every point is a fresh process. clips: `detect` at so many times of one film; people: one clip of 256x340 with so many
boxes, SlowOnly R50; video length: `detect` at eight times of a film so long; classes: the evaluator on 3,000 keyframes
with three people and so many classes. Time grows by an exponent, told from the largest size and the last but two (two
neighbours alone are at the mercy of the machine's moods); above 1.1 is worse than linear, and a defect.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import film
import numpy as np
import pandas as pd
from common import ROOT, compare, parser, peak_gb, record

SIZES = {
    "clips": (8, 16, 32, 64),
    "people": (1, 8, 32, 128),
    "seconds of video": (30, 60, 120, 240),
    "classes": (80, 160, 320, 640),
}
ALLOWED = 1.1


def main():
    words = parser("growth", __doc__, repeats=3)
    words.add_argument("--figure", default=ROOT / "outputs" / "figures" / "bench_growth.png")
    words.add_argument("--child", nargs=3, help="(what, how many, the folder of films: used by itself)")
    given = words.parse_args()
    if given.child:
        what, size, folder = given.child
        print(json.dumps(measured(MEASURES[what](int(size), Path(folder)))))
        return
    with tempfile.TemporaryDirectory() as folder:
        for seconds in {SIZES["clips"][-1] + 4, *SIZES["seconds of video"]}:
            film.write(Path(folder, f"{seconds}.mp4"), seconds, 320, 180)
        found = {what: [point(what, size, folder, given.repeats) for size in sizes] for what, sizes in SIZES.items()}
    rows = []
    for what, points in found.items():
        sizes, seconds = SIZES[what], [point["seconds"] for point in points]
        least, most = (f"{seconds[i]:.2g} s, {points[i]['peak_gb']:.2f} GB at {sizes[i]}" for i in (0, -1))
        grows = exponent(sizes, seconds)
        rows.append(compare(f"exponent of time over {what}", grows, None, "", ALLOWED, note=f"{least}; {most}"))
    plot(found, given.figure)
    record("growth", rows, given, sizes=SIZES, points=found)


def exponent(sizes, seconds):
    """The slope of log time over log size between the third largest size and the largest."""
    return float(np.log(seconds[-1] / seconds[-3]) / np.log(sizes[-1] / sizes[-3]))


def point(what, size, folder, repeats):
    command = [sys.executable, __file__, "--child", what, str(size), str(folder)]
    options = {"check": True, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    runs = [json.loads(subprocess.run(command, **options).stdout.splitlines()[-1]) for _ in range(repeats)]
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def measured(work):
    """Seconds of processor time of work() and the process's peak memory."""
    started = time.process_time()
    work()
    return {"seconds": time.process_time() - started, "peak_gb": peak_gb()}


# --- a function each: (size, folder) -> what is to be measured --------------------------------------------------------


def clips(size, folder):
    return watching(folder / f"{SIZES['clips'][-1] + 4}.mp4", 2 + np.arange(size))


def length(size, folder):
    return watching(folder / f"{size}.mp4", np.linspace(2, size - 2, 8))


def watching(path, times):
    import avalib
    from avalib import zoo
    from avalib.models.checkpoint import CheckpointMeta

    model = avalib.build_model("slowonly_r50")
    recipe = zoo.update_recipe(zoo.build_mini_recipe(model.entry), short_side=64)
    model.meta = CheckpointMeta(model.entry, recipe, zoo_names())
    boxes = pd.DataFrame([[t, 0.2, 0.2, 0.6, 0.9] for t in times], columns=["time_s", "x1", "y1", "x2", "y2"])
    return lambda: avalib.detect(path, model, boxes=boxes, device="cpu", precision="float32", progress=False)


def zoo_names():
    from avalib.data.labels import get_evaluated_actions

    return {action: f"action {action}" for action in get_evaluated_actions()}


def people(size, folder):
    import torch

    import avalib

    form = avalib.for_inference(avalib.build_model("slowonly_r50"), verbose=False)
    rng = np.random.default_rng(0)
    low, side = rng.uniform(0, 120, (size, 2)), rng.uniform(40, 130, (size, 2))
    rois = torch.from_numpy(np.concatenate([np.zeros((size, 1)), low, low + side], axis=1)).float()
    clip = torch.randn(1, 3, 4, 256, 340)
    return torch.inference_mode()(lambda: form(clip, rois))


def classes(size, folder, keyframes=3000, people=3):
    import avalib

    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.5, (keyframes * people, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.5, low.shape)], axis=1).round(3)
    table = pd.DataFrame(boxes, columns=["x1", "y1", "x2", "y2"])
    table.insert(0, "video_id", "film")
    table.insert(1, "timestamp", 902 + np.repeat(np.arange(keyframes), people))
    every = table.loc[table.index.repeat(size)].assign(action_id=np.tile(1 + np.arange(size), len(table)))
    found = every.assign(score=rng.random(len(every)))
    truth = every[rng.random(len(every)) < 0.05].assign(person_id=0)
    return lambda: avalib.evaluate(truth, found, {a: str(a) for a in range(1, size + 1)}).mAP


MEASURES = {"clips": clips, "people": people, "seconds of video": length, "classes": classes}


def plot(found, path):
    """Four panels: seconds and peak memory over the size; dashed: linear from the first point."""
    from avalib import draw
    from avalib.draw.figure_style import create_figure

    fig, axes = create_figure(4, (13, 3.2))
    for ax, (what, points) in zip(axes, found.items(), strict=True):
        sizes, seconds = SIZES[what], [point["seconds"] for point in points]
        ax.plot(sizes, seconds, "o-", label="processor time, s")
        ax.plot(sizes, [seconds[0] * size / sizes[0] for size in sizes], "--", color="grey", label="linear, s")
        ax.plot(sizes, [point["peak_gb"] for point in points], "s:", label="peak memory, GB")
        ax.set(xscale="log", yscale="log", xlabel=what, xticks=sizes, xticklabels=sizes, title=f"more {what}")
        ax.minorticks_off()
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    draw.save_figure(fig, path, dpi=100)


if __name__ == "__main__":
    main()
