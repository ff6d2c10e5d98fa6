"""The evaluator at the size of AVA v2.1 val: seconds, memory, and the ratio to a plain per-frame Python evaluator.

    python benchmarks/bench_eval.py [--repeats 5] [--baseline-videos 16] [--protocol mmaction]

57,408 keyframes in 64 videos, 208,916 ground-truth rows, 5,592,300 detections written with 3 decimals as the published
table's were, made from a seed. Both evaluators read and score the same files in fresh processes; the baseline gets a
stated part of the videos (all of them with --baseline-videos 64), and the ratio is taken on that part, in this run.
"""

import csv
import heapq
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from common import compare, parser, peak_gb, record

from avalib.utils.files import atomic_write

VIDEOS, SECONDS, GROUND_TRUTH, DETECTIONS = 64, 897, 208_916, 5_592_300


def main():
    words = parser("eval", __doc__)
    words.add_argument("--baseline-videos", type=int, default=16)
    words.add_argument("--protocol", default="mmaction", help="of the full-size figure; the ratio is under mmaction")
    words.add_argument("--keep", help="folder for the generated files (reused if they are there)")
    words.add_argument("--child", nargs=3, help="(which, two files: used by itself)")
    args = words.parse_args()
    if args.child:
        return child(*args.child, args.protocol)
    with tempfile.TemporaryDirectory() as scratch:
        folder, n = Path(args.keep or scratch), args.baseline_videos
        folder.mkdir(parents=True, exist_ok=True)
        part = generate(folder, n)
        (whole,) = in_turns([(generate(folder, VIDEOS), "avalib", args.protocol)], args.repeats)
        fast, plain = in_turns([(part, "avalib", "mmaction"), (part, "plain", "mmaction")], args.repeats)
    if abs(fast["mAP"] - plain["mAP"]) > 1e-9:
        raise SystemExit(f"the two disagree: mAP {fast['mAP']} and {plain['mAP']}")
    note = f"peak {whole['peak_gb']:.2f} GB; box recall {whole['recall_seconds']:.2f} s more; {args.protocol}"
    what = f"evaluator, {n} of the videos, plain per-frame Python"
    rows = [
        compare(f"evaluator, AVA's full val size, {DETECTIONS:,} detections", whole["seconds"], None, "s", note=note),
        compare(what, fast["seconds"], plain["seconds"], "s", note="the same mAP"),
    ]
    record("eval", rows, args, full=whole, part=fast, plain=plain, part_videos=n, protocol=args.protocol)


def generate(folder, n_videos, seed=0):
    """(ground truth, detections): csv files of the first n_videos of the same made-up val split."""
    paths = folder / f"gt_{n_videos}.csv", folder / f"det_{n_videos}.csv"
    if all(path.exists() for path in paths):
        return paths
    rng = np.random.default_rng(seed)
    frames = VIDEOS * SECONDS
    n_boxes = -(-DETECTIONS // 80)  # every frame has one at least, each of another person
    box_frame = np.sort(np.concatenate([np.arange(frames), rng.integers(0, frames, n_boxes - frames)]))
    box_person = np.arange(n_boxes) - np.searchsorted(box_frame, box_frame)
    n_people = np.maximum(np.bincount(box_frame), 1 + rng.poisson(0.6, frames))
    people = boxes(rng, (frames, n_people.max()))
    odds = 1 / np.arange(1, 81) ** 1.3
    classes = rng.choice(np.arange(1, 81), GROUND_TRUTH, p=odds / odds.sum())
    gt_frame = np.sort(rng.integers(0, frames, GROUND_TRUTH))
    person = (rng.random(GROUND_TRUTH) * n_people[gt_frame]).astype(int)
    near = people[box_frame, box_person] + rng.normal(0, 0.02, (n_boxes, 4))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 0.01)  # mmaction1x refuses inverted boxes
    near = np.clip(near, 0, 1)
    found = np.zeros((n_boxes, 81), bool)  # the actions of the person a box was made from
    labels = defaultdict(set)
    for f, p, c in zip(gt_frame.tolist(), person.tolist(), classes.tolist(), strict=True):
        labels[f, p].add(c)
    for row, key in enumerate(zip(box_frame.tolist(), box_person.tolist(), strict=True)):
        found[row, list(labels.get(key, ()))] = True
    scores = rng.beta(0.12, 4, (n_boxes, 81)) + found * rng.beta(0.5, 2, (n_boxes, 81))
    wanted = n_videos * SECONDS
    with atomic_write(paths[0], "w") as file:
        for f, p, c in zip(gt_frame.tolist(), person.tolist(), classes.tolist(), strict=True):
            if f < wanted:
                file.write(f"{name(f)},%.3f,%.3f,%.3f,%.3f,{c},{p}\n" % tuple(people[f, p].tolist()))
    starts = np.flatnonzero(np.r_[True, box_frame[1:] != box_frame[:-1]])
    left = DETECTIONS
    with atomic_write(paths[1], "w") as file:  # frame by frame, then action, then box, as MMAction2 writes
        for start, stop in zip(starts, np.r_[starts[1:], n_boxes], strict=True):
            if box_frame[start] < wanted:
                key = name(box_frame[start], "")
                texts = [",".join(f"{value:.3f}" for value in box) for box in near[start:stop].tolist()]
                lines = [
                    f"{key},{text},{c},{scores[start + i, c]:.3f}\n"
                    for c in range(1, 81)
                    for i, text in enumerate(texts)
                ]
                file.writelines(lines[:left])
                left -= len(lines[:left])
    return paths


