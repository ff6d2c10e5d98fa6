"""Results with chosen numbers, copied from a committed one."""

import copy
from pathlib import Path

from avalib.data.synthetic.action_ids import TIME_ACTIONS
from avalib.zoo_runner.result_records import load_results

RESULTS = load_results(Path(__file__).parents[2] / "outputs" / "results")
TEMPLATE = next(result for result in RESULTS if result["runs"][0]["per_class"])


def copy_result(model, mAPs, dataset="mini", checkpoint="best", share=1.0, time_action_APs=None, label=""):
    """A result with a run for each mAP (0..1). time_action_APs: the AP of each action that needs time, by run."""
    runs = []
    for seed, mAP in enumerate(mAPs):
        run = copy.deepcopy(TEMPLATE["runs"][0]) | {"seed": seed}
        run["train"] |= {"changed": {"epochs": [9, 4]}}
        run["evaluate"] |= {"mAP": mAP, "model": model, "coverage": {"keyframes": 10, "share": share}}
        run["evaluate"]["parameters"] |= {"dataset": dataset, "checkpoint": checkpoint}
        for action in run["per_class"]:
            if time_action_APs and action["action_id"] in TIME_ACTIONS:
                action["AP"] = time_action_APs[seed]
        if checkpoint != "best":
            run["train"] = None
        runs.append(run)
    changes = {"name": f"{dataset}_{model}", "model": model, "dataset": dataset, "label": label, "runs": runs}
    return copy.deepcopy(TEMPLATE) | changes
