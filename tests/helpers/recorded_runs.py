"""What notebooks 03 and 04 leave behind, written in no time: runs for the tests of publishing and verification."""

import json

from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.evaluation.evaluator import evaluate
from avalib.utils.experiment import ExperimentRecord
from avalib.utils.run_folder import get_run_folder

CLEAN_GIT = {"commit": "0" * 40, "dirty": False}


def write_run(layout, root, seed=0):
    """Write a run of slowonly_r50 on the tiny data set below root/outputs/runs; returns its folder.

    Its detections are the annotated boxes, all with score 0.5. The current folder is `root`.
    """
    tag = f"seed{seed}" if seed else ""
    folder = get_run_folder("outputs/runs", "tiny", "slowonly_r50", tag)
    parameters = {
        "model": "slowonly_r50",
        "dataset": "tiny",
        "data_seed": 0,
        "seed": seed,
        "tag": tag,
        "checkpoint": "best",
        "output_dir": str(root / "outputs/runs"),
    }
    for part in ("train", "evaluate", "notebooks"):
        (folder / part).mkdir(parents=True)
    _write_training(layout, folder / "train", parameters)
    _write_evaluation(layout, folder / "evaluate", parameters)
    notebook = {"cells": [], "metadata": {"papermill": {"output_path": f"{root}/x.ipynb"}}}
    (folder / "notebooks" / "04_evaluate.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return folder


def _write_training(layout, folder, parameters):
    (folder / "best.pth").write_text("weights", encoding="utf-8")
    log_line = {"mode": "val", "epoch": 1, "mAP@0.5IOU": 0.5}
    (folder / "log.jsonl").write_text(json.dumps(log_line) + "\n", encoding="utf-8")
    record = ExperimentRecord("03_train", parameters)
    record.hash(layout.get_csv_path("train"), folder / "best.pth")
    record.finish(folder / "run.json", minutes=1, clips_per_s=2.0, processes=1, plan={"epochs": 1}, changed={})


def _write_evaluation(layout, folder, parameters):
    truth = read_ava_csv(layout.get_csv_path("val"), "ground_truth")
    write_ava_csv(truth.assign(score=0.5).drop(columns="person_id"), folder / "detections.csv")
    report = evaluate(
        layout.get_csv_path("val"),
        folder / "detections.csv",
        label_map=layout.evaluated_label_map_path,
        exclusions=layout.get_exclusions_path("val"),
        protocol="mmaction",
    )
    report.to_json(folder / "report.json")
    record = ExperimentRecord("04_evaluate", parameters)
    record.hash(layout.get_csv_path("val"), folder / "detections.csv")
    record.finish(
        folder / "run.json",
        model="slowonly_r50",
        mAP=report.mAP,
        baseline_mAP=0.1,
        protocol="mmaction",
        coverage={"keyframes": 9, "share": 1.0},
    )


def change_json(path, **values):
    """Change some keys of a json file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | values), encoding="utf-8")
