"""The AVA metric: mAP at an IoU, under each of the four protocols in use, equal to their evaluators to the last tie.

    avalib.evaluate("gt.csv", "detections.csv", "actions.pbtxt", "excluded.csv", protocol="mmaction")
    python -m avalib.evaluation gt.csv detections.csv --label-map actions.pbtxt --exclude excluded.csv --protocol mmaction

Equal scores: the originals sort by numpy's default argsort, reversed, whose order inside ties depends on numpy and on
the processor. ties="stable" (the default) is the machine-independent `np.argsort(scores, kind="stable")[::-1]` over
each action's list: of equals the last listed comes first, frames listed by their first row, rows of a frame as the
original lists them. ties="grouped" lets all detections of one score enter together: no order is left to choose.
Needs numpy and pandas alone; pyarrow, where installed, reads faster.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from avalib.data.ava_csv import format_location, load_ava_table
from avalib.data.exclusions import read_exclusions
from avalib.data.labels import GROUPS
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, NO_ACTION
from avalib.evaluation.box_recall import check_missing, compute_box_recall
from avalib.evaluation.frame_index import (
    FrameIndex,
    check_thresholds,
    get_boxes,
    note_unknown_labels,
    resolve_label_map,
)
from avalib.evaluation.matching import (
    find_best_match,
    find_first_claims,
    keep_top_per_frame,
    number_frames,
    rank_within_run,
    restore_original_order,
    select_heap_order,
)
from avalib.evaluation.protocols import EXTRA_PROTOCOLS, FP, PROTOCOLS, RULE_DESCRIPTIONS, get_protocol
from avalib.evaluation.report import Ranking, Report

_LARGEST_TABLE = 1 << 28  # bytes


def evaluate(
    ground_truth,
    detections,
    label_map=None,
    exclusions=None,
    protocol="mmaction",
    iou=0.5,
    ties="stable",
    missing="whole_frame",
):
    """Score detections against ground truth: a `Report` with mAP, per-class AP, recall, curves, intervals.

    ground_truth, detections: path of an AVA csv (plain or gzip) or parquet table, open file, or DataFrame. label_map:
    the actions that count, as `labels.load_label_map` takes them (a file, {action_id: name}, …); None: AVA's 60. Rows
    of others are left out and counted in the notes. exclusions: path or DataFrame of excluded seconds.
    protocol: "activitynet", "mmaction", "mmaction1x", "pyslowfast", or "frame" for keyframes at any time.
    iou: a threshold in 0..1, or several, of which the mAP is the mean. ties: "stable" or "grouped". missing: see
    `recall.box_recall`.

    Raises ValueError for what the protocol's evaluator refuses, for numbers that aren't finite (file, line, column,
    value), and for files that share no keyframe.
    """
    tables = _load(ground_truth, detections, label_map, exclusions)
    return _score(*tables, protocol, iou, ties, missing)


def _load(ground_truth, detections, label_map, exclusions):
    label_map = resolve_label_map(label_map)
    exclusions = None if exclusions is None else read_exclusions(exclusions)
    return load_ava_table(ground_truth, "ground_truth"), load_ava_table(detections, "detections"), label_map, exclusions


def _score(gt, det, label_map, exclusions, protocol, iou, ties, missing="whole_frame"):
    name, rules = get_protocol(protocol)
    thresholds = check_thresholds(iou)
    if ties not in ("stable", "grouped"):
        raise ValueError(f'ties {ties!r}: expected "stable" or "grouped"')
    check_missing(missing)
    notes = note_unknown_labels(label_map, gt, det)
    rows = FrameIndex(gt, det, exclusions, label_map, name, rules)
    rankings = dict(zip(label_map, _rank(rows, rules, thresholds, notes), strict=True))
    counts = {"ground_truth": len(gt), "detections": len(det), **rows.coverage()}
    measure = partial(_recall, rows, missing=missing)
    return Report(name, label_map, rankings, thresholds, rows.det_video, ties, rules.undetected, notes, counts, measure)


def compare_protocols(
    ground_truth, detections, label_map=None, exclusions=None, iou=0.5, ties="stable", base="mmaction"
):
    """The same detections under every protocol: DataFrame protocol, evaluator, mAP, difference (from the base's), pose,
    object, person, reason. Arguments as `evaluate`'s.

    The reason turns the base protocol into the other one rule by rule, in the order of `protocols.RULE_DESCRIPTIONS`, and gives
    the mAP that each changes; they add up to the difference. A protocol that refuses the input says why.
    """
    tables = _load(ground_truth, detections, label_map, exclusions)
    start = _score(*tables, base, iou, ties).mAP
    lines = []
    for name, rules in (PROTOCOLS | {base: get_protocol(base)[1]}).items():
        line = {"protocol": name, "evaluator": rules.evaluator}
        try:
            report = _score(*tables, name, iou, ties)
        except ValueError as error:
            lines.append(line | {"mAP": np.nan, "difference": np.nan, "reason": f"refused: {error}"})
            continue
        steps = _steps(tables, base, name, start, iou, ties)
        reason = "; ".join(f"{text} {change:+.4f}" for text, change in steps if abs(change) >= 5e-5)
        same = "the base" if name == base else "no rule changes anything here" if report.mAP == start else "ties alone"
        lines.append(
            line
            | {"mAP": report.mAP, "difference": report.mAP - start, **report.mAP_by_group, "reason": reason or same}
        )
    columns = ["protocol", "evaluator", "mAP", "difference", *GROUPS, "reason"]
    return pd.DataFrame(lines).reindex(columns=columns)


def _steps(tables, base, name, start, iou, ties):
    """(rule in words, change of the mAP) on the way from one protocol to another."""
    rules, goal, steps = get_protocol(base)[1], get_protocol(name)[1], []
    for field, text in RULE_DESCRIPTIONS.items():
        value = getattr(goal, field)
        if value == getattr(rules, field) or (field == "undetected" and rules.undetected is goal.undetected):
            continue
        rules = replace(rules, **{field: value})
        score = _score(*tables, rules, iou, ties).mAP
        steps.append((text.format(getattr(value, "__name__", value)), score - start))
        start = score
    return steps


def compute_frequency_baseline(train, proposals):
    """The strongest trivial detector: every proposal with every action, scored by the action's frequency in training.

    train: ground-truth table (or csv); the score is the share of its boxes that have the action. proposals: table
    `video_id, timestamp, x1, y1, x2, y2, …`. Returns a detections table, frame by frame, then action, then proposal.
    """
    if missing := [column for column in (*KEYFRAME_COLUMNS, *BOX_COLUMNS) if column not in proposals]:
        raise ValueError(
            f"proposals table: no column {missing}; expected {[*KEYFRAME_COLUMNS, *BOX_COLUMNS]}, got {list(proposals)}"
        )
    train = load_ava_table(train, "ground_truth")
    train = train[train["action_id"] != NO_ACTION]
    n_boxes = len(train[[*KEYFRAME_COLUMNS, *BOX_COLUMNS]].drop_duplicates())
    if not n_boxes:
        raise ValueError("the training table has no boxes; expected AVA ground truth")
    frequency = (train["action_id"].value_counts() / n_boxes).sort_index()
    repeated = proposals[[*KEYFRAME_COLUMNS, *BOX_COLUMNS]].reset_index(drop=True).merge(
        pd.DataFrame({"action_id": frequency.index.astype(np.int64), "score": frequency.to_numpy()}), how="cross"
    )  # fmt: skip
    frame = np.repeat(proposals.groupby(KEYFRAME_COLUMNS, sort=False).ngroup().to_numpy(), len(frequency))
    proposal = np.repeat(np.arange(len(proposals)), len(frequency))
    order = np.lexsort((proposal, repeated["action_id"], frame))
    return repeated.iloc[order].reset_index(drop=True)


def _kept_rows(rows, rules, notes):
    """(row numbers of the ground truth that counts, of the detections that enter the lists)."""
    g, d = rows.gt_class >= 0, rows.det_class >= 0
    if rows.excluded.any():
        out_gt, out_det = rows.excluded[rows.gt_frame] & g, rows.excluded[rows.det_frame] & d
        d &= ~out_det
        if rules.excluded == "both":
            g &= ~out_gt
        kept = "left out" if rules.excluded == "both" else "still counted"
        notes.append(
            f"excluded seconds: {out_det.sum():,} detections left out, {out_gt.sum():,} ground-truth rows {kept}"
        )
    evaluated = np.zeros(rows.n_frames, bool)
    evaluated[rows.gt_frame[g]] = True
    for frames, rule, what in (
        (~rows.listed, rules.unlisted, "in frames without ground truth"),
        (rows.listed & ~evaluated, rules.unevaluated, "in frames without ground truth of the counted actions"),
    ):
        there = frames[rows.det_frame] & d
        if there.any():
            notes.append(f"{there.sum():,} detections {what}: {rule}" + ("s" if rule == FP else ""))
        if rule == "ignored":
            d &= ~there
    return np.flatnonzero(g), np.flatnonzero(d)


def _valid(rows, d, rules, notes):
    """Mask of the listed detections whose box the protocol takes."""
    x1, y1, x2, y2 = (rows.det[column].to_numpy() for column in BOX_COLUMNS)
    inverted = ((x2 < x1) | (y2 < y1))[d]
    flat = ((x2 == x1) | (y2 == y1))[d] & ~inverted
    if inverted.any() and rules.inverted == "refused":
        row = int(d[inverted.argmax()])
        raise ValueError(
            f"{format_location(rows.det, row)}, box {get_boxes(rows.det, [row])[0].tolist()}: x2 < x1 or "
            f"y2 < y1, which {rules.evaluator} refuses; avalib.lint_csv lists such rows"
        )
    dropped = (inverted & (rules.inverted == "dropped")) | (flat & (rules.flat == "dropped"))
    if dropped.any():
        notes.append(f"{dropped.sum():,} detections with an empty or inverted box dropped; avalib.lint_csv lists them")
    return ~dropped


def _rank(rows, rules, thresholds, notes):
    """One `Ranking` per action of the label map: who meets which ground truth, and in which order it is told."""
    g, d = _kept_rows(rows, rules, notes)
    gt_frame, frame, n_frames = _frame_order(rows, g, d, rules)
    score = rows.det["score"].to_numpy()[d]
    keep = np.ones(len(d), bool)
    if rules.cap:
        tie_keys = [rows.det[c].to_numpy()[d] for c in ("action_id", "y1", "x1", "y2", "x2")]
        keep = keep_top_per_frame(frame, n_frames, score, tie_keys, rules.cap)
        notes.append(f"{(~keep).sum():,} detections beyond the best {rules.cap} of their frame left out")
    keep &= _valid(rows, d, rules, notes)

    # detections of a frame and action that have ground truth: few; the others are false positives whatever they are
    group = frame.astype(np.int64) * rows.n_classes + rows.det_class[d]
    gt_group = gt_frame.astype(np.int64) * rows.n_classes + rows.gt_class[g]
    near = np.flatnonzero(_is_in(group, gt_group, n_frames * rows.n_classes) & keep)
    position = np.arange(len(d))  # a row's place in its list; only its order inside a frame is ever changed
    target, overlap = _targets(rows, rules, d[near], group[near], g, gt_group, gt_frame, n_frames, thresholds)
    hit = overlap >= min(thresholds)
    if rules.matched == "score":
        equals = _with_equals(group[near], score[near].astype(rules.dtype), hit)
        make = partial(select_heap_order, cap=rules.cap) if rules.order == "heap" else _by_score
        restore_original_order(position, frame[near[equals]], frame, n_frames, lambda r: rows.det_tuples(d[r]), make)
    order = (-score[near], position[near]) if rules.matched == "score" else (position[near],)
    true = np.zeros((len(thresholds), len(d)), bool)
    for t, threshold in enumerate(thresholds):
        true[t, near] = find_first_claims(target, overlap >= threshold, order)
    return _rankings(rows, g, d, frame, position, keep, score.astype(rules.dtype), true)


def _is_in(values, others, size):
    """Mask (N,) of the values, numbers below size, that are among the others; by a table where that fits in memory."""
    if size > _LARGEST_TABLE:
        return np.isin(values, others)
    table = np.zeros(size, bool)
    table[others] = True
    return table[values]


def _frame_order(rows, g, d, rules):
    """(frames of the ground truth rows g, of the detection rows d, how many), numbered in the order they are listed."""
    gt_frame, det_frame = rows.gt_frame[g], rows.det_frame[d]
    if rules.frames == "detections":
        (det_frame, gt_frame), n_frames = number_frames(det_frame, gt_frame)
    else:
        (gt_frame, det_frame), n_frames = number_frames(gt_frame, det_frame)
    return gt_frame, det_frame, n_frames


@np.errstate(over="ignore")  # boxes of 1e308 in float32
def _targets(rows, rules, d, group, g, gt_group, gt_frame, n_frames, thresholds):
    """The ground truth (index into g) that each detection looks at, the protocol's first of equals, and its IoU."""
    boxes, gt_boxes = get_boxes(rows.det, d).astype(rules.dtype), get_boxes(rows.gt, g).astype(rules.dtype)
    place = np.arange(len(g))
    if rules.gt_order != "file":
        place[np.argsort(-rows.gt_score[g], kind="stable")] = np.arange(len(g))
    target, overlap, tied = find_best_match(group, boxes, gt_group, gt_boxes, place)
    tied &= overlap >= min(thresholds)
    if tied.any() and rules.gt_order == "heap":
        restore_original_order(
            place, gt_frame[target[tied]], gt_frame, n_frames, lambda r: rows.gt_tuples(g[r]), select_heap_order
        )
        target, overlap, _ = find_best_match(group, boxes, gt_group, gt_boxes, place)
    return target, overlap


def _with_equals(group, score, hit):
    """Mask of the detections with an equal in their frame and action, where a true positive is at stake."""
    order = np.lexsort((score, group))
    first = rank_within_run(group[order]) == 0
    first[1:] |= score[order][1:] != score[order][:-1]
    run = np.cumsum(first) - 1
    stake = (np.bincount(run) > 1) & (np.bincount(run, hit[order]) > 0)
    mask = np.zeros(len(group), bool)
    mask[order] = stake[run]
    return mask


def _by_score(tuples):
    return sorted(tuples, key=lambda row: -row[0])


def _rankings(rows, g, d, frame, position, keep, score, true):
    """Each action's list (frames in order, positions inside), stably sorted by score and reversed."""
    ordered = (frame[1:] >= frame[:-1]).all()
    listing = np.argsort(position, kind="stable") if ordered else np.lexsort((position, frame))
    if not keep.all():
        listing = listing[keep[listing]]
    cls = rows.det_class[d[listing]]
    listing = listing[np.argsort(cls, kind="stable")]
    members = np.split(listing, np.cumsum(np.bincount(cls, minlength=rows.n_classes))[:-1])
    gt_class, gt_video = rows.gt_class[g], rows.gt_video[g]

    def rank(k):
        best_first = members[k][np.argsort(score[members[k]], kind="stable")[::-1]]
        n_gt = np.bincount(gt_video[gt_class == k], minlength=len(rows.videos))
        return Ranking(d[best_first], score[best_first], true[:, best_first], n_gt)

    with ThreadPoolExecutor() as threads:  # numpy sorts without holding the interpreter
        return list(threads.map(rank, range(rows.n_classes)))


def _recall(rows, missing, exclude=False):
    """Box recall; excluded seconds are left out on request only, as in the original."""
    evaluated = np.zeros(rows.n_frames, bool)
    evaluated[rows.gt_frame[rows.gt_class >= 0]] = True
    if exclude:
        evaluated &= ~rows.excluded
    sides = []
    for table, frame, cls, score in (
        (rows.gt, rows.gt_frame, rows.gt_class, rows.gt_score),
        (rows.det, rows.det_frame, rows.det_class, rows.det["score"].to_numpy()),
    ):
        kept = np.flatnonzero((cls >= 0) & evaluated[frame])
        action = table["action_id"].to_numpy()[kept]
        sides.append({"frame": frame[kept], "boxes": get_boxes(table, kept), "score": score[kept], "action": action})
    return compute_box_recall(*sides, rows.n_frames, missing)


def score_main(arguments=None):
    """The command: print the report, write it as JSON. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m avalib.evaluation", description="Score AVA detections (csv).")
    parser.add_argument("ground_truth", help="AVA csv, plain or gzip")
    parser.add_argument("detections", help="csv of detections, plain or gzip")
    parser.add_argument("--label-map", help="pbtxt of the actions that count (default: AVA's 60)")
    parser.add_argument("--exclude", help="csv of excluded seconds")
    parser.add_argument("--protocol", default="mmaction", choices=(*PROTOCOLS, *EXTRA_PROTOCOLS))
    parser.add_argument("--iou", type=float, nargs="+", default=[0.5], help="thresholds; the mAP is the mean over them")
    parser.add_argument("--ties", default="stable", choices=("stable", "grouped"))
    parser.add_argument("--bootstrap", type=int, default=0, metavar="N", help="resample the videos N times")
    parser.add_argument("--ledger", action="store_true", help="also under the other protocols, with the reasons")
    parser.add_argument("--json", help="where the report goes (default: beside the detections)")
    args = parser.parse_args(arguments)
    files = (args.ground_truth, args.detections, args.label_map, args.exclude)
    path = args.json or f"{args.detections.removesuffix('.gz').removesuffix('.csv')}.{args.protocol}.json"
    try:
        report = evaluate(*files, args.protocol, args.iou, args.ties)
        print(report.summary())
        report.to_json(path)
        print(f"written: {path}")  # before what may not be possible with these files
        if args.bootstrap:
            interval = report.bootstrap(args.bootstrap)
            print("{level:.0%} interval over videos: {low:.4f} to {high:.4f}".format(**interval))
        if args.ledger:
            for line in compare_protocols(*files, args.iou, args.ties, base=args.protocol).itertuples():
                print(f"{line.protocol:12} {line.mAP:.4f} {line.difference:+.4f}  {line.reason}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