def name(frame, zero="0"):
    second = 902 + frame % SECONDS
    return f"video_{frame // SECONDS:05d},{zero if second < 1000 else ''}{second}"


def boxes(rng, shape):
    """Boxes like AVA's people: tall, three quarters of the frame high."""
    width, height = rng.beta(4, 7, shape), rng.beta(6, 3, shape)
    x, y = rng.random(shape) * (1 - width), rng.random(shape) * (1 - height)
    return np.stack([x, y, x + width, y + height], axis=-1)


def in_turns(jobs, repeats):
    """For each job (paths, which, protocol), taken in turns: medians over fresh processes, and the largest peak."""
    runs = [[] for _ in jobs]
    for _ in range(repeats):
        for (paths, which, protocol), found in zip(jobs, runs, strict=True):
            command = [sys.executable, __file__, "--protocol", protocol, "--child", which, *map(str, paths)]
            found.append(
                json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout)
            )
    return [middle(found) for found in runs]


def middle(runs):
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return medians | {"peak_gb": max(run["peak_gb"] for run in runs), "all_seconds": [run["seconds"] for run in runs]}


def child(which, gt, det, protocol):
    """One measurement; imports count, as they do for who runs the command."""
    start = time.perf_counter()
    result = {}
    if which == "plain":
        result["mAP"] = plain_map(gt, det)
        result["seconds"] = time.perf_counter() - start
    else:
        from avalib.evaluation.evaluator import evaluate

        report = evaluate(gt, det, protocol=protocol)
        result["mAP"] = report.mAP
        result["seconds"] = time.perf_counter() - start
        start = time.perf_counter()
        result.update(report.recall)
        result["recall_seconds"] = time.perf_counter() - start
    result["peak_gb"] = peak_gb()
    print(json.dumps(result))


def plain_map(gt_path, det_path):
    """mAP@0.5 as one would write it down: csv rows into dicts, a loop over frames, actions and boxes (mmaction)."""
    from avalib.data.labels import get_evaluated_actions

    counted = get_evaluated_actions()
    gt, det = plain_read(gt_path, counted), plain_read(det_path, counted)
    n_gt = dict.fromkeys(counted, 0)
    lists = {action: [] for action in counted}  # (score, true positive), frames in file order
    for rows in gt.values():
        for row in rows:
            n_gt[row[1]] += 1
    for key, rows in det.items():
        truths = defaultdict(list)
        for row in gt.get(key, ()):
            truths[row[1]].append([row, False])
        for row in rows:
            if row[4] > row[2] and row[5] > row[3]:
                lists[row[1]].append((row[0], plain_hit(row, truths.get(row[1], ()))))
    aps = [plain_ap(lists[action], n_gt[action]) for action in counted if n_gt[action]]
    return sum(aps) / len(aps)


def plain_read(path, counted):
    frames = defaultdict(list)
    with open(path, newline="", encoding="utf-8") as file:
        for video, second, x1, y1, x2, y2, action, last in csv.reader(file):
            if int(action) in counted:
                row = (float(last), int(action), float(y1), float(x1), float(y2), float(x2))
                heapq.heappush(frames[video, int(second)], row)
    return {key: sorted(rows, key=lambda row: -row[0]) for key, rows in frames.items()}


def plain_hit(row, truths):
    """Whether a detection finds a free ground truth: its best overlap only."""
    best, found = -1.0, None
    for truth in truths:
        height = max(0.0, min(row[4], truth[0][4]) - max(row[2], truth[0][2]))
        width = max(0.0, min(row[5], truth[0][5]) - max(row[3], truth[0][3]))
        area = (row[4] - row[2]) * (row[5] - row[3]) + (truth[0][4] - truth[0][2]) * (truth[0][5] - truth[0][3])
        if (iou := height * width / (area - height * width)) > best:
            best, found = iou, truth
    if best < 0.5 or found[1]:
        return False
    found[1] = True
    return True


def plain_ap(ranked, n_gt):
    ranked = sorted(ranked, key=lambda item: item[0])[::-1]  # stable, reversed
    precision, hits = [], 0
    for seen, (_, true) in enumerate(ranked, 1):
        if true:
            hits += 1
            precision.append(hits / seen)
    total = best = 0.0
    for value in reversed(precision):
        best = max(best, value)
        total += best
    return total / n_gt


if __name__ == "__main__":
    main()
