"""How much random test frames move a score. The published tests drew theirs at random (v0.10.0), so a published number
is one draw of many; how wide they lie is measured here on a data set that is at hand.
"""

import statistics
from dataclasses import replace

import pandas as pd

from avalib.evaluation.evaluator import evaluate
from avalib.evaluation.inference import detect_dataset, load_trained_model
from avalib.utils.files import compute_sha256


def measure_frame_jitter(
    checkpoints, layout, dataset, seeds=5, device="auto", precision="auto", workers=0, progress=True
):
    """Score each model with the nominal frames, then with random ones for so many seeds. -> a dict for json.

    checkpoints {model: path}; layout, dataset: the data set and its name; seeds: at least 2. "rows" has, for each
    model, nominal (mAP 0..1), mAP (a list, one a seed), mean, std and the checkpoint's hash. See scoreboard.tolerance.
    """
    if seeds < 2:
        raise ValueError(f"seeds={seeds}: a spread needs at least 2")
    rules = dict(
        label_map=layout.evaluated_label_map_path,
        exclusions=layout.get_exclusions_path("val"),
        protocol=layout.protocol,
    )
    rows = []
    for model, checkpoint in checkpoints.items():
        detector, recipe = load_trained_model(model, checkpoint, dataset)
        drawn = [replace(recipe, jitter_at_test=False)]
        drawn += [replace(recipe, jitter_at_test=True, seed=seed) for seed in range(seeds)]
        found = []
        for one in drawn:
            detections, _ = detect_dataset(detector, layout, "val", one, device, precision, workers, progress)
            found.append(evaluate(layout.get_csv_path("val"), detections, **rules).mAP)
        nominal, *values = found
        rows.append(
            {
                "model": model, "nominal": nominal, "mAP": values, "mean": statistics.mean(values),
                "std": statistics.stdev(values), "checkpoint": compute_sha256(checkpoint),
            }
        )  # fmt: skip
    return {"dataset": dataset, "protocol": layout.protocol, "rows": rows}


def build_jitter_table(measured):
    """The same as a DataFrame, in percent: model, nominal, mean, std, lowest, highest, seeds."""
    return pd.DataFrame(
        {
            "model": row["model"], "nominal": 100 * row["nominal"], "mean": 100 * row["mean"], "std": 100 * row["std"],
            "lowest": 100 * min(row["mAP"]), "highest": 100 * max(row["mAP"]), "seeds": len(row["mAP"]),
        }
        for row in measured["rows"]
    ).round(2)  # fmt: skip
