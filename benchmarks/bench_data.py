"""Annotations as large as AVA's train split: seconds and memory to read, lint and index them, beside plain Python.

    python benchmarks/bench_data.py [--repeats 5] [--keep folder]

837,318 rows, 184,000 keyframes, 203,626 keys of person boxes (made from a seed). Every measurement is a fresh process,
medians are shown; plain: csv.reader into a dict of lists of dicts, the pickle as it is, a loop over keyframes that
picks the boxes, in the same run on the same files.
"""

import csv
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from common import build_parser, compare, get_peak_gb, record

VIDEOS, KEYFRAMES, ROWS, KEYS = 235, 184_000, 837_318, 203_626


def main():
    parser = build_parser("data", __doc__)
    parser.add_argument("--keep", help="folder for the generated files (reused if they are there)")
    parser.add_argument("--child", nargs=2, help="(step, folder: used by itself)")
    args = parser.parse_args()
    if args.child:
        print(json.dumps(STEPS[args.child[0]](Path(args.child[1]))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(args.keep or scratch)
        generate(root)
        found = measure(root, args.repeats)
    for step, figures in found.items():
        print(f"{step:>8}: " + ", ".join(f"{name} {value:g}" for name, value in figures.items() if name != "all"))
    index, load_plainly, what = found["index"], found["plain"], f"annotations of AVA's train size, {ROWS:,} rows"
    rows = [  # processor time: others may use this machine too
        compare(f"{what}, csv.reader into dicts", index["cpu_s"], load_plainly["cpu_s"], "s of processor time"),
        compare(f"{what}, peak memory", index["peak_gb"], load_plainly["peak_gb"], "GB"),
        compare("the linter on them", found["lint"]["cpu_s"], None, "s of processor time"),
        compare("memory of a loader process's own", found["workers"]["own_gb_each"], None, "GB"),
    ]
    record("data", rows, args, steps=found)


def generate(root, seed=0):
    """A v2.1 layout in `root` with the files of a train split, made up."""
    from avalib.data.layout import DatasetLayout
    from avalib.utils.files import atomic_write

    layout = DatasetLayout(root, "v2.1")
    if layout.get_proposals_path("train").exists():
        return
    for folder in ("annotations", "proposals"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    seconds = [(f"video_{v:05d}", s) for v in range(VIDEOS) for s in range(902, 1799)]
    chosen = np.sort(rng.choice(len(seconds), KEYFRAMES, replace=False))
    people = 1 + rng.poisson(0.9, KEYFRAMES)
    frame = np.repeat(np.arange(KEYFRAMES), people)
    boxes, person = draw_boxes(rng, len(frame)), np.arange(len(frame))
    extra = rng.integers(0, len(frame), ROWS - len(frame))  # every person has a label, some have more
    rows = np.sort(np.concatenate([person, extra]))
    label = (np.arange(ROWS) - np.searchsorted(rows, rows)) * 7 + rows % 7 + 1  # no label twice
    with atomic_write(layout.get_csv_path("train"), "w") as file:
        for r, action in zip(rows.tolist(), np.minimum(label, 80).tolist(), strict=True):
            video, second = seconds[chosen[frame[r]]]
            file.write(f"{video},{second:04d},%.3f,%.3f,%.3f,%.3f,{action},{r % 50}\n" % tuple(boxes[r]))
    with atomic_write(layout.get_exclusions_path("train"), "w") as file:
        file.writelines(f"{seconds[i][0]},{seconds[i][1]:04d}\n" for i in chosen[:: KEYFRAMES // 100])
    keys = np.sort(rng.choice(len(seconds), KEYS, replace=False))
    content = {}
    for i in keys.tolist():
        n = int(rng.integers(1, 7))
        content[f"{seconds[i][0]},{seconds[i][1]:04d}"] = np.column_stack([draw_boxes(rng, n), rng.beta(6, 1, n)])
    with atomic_write(layout.get_proposals_path("train")) as file:
        pickle.dump(content, file)


def draw_boxes(rng, n):
    low, size = rng.uniform(0, 0.4, (n, 2)), rng.uniform(0.1, 0.5, (n, 2))
    return np.concatenate([low, low + size], axis=1)


def measure(root, repeats):
    """{step: {figure: median}} over fresh processes, the steps in turns."""
    runs = {step: [] for step in STEPS}
    for _ in range(repeats):
        for step, found in runs.items():
            command = [sys.executable, __file__, "--child", step, str(root)]
            found.append(
                json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout)
            )
    return {
        step: {name: statistics.median(run[name] for run in found) for name in found[0]}
        | {"all": [run["seconds"] for run in found]}
        for step, found in runs.items()
    }


def time_call(work):
    """Seconds and peak memory of work(), imports before not counted; what it returns is kept until measured."""
    before = get_peak_gb()
    start, cpu = time.perf_counter(), time.process_time()
    kept = work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = get_peak_gb()
    facts = {
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        "peak_gb": round(peak, 2),
        "more_gb": round(peak - before, 2),
    }
    return facts, kept


def step_index(root):
    """csv, exclusions and person boxes read and indexed by keyframe, ready for training."""
    from avalib.data.keyframe_table import load_keyframes
    from avalib.data.layout import DatasetLayout

    layout = DatasetLayout(root, "v2.1")
    facts, keyframes = time_call(lambda: load_keyframes(layout, "train", training=True))
    arrays = [value for value in vars(keyframes).values() if isinstance(value, np.ndarray)]
    return facts | {"keyframes": len(keyframes), "arrays_gb": round(sum(a.nbytes for a in arrays) / 1e9, 3)}


def step_lint(root):
    """Every row of the csv looked at."""
    from avalib.data.layout import DatasetLayout
    from avalib.data.lint import lint_csv

    return time_call(lambda: lint_csv(DatasetLayout(root, "v2.1").get_csv_path("train"), "ground_truth"))[0]


def step_boxes(root):
    """The person boxes' pickle alone, without running it."""
    from avalib.data.layout import DatasetLayout
    from avalib.data.proposals import read_proposals

    return time_call(lambda: read_proposals(DatasetLayout(root, "v2.1").get_proposals_path("train")))[0]


def step_workers(root):
    """What two loader processes (spawn) hold of their own, beside what they hold without the data, in GB each."""
    from avalib.data.keyframe_table import load_keyframes
    from avalib.data.layout import DatasetLayout

    keyframes = load_keyframes(DatasetLayout(root, "v2.1"), "train", training=True)
    start = time.perf_counter()
    own = {name: measure_private_gb(data) for name, data in (("none", None), ("shared", keyframes))}
    return {"seconds": round(time.perf_counter() - start, 2), "own_gb_each": round(own["shared"] - own["none"], 3)}


def measure_private_gb(data):
    """Private memory of a spawned process that was given `data` and has read all of it, in GB; the mean of two."""
    import torch.multiprocessing as mp

    found = []
    for _ in range(2):
        with ProcessPoolExecutor(1, mp.get_context("spawn")) as pool:
            found.append(pool.submit(hold, data).result())
    return statistics.mean(found)


def hold(data):
    import avalib.data.dataset  # noqa: F401  what a worker imports anyway

    if data is not None:
        for value in vars(data).values():
            np.asarray(value).view(np.uint8).sum() if isinstance(value, np.ndarray) else None
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 2**20


def step_plain(root):
    """The same as `index` in plain Python, an object a row."""
    from avalib.data.layout import DatasetLayout

    layout = DatasetLayout(root, "v2.1")
    return time_call(lambda: load_plainly(layout))[0]


def load_plainly(layout):
    excluded = {
        tuple(line.split(",")) for line in layout.get_exclusions_path("train").read_text(encoding="utf-8").split()
    }
    records = defaultdict(list)
    with open(layout.get_csv_path("train"), newline="", encoding="utf-8") as file:
        for video, second, *box, action, person in csv.reader(file):
            if (video, second) not in excluded:
                row = {"box": np.array(box, float), "action": int(action), "person": int(person)}
                records[video, second].append(row)
    with open(layout.get_proposals_path("train"), "rb") as file:
        proposals = pickle.load(file)
    infos = []
    for (video, second), rows in records.items():
        people = defaultdict(set)
        for row in rows:
            people[tuple(row["box"])].add(row["action"])
        labels = np.zeros((len(people), 81), np.float32)
        for i, actions in enumerate(people.values()):
            labels[i, list(actions)] = 1
        found = proposals.get(f"{video},{second}", np.array([[0, 0, 1, 1, 1.0]]))
        found = found[found[:, 4] >= min(0.9, found[:, 4].max())]
        infos.append(
            {"video": video, "second": int(second), "boxes": list(people), "labels": labels, "proposals": found}
        )
    return infos


STEPS = {
    "index": step_index,
    "lint": step_lint,
    "boxes": step_boxes,
    "workers": step_workers,
    "plain": step_plain,
}

if __name__ == "__main__":
    main()
