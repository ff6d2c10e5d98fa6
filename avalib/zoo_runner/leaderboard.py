"""Results and what they say together: one JSON a result, the table of all, the published numbers beside them.

A result is a row of the zoo on a data set, with a run for each seed: the records (run.json) of training and evaluation
as they were written, the validations and the AP of each action. Every number of the table is computed from those.
"""

import json
import statistics
from pathlib import Path

import pandas as pd

from avalib import zoo
from avalib.data.synthetic.action_ids import TIME_ACTIONS
from avalib.training.logger import MAP, read_log
from avalib.utils.run_folder import read_record, require_file

RESULTS = "outputs/results"
JITTER = "outputs/benchmarks/test_jitter.json"
SPEED = "outputs/benchmarks"
SCHEMA = 1
ROUNDING = 0.05  # of the published numbers, in points of mAP
FIELDS = {"schema": int, "name": str, "model": str, "dataset": str, "label": str, "note": str, "runs": list}
RUN_FIELDS = {"seed": int, "train": dict | None, "evaluate": dict, "validation": list, "per_class": list | None}
RECORD = ("name", "date", "parameters", "hashes", "git", "versions", "hardware", "wall_s", "peak_memory_GB")
COLUMNS = [
    "model", "run", "published mAP", "measured mAP", "difference", "trivial mAP", "data set", "coverage", "protocol",
    "seeds", "spread", "epochs", "commit", "hardware", "clips/s", "GPU-hours", "memory GB",
]  # fmt: skip
EVALUATED = ("mAP", "baseline_mAP", "coverage", "protocol")


# --- one result -------------------------------------------------------------------------------------------------------


def gather_results(folders, name=None, label="", note=""):
    """The result of the runs in these folders (see run.folder), one a seed, of one row on one data set: a dict.

    label: what a score of less than everything is called; note: anything else to say.
    Raises FileNotFoundError for a missing record, ValueError where the folders are of different rows or data sets.
    """
    runs = sorted((_run(Path(folder)) for folder in folders), key=lambda r: r["seed"])
    kinds = {(r["evaluate"]["model"], r["evaluate"]["parameters"]["dataset"]) for r in runs}
    if len(kinds) != 1:
        raise ValueError(f"one result is of one row and data set; these folders are of {sorted(kinds)}")
    ((model, dataset),) = kinds
    head = {"schema": SCHEMA, "name": name or f"{dataset}_{model}", "model": model, "dataset": dataset}
    others = dict.fromkeys(r["train"]["run_of"] for r in runs if r["train"] and "run_of" in r["train"])
    note = " ".join([note, *(f"From random weights this is the run of {name}." for name in others)]).strip()
    return head | {"label": label, "note": note, "runs": runs}


def _run(folder):
    evaluate = _read(folder / "evaluate" / "run.json", "notebook 04")
    own = evaluate["parameters"]["checkpoint"] in ("best", "final")
    train = _read(folder / "train" / "run.json", "notebook 03") if own else None
    rows = read_log(folder / "train" / "log.jsonl") if own else []
    validation = [{"epoch": r["epoch"], "mAP": r[MAP]} for r in rows if r["mode"] == "val"]
    report = _read(folder / "evaluate" / "report.json", "notebook 04")
    kept = ("action_id", "action", "AP", "ground_truth")
    per_class = [{k: c[k] for k in kept} for c in report["per_class"]]
    seed = (train or evaluate)["parameters"]["seed"]
    return dict(seed=seed, train=train, evaluate=evaluate, validation=validation, per_class=per_class)


def _read(path, maker):
    return read_record(require_file(path, maker), maker)


