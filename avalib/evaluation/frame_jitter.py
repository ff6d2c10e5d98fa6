"""How much random test frames change the mAP.

The published tests drew their frames at random (MMAction2 v0.10.0), so a published number is one draw of many. Here the
spread is measured on a data set at hand.
"""

import statistics
from dataclasses import replace

import pandas as pd

from avalib.data.layout import DatasetLayout
from avalib.evaluation.evaluator import evaluate_split
from avalib.evaluation.inference import detect_dataset, load_trained_model
from avalib.evaluation.protocols import choose_protocol
from avalib.utils.files import compute_sha256


def measure_frame_jitter(
    checkpoints: dict,
    layout: DatasetLayout,
    dataset: str,
    seeds: int = 5,
    device: str = "auto",
    precision: str = "auto",
    workers: int = 0,
    progress: bool = True,
) -> dict:
    """Evaluate each model with the nominal frames, and with random frames for several seeds.

    Parameters
    ----------
    checkpoints : dict
        {model: path}.
    layout : DatasetLayout
    dataset : str
        The data set's name.
    seeds : int
        Number of seeds, at least 2.
    device, precision, workers, progress
        See `inference.detect_dataset`.

    Returns
    -------
    dict
        Plain values: dataset, protocol, and rows, one per model with nominal (mAP 0..1), mAP (a list, one per seed),
        mean, std and the checkpoint's hash. See `published_comparison.judge_mAP`.
    """
    if seeds < 2:
        raise ValueError(f"seeds={seeds}: a spread needs at least 2")
    rows = []
    for model, checkpoint in checkpoints.items():
        detector, recipe = load_trained_model(model, checkpoint, dataset)
        # the nominal frames, then random ones by each seed
        recipes = [replace(recipe, jitter_at_test=False)]
        recipes += [replace(recipe, jitter_at_test=True, seed=seed) for seed in range(seeds)]
        mAPs = []
        for test_recipe in recipes:
            detections, _ = detect_dataset(detector, layout, "val", test_recipe, device, precision, workers, progress)
            protocol = choose_protocol(layout, detector.entry)
            mAPs.append(evaluate_split(layout, detections, protocol=protocol).mAP)
        nominal, *jittered = mAPs
        row = {
            "model": model,
            "nominal": nominal,
            "mAP": jittered,
            "mean": statistics.mean(jittered),
            "std": statistics.stdev(jittered),
            "checkpoint": compute_sha256(checkpoint),
        }
        rows.append(row)
    return {"dataset": dataset, "protocol": layout.protocol, "rows": rows}


def build_jitter_table(measurement: dict) -> pd.DataFrame:
    """The result of `measure_frame_jitter` as a table in percent: model, nominal, mean, std, lowest, highest, seeds."""
    rows = [
        {
            "model": row["model"],
            "nominal": 100 * row["nominal"],
            "mean": 100 * row["mean"],
            "std": 100 * row["std"],
            "lowest": 100 * min(row["mAP"]),
            "highest": 100 * max(row["mAP"]),
            "seeds": len(row["mAP"]),
        }
        for row in measurement["rows"]
    ]
    return pd.DataFrame(rows).round(2)
