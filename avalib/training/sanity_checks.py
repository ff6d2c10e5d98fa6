"""Is this training nonsense? Looked for after every validation, while it can still be stopped."""

import numpy as np

from avalib.data.ava_csv import read_ava_csv
from avalib.data.label_map import read_label_map
from avalib.evaluation.evaluator import evaluate
from avalib.training.logger import LOSS

ZERO_MAP = 0.005  # an mAP@0.5 that no trained detector has; guessing has more where boxes and ids are right
LOSS_HAS_FALLEN = 0.8  # of the first loss


def diagnose_zero_map(log, mAP, layout, detections):
    """What is wrong if the loss falls while the validation mAP is about 0: a text with the likely reasons, or None.

    log: rows; detections: the table that was scored. Each reason is tried on the data; the text says what was found.
    """
    losses = [row[LOSS] for row in log if row["mode"] == "train"]
    tenth = max(1, len(losses) // 10)
    first, last = np.mean(losses[:tenth]), np.mean(losses[-tenth:])
    if mAP >= ZERO_MAP or len(losses) < 2 or last > LOSS_HAS_FALLEN * first:
        return None
    found = check_causes(layout, detections)
    lines = [f"the loss fell from {first:.3f} to {last:.3f}, but the validation mAP@0.5 is {mAP:.4f}. Likely reasons:"]
    lines += [f"  - {reason}: {'FOUND, ' + what if what else 'tried, not found'}" for reason, what in found.items()]
    if not any(found.values()):
        lines.append("  none of them: draw annotations over frames (notebook 01), then try overfit=True")
    return "\n".join(lines)


def check_causes(layout, detections):
    """{reason: what speaks for it, or ""}."""
    truth = read_ava_csv(layout.get_csv_path("val"), "ground_truth").dropna(subset=["action_id"])
    counted = set(read_label_map(layout.evaluated_label_map_path))
    return {
        "boxes in pixels instead of 0..1": _pixels(truth, detections),
        "label map without the annotated ids": _label_map(truth, counted),
        "action ids off by one": _off_by_one(layout, detections, counted),
    }


def _pixels(truth, detections):
    for name, table in (("annotated", truth), ("predicted", detections)):
        largest = float(table[["x1", "y1", "x2", "y2"]].to_numpy().max(initial=0))
        if largest > 1.5:
            return f"{name} boxes reach {largest:.0f}"
    return ""


def _label_map(truth, counted):
    outside = sorted(set(truth.action_id.astype(int)) - counted)
    share = truth.action_id.isin(outside).mean()
    return f"{share:.0%} of the val labels have ids that it does not count: {outside[:8]}" if share > 0.5 else ""


def _off_by_one(layout, detections, counted):
    for shift in (1, -1):
        moved = detections.assign(action_id=detections.action_id + shift)
        moved = moved[moved.action_id.isin(counted)]
        report = evaluate(
            layout.get_csv_path("val"),
            moved,
            label_map=layout.evaluated_label_map_path,
            exclusions=layout.get_exclusions_path("val"),
        )
        if report.mAP > 10 * ZERO_MAP:
            return f"with predicted ids moved by {shift:+d} the mAP would be {report.mAP:.3f}"
    return ""
