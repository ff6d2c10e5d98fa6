"""The evaluator at the size of AVA v2.1 val: seconds, memory, and the ratio to a plain per-frame Python evaluator.

    python benchmarks/bench_eval.py [--repeats 5] [--baseline-videos 16] [--protocol mmaction]

The files are generated from a seed: 57,408 keyframes in 64 videos, 208,916 ground-truth rows, 5,592,300 detections with
3 decimals, as in the published table. Both evaluators read and score the same files in fresh processes. The baseline
gets a stated part of the videos (all of them with --baseline-videos 64); the ratio is taken on that part, in one run.
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import build_parser, compare, get_peak_gb, record

from avalib.utils.files import atomic_write

VIDEOS, SECONDS, GROUND_TRUTH, DETECTIONS = 64, 897, 208_916, 5_592_300


def main():
    parser = build_parser("eval", __doc__)
    parser.add_argument("--baseline-videos", type=int, default=16)
    parser.add_argument("--protocol", default="mmaction", help="of the full-size figure; the ratio is under mmaction")
    parser.add_argument("--keep", help="folder for the generated files (reused if they exist)")
    parser.add_argument("--child", nargs=3, help="(evaluator, two files: used by itself)")
    args = parser.parse_args()
    if args.child:
        run_child(*args.child, args.protocol)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(args.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        part = write_files(folder, args.baseline_videos)
        full_job = Job(write_files(folder, VIDEOS), "avalib", args.protocol)
        (full,) = run_jobs([full_job], args.repeats)
        ours, plain = run_jobs([Job(part, "avalib", "mmaction"), Job(part, "plain", "mmaction")], args.repeats)
    if abs(ours["mAP"] - plain["mAP"]) > 1e-9:
        raise SystemExit(f"the two disagree: mAP {ours['mAP']} and {plain['mAP']}")
    rows = [
        compare(
            f"evaluator, AVA's full val size, {DETECTIONS:,} detections",
            full["seconds"],
            None,
            "s",
            note=f"peak {full['peak_gb']:.2f} GB; box recall {full['recall_seconds']:.2f} s more; {args.protocol}",
        ),
        compare(
            f"evaluator, {args.baseline_videos} of the videos, plain per-frame Python",
            ours["seconds"],
            plain["seconds"],
            "s",
            note="the same mAP",
        ),
    ]
    details = {"full": full, "part": ours, "plain": plain, "part_videos": args.baseline_videos}
    record("eval", rows, args, **details, protocol=args.protocol)


# --- the files --------------------------------------------------------------------------------------------------------


def write_files(folder, n_videos, seed=0):
    """(ground truth, detections): csv files of the first n_videos of the generated val split."""
    paths = folder / f"gt_{n_videos}.csv", folder / f"det_{n_videos}.csv"
    if all(path.exists() for path in paths):
        return paths
    rng = np.random.default_rng(seed)
    n_frames = VIDEOS * SECONDS

    # detected boxes: each frame has at least one, each of another person of the frame
    n_boxes = -(-DETECTIONS // 80)
    box_frame = np.sort(np.concatenate([np.arange(n_frames), rng.integers(0, n_frames, n_boxes - n_frames)]))
    box_person = np.arange(n_boxes) - np.searchsorted(box_frame, box_frame)
    n_people = np.maximum(np.bincount(box_frame), 1 + rng.poisson(0.6, n_frames))
    people = draw_boxes(rng, (n_frames, n_people.max()))

    # ground-truth rows: a frame, a person in it, an action from a long-tailed distribution
    odds = 1 / np.arange(1, 81) ** 1.3
    gt_action = rng.choice(np.arange(1, 81), GROUND_TRUTH, p=odds / odds.sum())
    gt_frame = np.sort(rng.integers(0, n_frames, GROUND_TRUTH))
    gt_person = (rng.random(GROUND_TRUTH) * n_people[gt_frame]).astype(int)

    # the detected boxes are near the person's
    near = people[box_frame, box_person] + rng.normal(0, 0.02, (n_boxes, 4))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 0.01)  # mmaction1x refuses inverted boxes
    near = np.clip(near, 0, 1)

    # low scores, with higher ones for the actions of the box's person: (n_boxes,81)
    labels = np.zeros((n_frames, n_people.max(), 81), bool)
    labels[gt_frame, gt_person, gt_action] = True
    is_label = labels[box_frame, box_person]
    scores = rng.beta(0.12, 4, (n_boxes, 81)) + is_label * rng.beta(0.5, 2, (n_boxes, 81))

    write_ground_truth(paths[0], n_videos, gt_frame, gt_person, gt_action, people)
    write_detections(paths[1], n_videos, box_frame, near, scores)
    return paths


def write_ground_truth(path, n_videos, frame, person, action, people):
    """The rows (N,) of the first n_videos; people (frames,people,4): the boxes."""
    with atomic_write(path, "w") as file:
        for f, p, a in zip(frame.tolist(), person.tolist(), action.tolist(), strict=True):
            if f < n_videos * SECONDS:
                box = ",".join(f"{value:.3f}" for value in people[f, p].tolist())
                file.write(f"{format_keyframe(f)},{box},{a},{p}\n")


def write_detections(path, n_videos, box_frame, boxes, scores):
    """The detections of the first n_videos: frame by frame, then by action, then by box, as MMAction2 writes them."""
    starts = np.flatnonzero(np.r_[True, box_frame[1:] != box_frame[:-1]])
    stops = np.r_[starts[1:], len(box_frame)]
    n_left = DETECTIONS
    with atomic_write(path, "w") as file:
        for start, stop in zip(starts, stops, strict=True):
            if box_frame[start] >= n_videos * SECONDS:
                break
            keyframe = format_keyframe(box_frame[start], leading_zero="")
            texts = [",".join(f"{value:.3f}" for value in box) for box in boxes[start:stop].tolist()]
            lines = []
            for action in range(1, 81):
                for i, text in enumerate(texts):
                    lines.append(f"{keyframe},{text},{action},{scores[start + i, action]:.3f}\n")
            lines = lines[:n_left]
            file.writelines(lines)
            n_left -= len(lines)


def format_keyframe(frame, leading_zero="0"):
    """Video and second of a frame number, as in AVA's csv."""
    second = 902 + frame % SECONDS
    return f"video_{frame // SECONDS:05d},{leading_zero if second < 1000 else ''}{second}"


