"""The four AVA evaluators in use, as a table of what they do differently; a row each is read from its own code."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Protocol:
    """What one evaluator does where the four differ. Source: the evaluators' own code."""

    evaluator: str
    seconds: str  # a frame is a video and a "whole" second, or a "decimal" one with 6 digits
    cap: int  # detections kept per frame, over all actions (0: all)
    order: str  # of equals in a frame: that of a "heap" of its rows, or of the "file"
    matched: str  # who looks for a ground truth first: the best "score", or the first row in the "file"
    gt_order: str  # of equally overlapping ground truths: "heap" then falling 8th column, "person" (8th column), "file"
    frames: str  # a list's order of frames: first kept row of "detections" or of "ground_truth"
    excluded: str  # drop excluded seconds from "both" files, or from "detections" only
    unlisted: str  # detections in a frame that has no ground-truth row: "ignored" or "false positive"
    unevaluated: str  # the same where all its ground truth is of actions that aren't evaluated
    inverted: str  # boxes with x2 < x1 or y2 < y1: "dropped" or "refused"
    flat: str  # boxes with x2 = x1 or y2 = y1: "dropped" or "false positive"
    dtype: type  # boxes and scores
    undetected: float  # AP of an action with ground truth and without detections; NaN: left out of the mean
    columns: tuple  # numbers of csv columns taken (7: no score, every detection has 1.0)


RULE_DESCRIPTIONS = {  # a rule in words, for whoever compares two protocols
    "seconds": "frames told apart by the {} second",
    "cap": "detections kept per frame: {} (0: all)",
    "order": "equal scores of a frame in the order of the {}",
    "matched": "ground truth given out by the order of the {}",
    "gt_order": "equally overlapping ground truths in the order of the {}",
    "frames": "frames listed as in the {}",
    "excluded": "excluded seconds left out of {}",
    "unlisted": "detections in frames without ground truth: {}",
    "unevaluated": "detections in frames without ground truth of the counted actions: {}",
    "inverted": "boxes with x2 < x1: {}",
    "flat": "boxes with x2 = x1: {}",
    "dtype": "boxes and scores as {}",
    "undetected": "AP of an action without detections: {} (nan: left out)",
}

FP, NAN = "false positive", float("nan")
PROTOCOLS = {
    "activitynet": Protocol(
        "ActivityNet's official script", "decimal", 50, "heap", "score", "heap", "detections", "both",
        "ignored", FP, "dropped", "dropped", np.float64, 0.0, (2, 7, 8)),
    "mmaction": Protocol(
        "MMAction2 v0.10.0 (the published table)", "whole", 0, "heap", "score", "heap", "detections", "both",
        FP, FP, "dropped", "dropped", np.float64, 0.0, (7, 8)),
    "mmaction1x": Protocol(
        "MMAction2 1.x", "whole", 0, "file", "score", "person", "ground_truth", "detections",
        "ignored", "ignored", "refused", FP, np.float32, NAN, (7, 8)),
    "pyslowfast": Protocol(
        "PySlowFast", "whole", 0, "file", "file", "file", "detections", "both",
        FP, FP, "dropped", "dropped", np.float64, 0.0, (8,)),
}  # fmt: skip

# One's own videos have keyframes at any time; here are the default's rules, reading them.
EXTRA_PROTOCOLS = {
    "frame": replace(PROTOCOLS["mmaction"], evaluator="MMAction2 v0.10.0's rules at decimal seconds", seconds="decimal")
}


def get_protocol(protocol):
    """(name, Protocol) of a name, or of a Protocol of one's own. Raises ValueError that lists the names."""
    if isinstance(protocol, Protocol):
        return protocol.evaluator, protocol
    known = PROTOCOLS | EXTRA_PROTOCOLS
    if not isinstance(protocol, str) or protocol not in known:
        raise ValueError(f"protocol {protocol!r}: expected one of {', '.join(known)}")
    return protocol, known[protocol]
