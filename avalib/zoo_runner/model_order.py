"""Does the published order of the models appear in results on another data set?

Published differences are points of mAP on AVA. They only say which model is the better one: the tables have no
published numbers, as numbers of different data sets do not stand in one row.
"""

import statistics
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from avalib import zoo
from avalib.data.synthetic.action_ids import TIME_ACTIONS
from avalib.zoo.entry import ZooEntry

ORDER_COLUMNS = ["question", "better", "worse", "measured difference", "noise", "appears"]


@dataclass(frozen=True)
class ModelPair:
    """Two published models that differ in one thing; `better` has the higher published mAP."""

    question: str
    better: ZooEntry
    worse: ZooEntry


def list_pairs() -> list[ModelPair]:
    """List the pairs of published models that differ in one thing."""
    return [
        ModelPair("slowfast over slowonly", zoo.get("slowfast_r50"), zoo.get("slowonly_r50")),
        ModelPair("101 over 50", zoo.get("slowonly_r101"), zoo.get("slowonly_r50")),
        ModelPair("101 over 50, OmniSource", zoo.get("slowonly_omnisource_r101"), zoo.get("slowonly_omnisource_r50")),
        ModelPair("context over none", zoo.get("slowfast_context_r50"), zoo.get("slowfast_r50")),
    ]


def average_over_actions(result: dict, action_ids: Collection[int] = TIME_ACTIONS) -> list[float]:
    """Average the AP over some actions, in percent, for each run of a result; actions without ground truth don't count.

    Runs whose AP per action was not recorded are left out.
    """
    means = []
    for run in result["runs"]:
        # The run's AP of the chosen actions, 0..1; None stands for an action without ground truth.
        actions = [action for action in run["per_class"] or () if action["action_id"] in action_ids]
        average_precisions = [action["AP"] for action in actions if action["AP"] is not None]
        if average_precisions:
            means.append(100 * statistics.mean(average_precisions))
    return means


def compare_order(results: list[dict], action_ids: Collection[int] = TIME_ACTIONS) -> pd.DataFrame:
    """Find out whether the published order of the models appears on some actions.

    Parameters
    ----------
    results : list of dict
        From `load_results` or `gather_results`, on one data set, one for each model.
    action_ids : collection of int
        The actions that count.

    Returns
    -------
    DataFrame
        One row per pair of `list_pairs`: question, better and worse (as published), measured difference (of the mean
        AP over the actions, in percent), noise (twice the standard deviation of such a difference) and appears: "yes",
        "no, reversed", "can't tell" (within the noise, or no model has several seeds), "not measured".
    """
    # {model: mean AP of each seed, percent}, and one variance between seeds for all models.
    means = {result["model"]: average_over_actions(result, action_ids) for result in results}
    variance = _pool_variance(results, means)
    rows = []
    for pair in list_pairs():
        better_means = means.get(pair.better.alias)
        worse_means = means.get(pair.worse.alias)
        row = {
            "question": pair.question,
            "better": pair.better.alias,
            "worse": pair.worse.alias,
            "appears": "not measured",
        }
        # Both models were measured: their difference, and how large it is by chance.
        if better_means and worse_means:
            difference = statistics.mean(better_means) - statistics.mean(worse_means)
            noise = _compute_noise(variance, len(better_means), len(worse_means))
            row["measured difference"] = round(difference, 1)
            row["noise"] = None if noise is None else round(noise, 1)
            row["appears"] = _judge_order(difference, noise)
        rows.append(row)
    return pd.DataFrame(rows, columns=ORDER_COLUMNS)


def _pool_variance(results, means):
    """The variance between seeds of one model, pooled over the models with several; None if none has.

    Runs that are copies of another model's count once.
    """
    groups = []
    for result in results:
        # Two models that share a training have the same scores: they would count twice.
        is_copy = any("run_of" in (run["train"] or {}) for run in result["runs"])
        values = means[result["model"]]
        if len(values) > 1 and not is_copy:
            groups.append(values)
    if not groups:
        return None
    # Each model's variance counts by its degrees of freedom.
    squares = sum((len(values) - 1) * statistics.variance(values) for values in groups)
    return squares / sum(len(values) - 1 for values in groups)


def _compute_noise(variance, n_better, n_worse):
    """Twice the standard deviation of the difference of two means over n_better and n_worse seeds."""
    return None if variance is None else 2 * (variance * (1 / n_better + 1 / n_worse)) ** 0.5


def _judge_order(difference, noise):
    if noise is None or abs(difference) <= noise:
        return "can't tell"
    return "yes" if difference > 0 else "no, reversed"
