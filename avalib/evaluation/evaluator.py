"""The AVA metric: mAP at an IoU, by each of the four protocols in use, equal to their evaluators down to the last tie.

    avalib.evaluate("gt.csv", "detections.csv", "actions.pbtxt", "excluded.csv", protocol="mmaction")

Equal scores: the original evaluators sort by numpy's default argsort, reversed, whose order of equal scores depends on
numpy and on the processor. ties="stable" (the default) is the machine-independent `np.argsort(scores,
kind="stable")[::-1]` over each action's list: of equals the last listed one comes first. Frames are listed by their
first row, rows of a frame as in the original. ties="grouped" lets all detections of one score enter together, so that
no order has to be chosen. Needs only numpy and pandas; reads faster with pyarrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from avalib.data.ava_csv import load_ava_table
from avalib.data.exclusions import read_exclusions
from avalib.data.labels import GROUPS
from avalib.data.layout import DatasetLayout
from avalib.evaluation.box_recall import check_missing, compute_box_recall
from avalib.evaluation.frame_index import (
    build_frame_index,
    check_thresholds,
    note_unknown_labels,
    resolve_label_map,
)
from avalib.evaluation.protocols import PROTOCOLS, RULE_DESCRIPTIONS, Protocol, get_protocol
from avalib.evaluation.ranking import rank_detections
from avalib.evaluation.report import Report

Source = str | Path | IO | pd.DataFrame  # of a table
LabelMap = str | Path | dict | pd.DataFrame | None


def evaluate(
    ground_truth: Source,
    detections: Source,
    label_map: LabelMap = None,
    exclusions: Source | None = None,
    protocol: str | Protocol = "mmaction",
    iou: float | Sequence[float] = 0.5,
    ties: str = "stable",
    missing: str = "whole_frame",
) -> Report:
    """Evaluate detections against ground truth.

    Parameters
    ----------
    ground_truth, detections : path, open file or DataFrame
        AVA csv (plain or gzip) or parquet table. Columns of a DataFrame: video_id, timestamp, x1, y1, x2, y2 (0..1),
        action_id, and person_id or score.
    label_map : path, dict or DataFrame, optional
        The evaluated actions, as `label_map.load_label_map` reads them ({action_id: name}, a pbtxt, …); None: AVA's 60.
        Rows of other actions are left out and counted in the report's notes.
    exclusions : path, open file or DataFrame, optional
        The keyframes that are not scored: a csv of video_id,timestamp without a header (plain or gzip, may be empty),
        or a table with these columns. None: every keyframe is scored.
    protocol : str or Protocol
        "activitynet", "mmaction", "mmaction1x", "pyslowfast", or "frame" for keyframes at any time.
    iou : float or sequence of float
        IoU threshold in 0..1; of several, the mAP is the mean.
    ties : str
        Detections of one action with equal scores: "stable" ranks them as `np.argsort(scores, kind="stable")[::-1]`
        does, on every machine alike (of equals the last listed one comes first); "grouped" lets all of one score enter
        the precision-recall curve together, so that their order does not matter.
    missing : str
        For `Report.recall` only: what a frame with ground truth but without detections counts as. "whole_frame": as if
        one box that covers the frame were detected, as MMAction2's measure of its proposals intends; "miss": as missed.

    Returns
    -------
    Report
        mAP, per-class AP, recall, curves, intervals.

    Raises
    ------
    ValueError
        For input that the protocol's evaluator refuses, for values that are not finite numbers (with file, line,
        column, value), and for tables without a common keyframe.
    """
    data = load_evaluation_data(ground_truth, detections, label_map, exclusions)
    return evaluate_tables(data, protocol, iou, ties, missing)


def evaluate_split(
    layout: DatasetLayout, detections: Source, split: str = "val", protocol: str | None = None
) -> Report:
    """Evaluate detections of a data set's split, with its own label map and excluded seconds.

    Parameters
    ----------
    layout : DatasetLayout
    detections : path, open file or DataFrame
        See `evaluate`.
    split : str
        "train" or "val".
    protocol : str, optional
        The rules; by default the data set's.
    """
    return evaluate(
        layout.get_csv_path(split),
        detections,
        label_map=layout.evaluated_label_map_path,
        exclusions=layout.get_exclusions_path(split),
        protocol=protocol or layout.protocol,
    )


@dataclass(frozen=True)
class EvaluationData:
    """The input of an evaluation, loaded and checked."""

    gt: pd.DataFrame
    det: pd.DataFrame
    label_map: dict  # {action_id: name} of the evaluated actions
    exclusions: pd.DataFrame | None


def load_evaluation_data(
    ground_truth: Source, detections: Source, label_map: LabelMap, exclusions: Source | None
) -> EvaluationData:
    """The `EvaluationData` of `evaluate`'s first four arguments."""
    label_map = resolve_label_map(label_map)
    exclusions = None if exclusions is None else read_exclusions(exclusions)
    return EvaluationData(
        gt=load_ava_table(ground_truth, "ground_truth"),
        det=load_ava_table(detections, "detections"),
        label_map=label_map,
        exclusions=exclusions,
    )


