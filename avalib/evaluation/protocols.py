"""The rules of the AVA evaluators in use, as a table of what they do differently. Source: the evaluators' own code."""

from dataclasses import dataclass, replace

import numpy as np

from avalib.data.layout import DatasetLayout
from avalib.zoo.entry import ZooEntry

FALSE_POSITIVE = "false positive"
IGNORED = "ignored"


@dataclass(frozen=True)
class Protocol:
    """The rules of one evaluator where the four differ."""

    evaluator: str  # the program that these rules describe
    seconds: str  # a frame is a video and a "whole" second, or a "decimal" one with 6 digits
    cap: int  # detections kept per frame, over all actions (0: all)
    order: str  # of equal scores in a frame: the order in a "heap" of its rows, or in the "file"
    matched: str  # which detection takes a ground truth first: the best "score", or the first row in the "file"
    gt_order: str  # of equally overlapping ground truths: "heap" then falling 8th column, "person" (8th column), "file"
    frames: str  # order of frames in a list of detections: first row of "detections" or of "ground_truth"
    excluded: str  # leave excluded seconds out of "both" files, or of "detections" only
    unlisted: str  # detections in a frame without any ground-truth row: "ignored" or "false positive"
    unevaluated: str  # detections in a frame whose ground truth is all of actions that are not evaluated
    inverted: str  # boxes with x2 < x1 or y2 < y1: "dropped" or "refused"
    flat: str  # boxes with x2 = x1 or y2 = y1: "dropped" or "false positive"
    dtype: type  # precision of boxes and scores
    undetected: float  # AP of an action with ground truth and without detections; NaN: left out of the mean
    columns: tuple  # accepted numbers of csv columns (7: without scores, every detection has 1.0)


# the text of each rule, for comparing two protocols
RULE_DESCRIPTIONS = {
    "seconds": "frames identified by the {} second",
    "cap": "detections kept per frame: {} (0: all)",
    "order": "equal scores of a frame in the order of the {}",
    "matched": "ground truth matched in the order of the {}",
    "gt_order": "equally overlapping ground truths in the order of the {}",
    "frames": "frames listed as in the {}",
    "excluded": "excluded seconds left out of {}",
    "unlisted": "detections in frames without ground truth: {}",
    "unevaluated": "detections in frames without ground truth of the evaluated actions: {}",
    "inverted": "boxes with x2 < x1: {}",
    "flat": "boxes with x2 = x1: {}",
    "dtype": "boxes and scores as {}",
    "undetected": "AP of an action without detections: {} (nan: left out)",
}

PROTOCOLS = {
    "activitynet": Protocol(
        evaluator="ActivityNet's official script",
        seconds="decimal",
        cap=50,
        order="heap",
        matched="score",
        gt_order="heap",
        frames="detections",
        excluded="both",
        unlisted=IGNORED,
        unevaluated=FALSE_POSITIVE,
        inverted="dropped",
        flat="dropped",
        dtype=np.float64,
        undetected=0.0,
        columns=(2, 7, 8),
    ),
    "mmaction": Protocol(
        evaluator="MMAction2 v0.10.0 (the published table)",
        seconds="whole",
        cap=0,
        order="heap",
        matched="score",
        gt_order="heap",
        frames="detections",
        excluded="both",
        unlisted=FALSE_POSITIVE,
        unevaluated=FALSE_POSITIVE,
        inverted="dropped",
        flat="dropped",
        dtype=np.float64,
        undetected=0.0,
        columns=(7, 8),
    ),
    "mmaction1x": Protocol(
        evaluator="MMAction2 1.x",
        seconds="whole",
        cap=0,
        order="file",
        matched="score",
        gt_order="person",
        frames="ground_truth",
        excluded="detections",
        unlisted=IGNORED,
        unevaluated=IGNORED,
        inverted="refused",
        flat=FALSE_POSITIVE,
        dtype=np.float32,
        undetected=float("nan"),
        columns=(7, 8),
    ),
    "pyslowfast": Protocol(
        evaluator="PySlowFast",
        seconds="whole",
        cap=0,
        order="file",
        matched="file",
        gt_order="file",
        frames="detections",
        excluded="both",
        unlisted=FALSE_POSITIVE,
        unevaluated=FALSE_POSITIVE,
        inverted="dropped",
        flat="dropped",
        dtype=np.float64,
        undetected=0.0,
        columns=(8,),
    ),
}

CSV_DECIMALS = {"mmaction1x": 4}  # of the boxes and scores that an evaluator's code base writes; 3 for the others

# for videos with keyframes at any time: the default protocol's rules at decimal seconds
EXTRA_PROTOCOLS = {
    "frame": replace(PROTOCOLS["mmaction"], evaluator="MMAction2 v0.10.0's rules at decimal seconds", seconds="decimal")
}


def get_protocol(protocol: str | Protocol) -> tuple[str, Protocol]:
    """The (name, Protocol) of a protocol's name, or of a Protocol. Raises ValueError that lists the names."""
    if isinstance(protocol, Protocol):
        return protocol.evaluator, protocol
    protocols = PROTOCOLS | EXTRA_PROTOCOLS
    if not isinstance(protocol, str) or protocol not in protocols:
        raise ValueError(f"protocol {protocol!r}: expected one of {', '.join(protocols)}")
    return protocol, protocols[protocol]


def choose_protocol(layout: DatasetLayout, entry: ZooEntry) -> str:
    """The protocol by which a model is scored on a data set: on AVA the one that it was published with."""
    return entry.protocol if layout.is_real_ava else layout.protocol


def describe_test(entry: ZooEntry, dataset: str, protocol: str) -> str:
    """Say where a model's published mAP comes from, and whether another test can be compared with it.

    Parameters
    ----------
    entry : ZooEntry
        The model.
    dataset, protocol : str
        The test: a data set's name, and the rules of its mAP.

    Returns
    -------
    str
        One or two sentences.
    """
    published = f"{entry.published_mAP:g} % on the val split of {entry.test_dataset} by {entry.protocol}"
    text = f"{entry.alias} was published with {published}."
    # the val split of AVA-Kinetics is that of AVA v2.2
    tested_on = "ava2.2" if dataset == "ava_kinetics" else dataset
    if (tested_on, protocol) != (entry.test_dataset, entry.protocol):
        text += f" This test is on {dataset} by {protocol}: its mAP can't be compared with that one."
    return text
