"""The leaderboard: two tables of results, written as csv and into a page of the documentation.

The first has every model on the data set that its mAP was published on, with what was measured on that; the second what
was measured on other data sets. A number of one data set never stands beside a number of another.
"""

import statistics
from pathlib import Path

import pandas as pd

from avalib import zoo
from avalib.utils.files import write_table
from avalib.utils.markdown import render_table, replace_between_marks
from avalib.zoo_runner.result_records import get_mAPs, load_results

MARK = "leaderboard"
AVA_CSV = "leaderboard_ava.csv"
OTHER_CSV = "leaderboard_other_datasets.csv"
MODEL_COLUMNS = ["model", "backbone", "input", "data set", "published mAP"]
RUN_COLUMNS = [
    "coverage",
    "protocol",
    "seeds",
    "spread",
    "epochs",
    "commit",
    "hardware",
    "clips/s",
    "GPU-hours",
    "memory GB",
]
AVA_COLUMNS = [*MODEL_COLUMNS, "measured mAP", "difference", "run", "trivial mAP", *RUN_COLUMNS]
OTHER_COLUMNS = ["model", "run", "data set", "mAP", "trivial mAP", *RUN_COLUMNS]
AVA_TITLE = "Published on AVA's val split, and measured on it:"
OTHER_TITLE = "Measured on other data sets than that of the published mAP, so not to be compared with it:"


# --- tables -----------------------------------------------------------------------------------------------------------


def build_ava_leaderboard(results: list[dict]) -> pd.DataFrame:
    """Build the table of the published models and what was measured on the data set of their published mAP.

    Parameters
    ----------
    results : list of dict
        From `load_results` or `gather_results`; those on other data sets than the model's own are ignored.

    Returns
    -------
    DataFrame
        AVA_COLUMNS, mAP in percent; a row for each result, and one for each model without a result, whose measured
        columns are None. `difference` is measured minus published mAP.
    """
    rows = []
    published = zoo.build_zoo_table().set_index("model")
    for entry in zoo.ENTRIES:
        model_columns = {
            "model": entry.alias,
            "backbone": published.loc[entry.alias, "backbone"],
            "input": _describe_input(entry),
            "data set": entry.test_dataset,
            "published mAP": entry.published_mAP,
        }
        # A row for each result on the published val split; one without measured columns for a model that has none.
        measured = [result for result in results if result["model"] == entry.alias and _is_on_published(result)]
        for result in measured:
            mAP = statistics.mean(get_mAPs(result))
            measured_columns = {
                "measured mAP": round(mAP, 2),
                "difference": round(mAP - entry.published_mAP, 2),
                **_describe_runs(result),
            }
            rows.append(model_columns | measured_columns)
        if not measured:
            rows.append(model_columns)
    return _to_frame(rows, AVA_COLUMNS)


def build_other_leaderboard(results: list[dict]) -> pd.DataFrame:
    """Build the table of what was measured on other data sets than that of the model's published mAP.

    Parameters
    ----------
    results : list of dict
        From `load_results` or `gather_results`; those on the data set of the published mAP are ignored.

    Returns
    -------
    DataFrame
        OTHER_COLUMNS, one row per result, in the given order: mAP in percent (the mean over the seeds), its standard
        deviation over the seeds (`spread`), the mAP of the trivial detector. Columns that were not measured are None.
    """
    rows = []
    for result in results:
        if not _is_on_published(result):
            mAP = round(statistics.mean(get_mAPs(result)), 1)
            rows.append({"model": result["model"], "data set": result["dataset"], "mAP": mAP} | _describe_runs(result))
    return _to_frame(rows, OTHER_COLUMNS)


def _is_on_published(result):
    """Whether a result is of the val split that its model's published mAP is of."""
    return zoo.get_test_dataset(result["dataset"]) == zoo.get(result["model"]).test_dataset


def _describe_input(entry):
    """A model's clip as "frames x interval"; for SlowFast also what its slow pathway gets: "32x2 (slow 4x16)"."""
    text = f"{entry.clip_len}x{entry.frame_interval}"
    if entry.resample_rate:
        slow_len = entry.clip_len // entry.resample_rate
        text += f" (slow {slow_len}x{entry.frame_interval * entry.resample_rate})"
    return text


def _to_frame(rows, columns):
    """A DataFrame of plain objects, so that whole numbers stay whole beside empty cells."""
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return frame.where(frame.notna(), None)