def draw_boxes(rng, shape):
    """Boxes (*shape,4) like AVA's people: tall, three quarters of the frame high."""
    width = rng.beta(4, 7, shape)
    height = rng.beta(6, 3, shape)
    x = rng.random(shape) * (1 - width)
    y = rng.random(shape) * (1 - height)
    return np.stack([x, y, x + width, y + height], axis=-1)


# --- the measurements -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One measurement, run in a process of its own."""

    paths: tuple  # ground truth, detections
    evaluator: str  # "avalib" or "plain"
    protocol: str


def run_jobs(jobs, repeats):
    """Run the jobs in turns. Returns the medians and the largest peak of each."""
    results = [[] for _ in jobs]
    for _ in range(repeats):
        for job, runs in zip(jobs, results, strict=True):
            command = [sys.executable, __file__, "--protocol", job.protocol, "--child", job.evaluator, *job.paths]
            process = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, encoding="utf-8")
            runs.append(json.loads(process.stdout))
    return [summarize_runs(runs) for runs in results]


def summarize_runs(runs):
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return medians | {"peak_gb": max(run["peak_gb"] for run in runs), "all_seconds": [run["seconds"] for run in runs]}


def run_child(evaluator, gt, det, protocol):
    """One measurement, printed as json; imports count, as they do for the command."""
    started = time.perf_counter()
    result = {}
    if evaluator == "plain":
        result["mAP"] = plain_map(gt, det)
        result["seconds"] = time.perf_counter() - started
    else:
        from avalib.evaluation.evaluator import evaluate

        report = evaluate(gt, det, protocol=protocol)
        result["mAP"] = report.mAP
        result["seconds"] = time.perf_counter() - started
        started = time.perf_counter()
        result.update(report.recall)
        result["recall_seconds"] = time.perf_counter() - started
    result["peak_gb"] = get_peak_gb()
    print(json.dumps(result))


# --- the baseline -----------------------------------------------------------------------------------------------------


def plain_map(gt_path, det_path):
    """mAP@0.5 by mmaction's rules, written down plainly: csv rows in dicts, loops over frames, actions and boxes."""
    from avalib.data.labels import get_evaluated_actions

    actions = get_evaluated_actions()
    gt = read_plain(gt_path, actions)
    det = read_plain(det_path, actions)
    n_gt = dict.fromkeys(actions, 0)
    for rows in gt.values():
        for row in rows:
            n_gt[row[1]] += 1
    ranked = {action: [] for action in actions}  # (score, true positive), frames in file order
    for keyframe, rows in det.items():
        truths = defaultdict(list)
        for row in gt.get(keyframe, ()):
            truths[row[1]].append([row, False])
        for row in rows:
            if row[4] > row[2] and row[5] > row[3]:
                ranked[row[1]].append((row[0], match_plain(row, truths.get(row[1], ()))))
    aps = [plain_average_precision(ranked[action], n_gt[action]) for action in actions if n_gt[action]]
    return sum(aps) / len(aps)


def read_plain(path, actions):
    """{(video, second): rows (score, action, y1, x1, y2, x2) by falling score}."""
    frames = defaultdict(list)
    with open(path, newline="", encoding="utf-8") as file:
        for video, second, x1, y1, x2, y2, action, last in csv.reader(file):
            if int(action) in actions:
                row = (float(last), int(action), float(y1), float(x1), float(y2), float(x2))
                heapq.heappush(frames[video, int(second)], row)
    return {keyframe: sorted(rows, key=lambda row: -row[0]) for keyframe, rows in frames.items()}


def match_plain(row, truths):
    """Whether a detection matches a free ground truth; only the one that it overlaps most counts."""
    best_iou, best = -1.0, None
    for truth in truths:
        height = max(0.0, min(row[4], truth[0][4]) - max(row[2], truth[0][2]))
        width = max(0.0, min(row[5], truth[0][5]) - max(row[3], truth[0][3]))
        area = (row[4] - row[2]) * (row[5] - row[3]) + (truth[0][4] - truth[0][2]) * (truth[0][5] - truth[0][3])
        iou = height * width / (area - height * width)
        if iou > best_iou:
            best_iou, best = iou, truth
    if best_iou < 0.5 or best[1]:
        return False
    best[1] = True
    return True


def plain_average_precision(ranked, n_gt):
    ranked = sorted(ranked, key=lambda item: item[0])[::-1]  # stable, reversed
    precision = []
    n_true = 0
    for rank, (_, is_true) in enumerate(ranked, 1):
        if is_true:
            n_true += 1
            precision.append(n_true / rank)
    total = best = 0.0
    for value in reversed(precision):
        best = max(best, value)
        total += best
    return total / n_gt


if __name__ == "__main__":
    main()