def evaluate_tables(
    data: EvaluationData,
    protocol: str | Protocol,
    iou: float | Sequence[float],
    ties: str,
    missing: str = "whole_frame",
) -> Report:
    """Evaluate loaded tables; the other arguments are those of `evaluate`."""
    # 1. The rules; invalid arguments are errors
    name, rules = get_protocol(protocol)
    thresholds = check_thresholds(iou)
    if ties not in ("stable", "grouped"):
        raise ValueError(f'ties {ties!r}: expected "stable" or "grouped"')
    check_missing(missing)
    # 2. Frames numbered across both tables, then one ranking per action
    notes = note_unknown_labels(data.label_map, data.gt, data.det)
    index = build_frame_index(
        data.gt,
        data.det,
        exclusions=data.exclusions,
        label_map=data.label_map,
        protocol_name=name,
        rules=rules,
    )
    rankings = rank_detections(index, rules, thresholds, notes)
    # 3. The report; the recall is measured when it is asked for
    return Report(
        protocol=name,
        label_map=data.label_map,
        rankings=dict(zip(data.label_map, rankings, strict=True)),
        thresholds=thresholds,
        video=index.det.video,
        ties=ties,
        undetected=rules.undetected,
        notes=notes,
        counts={"ground_truth": len(data.gt), "detections": len(data.det), **index.count_coverage()},
        measure_recall=partial(compute_box_recall, index, missing=missing),
    )


def compare_protocols(
    ground_truth: Source,
    detections: Source,
    label_map: LabelMap = None,
    exclusions: Source | None = None,
    iou: float | Sequence[float] = 0.5,
    ties: str = "stable",
    base: str = "mmaction",
) -> pd.DataFrame:
    """Evaluate the same detections by every protocol, and explain the differences.

    Parameters
    ----------
    ground_truth, detections, label_map, exclusions, iou, ties
        See `evaluate`.
    base : str
        The protocol that the others are compared with.

    Returns
    -------
    DataFrame
        protocol, evaluator, mAP, difference (from the base's mAP), pose, object, person, reason. The reason turns the
        base protocol into the other one rule by rule, in the order of `protocols.RULE_DESCRIPTIONS`, and gives the
        change of the mAP by each; the changes add up to the difference. For a protocol that refuses the input, the
        reason is its error.
    """
    data = load_evaluation_data(ground_truth, detections, label_map, exclusions)
    base_mAP = evaluate_tables(data, base, iou, ties).mAP
    protocols = PROTOCOLS | {base: get_protocol(base)[1]}
    rows = []
    for name, rules in protocols.items():
        # the mAP by this protocol; an evaluator may refuse the input
        row = {"protocol": name, "evaluator": rules.evaluator}
        try:
            report = evaluate_tables(data, name, iou, ties)
        except ValueError as error:
            rows.append(row | {"mAP": np.nan, "difference": np.nan, "reason": f"refused: {error}"})
            continue
        row |= {"mAP": report.mAP, "difference": report.mAP - base_mAP, **report.mAP_by_group}
        # the rules that explain the difference
        changes = measure_rule_changes(data, base, name, iou, ties, base_mAP)
        rows.append(row | {"reason": format_reason(changes, name == base, row["difference"])})
    columns = ["protocol", "evaluator", "mAP", "difference", *GROUPS, "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def measure_rule_changes(data, base, other, iou, ties, base_mAP):
    """{description of a rule: change of the mAP} from one protocol to another, rule by rule."""
    rules = get_protocol(base)[1]
    goal = get_protocol(other)[1]
    mAP = base_mAP
    changes = {}
    # replace one rule after the other by the other protocol's
    for rule, description in RULE_DESCRIPTIONS.items():
        value = getattr(goal, rule)
        if is_same_rule(value, getattr(rules, rule)):
            continue
        rules = replace(rules, **{rule: value})
        previous = mAP
        mAP = evaluate_tables(data, rules, iou, ties).mAP
        changes[description.format(getattr(value, "__name__", value))] = mAP - previous
    return changes


def is_same_rule(value, other):
    """Whether two values of a protocol's rule are equal; NaN, a value of `undetected`, equals NaN."""
    both_nan = isinstance(value, float) and isinstance(other, float) and math.isnan(value) and math.isnan(other)
    return both_nan or value == other


def format_reason(changes, is_base, difference):
    """The rules that change the mAP by 0.0001 or more, as text."""
    visible = [f"{rule} {change:+.4f}" for rule, change in changes.items() if abs(change) >= 5e-5]
    if visible:
        return "; ".join(visible)
    if is_base:
        return "the base"
    return "no rule changes anything here" if difference == 0 else "ties alone"