def check_result(result, where="result"):
    """Raise ValueError that names what a result lacks or has of another kind."""
    _fields(result, FIELDS, where)
    if result["schema"] != SCHEMA:
        raise ValueError(f"{where}: schema {result['schema']}: this package reads {SCHEMA}")
    if result["model"] not in zoo.list_models():
        raise ValueError(f"{where}: model {result['model']!r}: not in the zoo: {', '.join(zoo.list_models())}")
    if not result["runs"]:
        raise ValueError(f"{where}: no runs")
    for i, one in enumerate(result["runs"]):
        _fields(one, RUN_FIELDS, f"{where}: run {i}")
        for part in ("train", "evaluate"):
            wanted = (*RECORD, *(EVALUATED if part == "evaluate" else ()))
            missing = [key for key in wanted if one[part] is not None and key not in one[part]]
            if missing:
                raise ValueError(f"{where}: run {i}: the record of {part} has no {', '.join(missing)}")
        if one["evaluate"]["coverage"]["share"] < 1 and not result["label"]:
            raise ValueError(f"{where}: run {i}: coverage {one['evaluate']['coverage']['share']:.3f} and no label")


def _fields(found, wanted, where):
    for key, kind in wanted.items():
        if key not in found or not isinstance(found[key], kind):
            raise ValueError(f"{where}: {key}: expected {kind}, found {type(found.get(key)).__name__}")


def load_results(folder=RESULTS):
    """Every result in a folder, checked: the zoo's order, AVA before the mini before other data sets, then by name."""
    results = []
    for path in sorted(Path(folder).glob("[!.]*.json")):  # not a file that is being written
        try:
            results.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path}: not a whole result ({error}); publish its runs again, or delete it") from error
        check_result(results[-1], path.name)
        if results[-1]["name"] != path.stem:
            raise ValueError(f"{path.name}: holds the result {results[-1]['name']!r}")
    models, sets = zoo.list_models(), ["ava2.1", "ava2.2", "mini"]
    sets += sorted({result["dataset"] for result in results} - set(sets))
    return sorted(results, key=lambda r: (models.index(r["model"]), sets.index(r["dataset"]), r["name"]))


# --- all of them ------------------------------------------------------------------------------------------------------


def get_mAPs(result):
    """mAP@0.5 of each run, in percent."""
    return [100 * one["evaluate"]["mAP"] for one in result["runs"]]


def build_leaderboard(results, all_rows=True):
    """The scoreboard: a DataFrame, a row a result; rows of the zoo without one are there too, empty (all_rows)."""
    rows = [_line(result) for result in results]
    had = {row["model"] for row in rows}
    missing = [e for e in zoo.ENTRIES if e.alias not in had and all_rows]
    rows += [{"model": e.alias, "published mAP": e.published_mAP} for e in missing]
    rows = sorted(rows, key=lambda row: zoo.list_models().index(row["model"]))
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _line(result):
    entry, values, runs = zoo.get(result["model"]), get_mAPs(result), result["runs"]
    trained = [one["train"] for one in runs if one["train"]]
    measured = statistics.mean(values)
    covered = runs[0]["evaluate"]["coverage"]
    on_ava = result["dataset"] == "ava2.1"
    on_gpus = [t for t in trained if t["hardware"].get("gpus")]
    return {
        "model": entry.alias,
        "run": result["name"].removeprefix(f"{result['dataset']}_{entry.alias}").strip("_").replace("_", " "),
        "published mAP": entry.published_mAP,
        "measured mAP": round(measured, 1),
        "difference": round(measured - entry.published_mAP, 1) if on_ava else None,
        "trivial mAP": round(100 * runs[0]["evaluate"]["baseline_mAP"], 1),
        "data set": result["dataset"],
        "coverage": result["label"] or f"all {covered['keyframes']} keyframes",
        "protocol": runs[0]["evaluate"]["protocol"],
        "seeds": ", ".join(str(one["seed"]) for one in runs),
        "spread": round(statistics.stdev(values), 1) if len(values) > 1 else None,
        "epochs": _same(_epochs(t) for t in trained),
        "commit": _same((one["evaluate"]["git"] or {}).get("commit", "")[:8] for one in runs),
        "hardware": _same(describe_hardware((one["train"] or one["evaluate"])["hardware"]) for one in runs),
        "clips/s": _mean((t.get("clips_per_s") for t in trained), 1),
        "GPU-hours": round(sum(t["minutes"] * t["processes"] for t in on_gpus) / 60, 2) if on_gpus else None,
        "memory GB": _most(t["peak_memory_GB"] for t in trained or [runs[0]["evaluate"]]),
    }


