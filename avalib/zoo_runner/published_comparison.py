"""Compare measured with published mAPs: is the difference within what the published tests' random frames explain?"""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from avalib import zoo
from avalib.zoo_runner.result_records import get_mAPs

JITTER_FILE = "outputs/benchmarks/test_jitter.json"
ROUNDING = 0.05  # of the published numbers, in points of mAP
LIBRARY_SPREAD = 0.1  # between versions of the libraries, in points of mAP, where the published test isn't random
VERDICT_COLUMNS = ["model", "expected", "measured", "difference", "tolerance", "reason", "verdict"]


@dataclass(frozen=True)
class Tolerance:
    """How far a measured mAP may be from the published one. points: of mAP in percent; None if it was not measured."""

    points: float | None
    reason: str


def load_frame_jitter(path: str | Path = JITTER_FILE) -> dict | None:
    """Load what `frame_jitter.measure_frame_jitter` has measured; None if there is no file."""
    return json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).exists() else None


def get_tolerance(model: str, jitter: dict | None) -> Tolerance:
    """Compute how far a measured mAP may be from the published one.

    The published tests of MMAction2 v0.10.0 drew their frames at random. The tolerance is three standard deviations of
    that, as measured for the model, else for a model with the same clip, else the largest; plus the rounding of the
    published table. The other tests have nothing random; LIBRARY_SPREAD stands in for it.

    Parameters
    ----------
    model : str
        Alias or full name of a model of the zoo.
    jitter : dict or None
        From `load_frame_jitter`.

    Returns
    -------
    Tolerance
    """
    entry = zoo.get(model)
    if not zoo.build_published_recipe(entry).jitter_at_test:
        reason = f"{ROUNDING:g} + {LIBRARY_SPREAD:g} (versions of libraries; the test has no random frames)"
        return Tolerance(ROUNDING + LIBRARY_SPREAD, reason)
    if not jitter:
        return Tolerance(None, f"not measured: {JITTER_FILE} is missing")
    measured = {row["model"]: row for row in jitter["rows"]}
    same_clip = [row for name, row in measured.items() if _get_clip(zoo.get(name)) == _get_clip(entry)]
    # The best evidence that there is: the model itself, one with the same clip, the model whose score moved most.
    if entry.alias in measured:
        chosen = measured[entry.alias]
    elif same_clip:
        chosen = same_clip[0]
    else:
        chosen = max(measured.values(), key=lambda row: row["std"])
    source = f"{chosen['model']} on {jitter['dataset']}, {len(chosen['mAP'])} seeds"
    reason = f"{ROUNDING:g} + 3 x {100 * chosen['std']:.2f} ({source})"
    # Three standard deviations, from 0..1 to percent.
    return Tolerance(ROUNDING + 300 * chosen["std"], reason)


def _get_clip(entry):
    return entry.clip_len, entry.frame_interval


def compare_with_published(results: list[dict], jitter: dict | None = None) -> pd.DataFrame:
    """Compare results with the published numbers.

    Parameters
    ----------
    results : list of dict
        From `load_results` or `gather_results`; several seeds count with their mean.
    jitter : dict, optional
        From `load_frame_jitter`.

    Returns
    -------
    DataFrame
        One row per result, with the columns VERDICT_COLUMNS, see `judge_mAP`.
    """
    rows = []
    for result in results:
        first = result["runs"][0]["evaluate"]
        verdict = judge_mAP(
            result["model"],
            mAP=statistics.mean(get_mAPs(result)) / 100,
            checkpoint=first["parameters"]["checkpoint"],
            dataset=result["dataset"],
            protocol=first["protocol"],
            share=min(run["evaluate"]["coverage"]["share"] for run in result["runs"]),
            jitter=jitter,
        )
        rows.append(verdict)
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS)


def judge_mAP(
    model: str,
    mAP: float,
    checkpoint: str,
    dataset: str,
    protocol: str,
    share: float,
    jitter: dict | None = None,
) -> dict:
    """Compare one measured mAP with the published one.

    Parameters
    ----------
    model : str
        Alias or full name of a model of the zoo.
    mAP : float
        Measured, 0..1.
    checkpoint, dataset, protocol : str
        What was evaluated, on which data set, by which rules.
    share : float
        Share of the keyframes that was scored, 0..1.
    jitter : dict, optional
        From `load_frame_jitter`.

    Returns
    -------
    dict
        VERDICT_COLUMNS, mAPs in percent. The verdict is "pass" or "FAIL" for the published checkpoint on all keyframes
        of the published data set under the published protocol, else "none: " and the reason. Numbers of another data
        set are not compared: expected, difference, tolerance and reason are None.
    """
    entry = zoo.get(model)
    tolerance = get_tolerance(model, jitter)
    # A verdict needs what was published: these weights, this val split (AVA-Kinetics has that of AVA v2.2), this
    # protocol, all keyframes.
    is_comparable = zoo.get_test_dataset(dataset) == entry.test_dataset
    difference = 100 * mAP - entry.published_mAP
    if checkpoint != "published":
        verdict = "none: not the published checkpoint"
    elif not is_comparable or protocol != entry.protocol:
        verdict = f"none: published on {entry.test_dataset} under protocol {entry.protocol}"
    elif share < 1:
        verdict = "none: not all keyframes"
    elif tolerance.points is None:
        verdict = "none: no tolerance"
    else:
        verdict = "pass" if abs(difference) <= tolerance.points else "FAIL"
    # What was published stands beside numbers of the same data set only.
    published = dict.fromkeys(("expected", "difference", "tolerance", "reason"))
    if is_comparable:
        published = {
            "expected": entry.published_mAP,
            "difference": round(difference, 2),
            "tolerance": None if tolerance.points is None else round(tolerance.points, 2),
            "reason": tolerance.reason,
        }
    row = {"model": entry.alias, "measured": round(100 * mAP, 2), "verdict": verdict} | published
    return {column: row[column] for column in VERDICT_COLUMNS}