def _describe_runs(result):
    """The columns that both tables have, from the records of a result's runs."""
    runs = result["runs"]
    # Records of evaluations, and of the trainings that were done here: published weights have none.
    evaluations = [run["evaluate"] for run in runs]
    trainings = [run["train"] for run in runs if run["train"]]
    gpu_trainings = [training for training in trainings if training["hardware"].get("gpus")]
    gpu_minutes = sum(training["minutes"] * training["processes"] for training in gpu_trainings)

    # Seeds share data set and protocol; commits and machines may differ.
    mAPs = get_mAPs(result)
    keyframes = evaluations[0]["coverage"]["keyframes"]
    prefix = f"{result['dataset']}_{result['model']}"  # the result's name without it is the run's
    # Of each run: 8 letters of its commit, its machine, clips a second in training, peak memory in GB.
    commits = [(evaluation["git"] or {}).get("commit", "")[:8] for evaluation in evaluations]
    machines = [describe_hardware((run["train"] or run["evaluate"])["hardware"]) for run in runs]
    speeds = [training.get("clips_per_s") for training in trainings]
    memories = [record["peak_memory_GB"] for record in trainings or evaluations[:1]]
    return {
        "run": result["name"].removeprefix(prefix).strip("_").replace("_", " "),
        "trivial mAP": round(100 * evaluations[0]["baseline_mAP"], 1),
        "coverage": result["label"] or f"all {keyframes} keyframes",
        "protocol": evaluations[0]["protocol"],
        "seeds": ", ".join(str(run["seed"]) for run in runs),
        "spread": round(statistics.stdev(mAPs), 1) if len(mAPs) > 1 else None,
        "epochs": _join_distinct([_get_epochs(training) for training in trainings]),
        "commit": _join_distinct(commits),
        "hardware": _join_distinct(machines),
        "clips/s": _round_mean(speeds),
        "GPU-hours": round(gpu_minutes / 60, 2) if gpu_trainings else None,
        "memory GB": max((memory for memory in memories if memory is not None), default=None),
    }


def _get_epochs(training):
    """The number of epochs that a training did, from its record."""
    # {"epochs": [the recipe's, this run's]} if they differ
    change = training.get("changed", {}).get("epochs")
    return change[1] if change else training["plan"]["epochs"]


def _join_distinct(values):
    """The value that all have in common, else all distinct ones as a text; None without values."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) > 1:
        return " / ".join(map(str, distinct))
    return distinct[0] if distinct else None


def _round_mean(values):
    """The mean of the values that are not None, to one digit; None without any."""
    measured = [value for value in values if value is not None]
    return round(statistics.mean(measured), 1) if measured else None


def describe_hardware(hardware: dict) -> str:
    """Describe a record's machine briefly: "AMD EPYC, 2 cores"; "8 x NVIDIA A100"."""
    gpus = hardware.get("gpus")
    if gpus:
        return f"{len(gpus)} x {gpus[0]}"
    return f"{hardware['processor']}, {hardware['cores']} cores"


# --- pages ------------------------------------------------------------------------------------------------------------


def render_leaderboard(results: list[dict]) -> str:
    """Render both tables as markdown, as they stand between the marks of the documentation's page."""
    # Columns in which nothing was measured are left out, but for the two that the page is about.
    ava = build_ava_leaderboard(results)
    measured = [column for column in ava if ava[column].notna().any()]
    ava = ava[[c for c in ava if c in measured or c in ("measured mAP", "difference")]]
    tables = [(AVA_TITLE, ava), (OTHER_TITLE, build_other_leaderboard(results))]
    parts = []
    for title, frame in tables:
        # Aliases and commits as code.
        frame = frame.assign(model=[f"`{model}`" for model in frame["model"]])
        if "commit" in frame:
            frame = frame.assign(commit=[f"`{commit}`" if commit else commit for commit in frame["commit"]])
        parts += [title, render_table(frame)]
    return "\n\n".join(parts)


def update_leaderboard(outputs: str | Path = "outputs", page: str | Path = "docs/results.md") -> list[Path]:
    """Write both tables as csv and into a page, from the results in `outputs`/results.

    Parameters
    ----------
    outputs : str or Path
        The folder with results/; the csv files are written into it.
    page : str or Path
        A markdown page with the lines `<!-- leaderboard -->` and `<!-- /leaderboard -->`; what is between them is
        replaced.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    PageError
        The page has no marks. Nothing is written then.
    """
    outputs = Path(outputs)
    page = Path(page)
    # Read and check everything before the first file is written.
    results = load_results(outputs / "results")
    replace_between_marks(page, MARK, f"\n{render_leaderboard(results)}\n")
    return [
        write_table(build_ava_leaderboard(results), outputs / AVA_CSV),
        write_table(build_other_leaderboard(results), outputs / OTHER_CSV),
        page,
    ]