def _epochs(record):
    """Epochs that a training did."""
    changed = record.get("changed", {}).get("epochs")
    return changed[1] if changed else record["plan"]["epochs"]


def _most(values):
    """The largest, leaving out None (Windows tells no peak); None without any."""
    return max((value for value in values if value is not None), default=None)


def _same(values):
    """The value that all have, or all that there are."""
    values = list(dict.fromkeys(values))
    return (values[0] if len(values) == 1 else " / ".join(map(str, values))) if values else None


def _mean(values, digits):
    values = [v for v in values if v is not None]
    return round(statistics.mean(values), digits) if values else None


def describe_hardware(hardware):
    """A machine in a few words: "AMD EPYC, 2 cores"; "8 x NVIDIA A100"."""
    if gpus := hardware.get("gpus"):
        return f"{len(gpus)} x {gpus[0]}"
    return f"{hardware['processor']}, {hardware['cores']} cores"


def to_markdown(frame):
    """A table of numbers and words as markdown; empty where there is none."""
    lines = [list(frame.columns), ["---"] * len(frame.columns)]
    lines += [["" if pd.isna(v) else str(v) for v in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def render_leaderboard(results):
    """The scoreboard as README has it, between its `<!-- scoreboard -->` marks."""
    frame = build_leaderboard(results)
    frame["model"] = [f"`{model}`" for model in frame["model"]]
    frame["commit"] = [f"`{c}`" if isinstance(c, str) and c else c for c in frame["commit"]]
    return to_markdown(frame)


# --- the published numbers --------------------------------------------------------------------------------------------


def load_frame_jitter(path=JITTER):
    """What `jitter.measure` has written, or None."""
    return json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).exists() else None


def get_tolerance(model, measured):
    """How far a measured mAP may be from the published one, in points, and why: (points or None, words).

    The published tests drew their frames at random: three standard deviations of that, as `jitter.measure` found them
    on the mini for a row with the same clip (else the largest), and the table's rounding.
    """
    if not measured:
        return None, f"not measured: {JITTER} is missing"
    entry = zoo.get(model)
    clip = (entry.clip_len, entry.frame_interval)
    like = [r for r in measured["rows"] if (zoo.get(r["model"]).clip_len, zoo.get(r["model"]).frame_interval) == clip]
    row = next((r for r in like if r["model"] == model), None) or (like or [None])[0]
    row = row or max(measured["rows"], key=lambda r: r["std"])
    where = f"{row['model']} on {measured['dataset']}, {len(row['mAP'])} seeds"
    words = f"{ROUNDING:g} + 3 x {100 * row['std']:.2f} ({where})"
    return ROUNDING + 300 * row["std"], words


def compare_with_published(results, measured=None):
    """Results beside the published table: DataFrame model, expected, measured, difference, tolerance, why, verdict.

    measured: `jitter()`; verdict: see `verdict`. Several seeds count with their mean.
    """
    rows = []
    for result in results:
        first, mAP = result["runs"][0]["evaluate"], statistics.mean(get_mAPs(result)) / 100
        share = min(one["evaluate"]["coverage"]["share"] for one in result["runs"])
        told = first["parameters"]["checkpoint"], result["dataset"], first["protocol"], share
        rows.append(judge_mAP(result["model"], mAP, *told, measured))
    return pd.DataFrame(rows, columns=["model", "expected", "measured", "difference", "tolerance", "why", "verdict"])


def judge_mAP(model, mAP, checkpoint, dataset, protocol, share, measured=None):
    """One measured mAP (0..1) beside the published one: a dict of the columns of `against_published`.

    "pass" or "FAIL" for the published checkpoint on the whole (share 1.0) of ava2.1 under protocol mmaction, else why
    there is no verdict.
    """
    entry, (allowed, words) = zoo.get(model), get_tolerance(model, measured)
    difference = 100 * mAP - entry.published_mAP
    if checkpoint != "published":
        said = "none: not the published checkpoint"
    elif dataset != "ava2.1" or protocol != "mmaction":
        said = "none: published on ava2.1 under protocol mmaction"
    elif share < 1:
        said = "none: not all keyframes"
    else:
        said = "none: no tolerance" if allowed is None else "pass" if abs(difference) <= allowed else "FAIL"
    return {
        "model": entry.alias, "expected": entry.published_mAP, "measured": round(100 * mAP, 2),
        "difference": round(difference, 2), "tolerance": allowed and round(allowed, 2), "why": words, "verdict": said,
    }  # fmt: skip


# --- does the published order appear? ---------------------------------------------------------------------------------


def average_over_actions(result, action_ids=TIME_ACTIONS):
    """Mean AP over some actions for each run, in percent; actions without ground truth are left out."""
    found = []
    for one in result["runs"]:
        aps = [c["AP"] for c in one["per_class"] or () if c["action_id"] in action_ids and c["AP"] is not None]
        if aps:
            found.append(100 * statistics.mean(aps))
    return found


def list_pairs():
    """What the published table says of two rows that differ in one thing: [(what, better, worse)]."""
    by = {e.alias: e for e in zoo.ENTRIES}
    return [
        ("slowfast over slowonly", by["slowfast_r50"], by["slowonly_r50"]),
        ("101 over 50", by["slowonly_r101"], by["slowonly_r50"]),
        ("101 over 50, OmniSource", by["slowonly_omnisource_r101"], by["slowonly_omnisource_r50"]),
        ("context over none", by["slowfast_context_r50"], by["slowfast_r50"]),
    ]


def compare_order(results, action_ids=TIME_ACTIONS):
    """Whether the published order appears on some actions: DataFrame question, better, worse, published (difference
    in points of mAP), found (difference of the mean AP over these actions), noise, appears.

    noise: twice the standard deviation of a difference of two such means, pooled from the rows with several seeds (runs
    that are another row's count once); a difference within it is "can't tell", as is one where no row has several.
    """
    values = {result["model"]: average_over_actions(result, action_ids) for result in results}
    own = [r for r in results if not any("run_of" in (one["train"] or {}) for one in r["runs"])]
    several = [v for v in (values[r["model"]] for r in own) if len(v) > 1]
    freedom = sum(len(v) - 1 for v in several)
    variance = sum((len(v) - 1) * statistics.variance(v) for v in several) / freedom if several else None
    rows = []
    for question, better, worse in list_pairs():
        a, b = values.get(better.alias), values.get(worse.alias)
        row = {"question": question, "better": better.alias, "worse": worse.alias}
        row["published"] = round(better.published_mAP - worse.published_mAP, 1)
        if a and b:
            found = statistics.mean(a) - statistics.mean(b)
            noise = None if variance is None else 2 * (variance * (1 / len(a) + 1 / len(b))) ** 0.5
            sure = noise is not None and abs(found) > noise
            row |= {"found": round(found, 1), "noise": noise and round(noise, 1)}
            row["appears"] = ("yes" if found > 0 else "no, reversed") if sure else "can't tell"
        else:
            row["appears"] = "not measured"
        rows.append(row)
    return pd.DataFrame(rows, columns=["question", "better", "worse", "published", "found", "noise", "appears"])


# --- speed ------------------------------------------------------------------------------------------------------------


def load_speed_table(folder=SPEED):
    """What benchmarks/bench_zoo.py has measured, beside the published mAP: DataFrame model, parameters M, GFLOP, "ms on
    <machine>" for each machine, published mAP. Empty but for the last where nothing is measured yet."""
    rows = {e.alias: {"model": e.alias} for e in zoo.ENTRIES}
    for path in sorted(Path(folder).glob("zoo_*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for one in found["rows"]:
            row = rows[one["model"]] | {"parameters M": round(one["parameters"] / 1e6, 1)}
            row |= {"GFLOP": round(one["flops"] / 1e9, 1), f"ms on {found['machine']}": round(1000 * one["seconds"], 1)}
            rows[one["model"]] = row
    for entry in zoo.ENTRIES:
        rows[entry.alias]["published mAP"] = entry.published_mAP
    frame = pd.DataFrame(rows.values())
    return frame[[c for c in frame if c != "published mAP"] + ["published mAP"]]
