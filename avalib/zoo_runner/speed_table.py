"""What benchmarks/bench_zoo.py has measured on each machine, as one table."""

import json
from pathlib import Path

import pandas as pd

from avalib import zoo

SPEED_FOLDER = "outputs/benchmarks"


def load_speed_table(folder: str | Path = SPEED_FOLDER) -> pd.DataFrame:
    """Load the measured speeds of the models.

    Parameters
    ----------
    folder : str or Path
        With zoo_*.json, one for each machine.

    Returns
    -------
    DataFrame
        One row per model of the zoo: model, parameters M, GFLOP, "ms on <machine>" for each machine, "ms a box" (of
        ACRN, on the machine of the last file), published mAP, evaluated on. Models of one network share a measurement.
        Columns of which nothing was measured are left out.
    """
    rows = {entry.alias: {"model": entry.alias} for entry in zoo.ENTRIES}
    # Each machine adds a column. Sizes are the same everywhere: million parameters, 1e9 operations, milliseconds.
    for path in sorted(Path(folder).glob("zoo_*.json")):
        benchmark = json.loads(path.read_text(encoding="utf-8"))
        for measurement in benchmark["rows"]:
            for alias in _list_same_network(measurement["model"]):
                rows[alias] |= {
                    "parameters M": round(measurement["parameters"] / 1e6, 1),
                    "GFLOP": round(measurement["flops"] / 1e9, 1),
                    f"ms on {benchmark['machine']}": round(1000 * measurement["seconds"], 1),
                }
                if "seconds_per_box" in measurement:
                    rows[alias]["ms a box"] = round(1000 * measurement["seconds_per_box"], 1)
    frame = pd.DataFrame(rows.values())
    published = zoo.build_zoo_table()
    return frame.assign(**{"published mAP": published["mAP"], "evaluated on": published["evaluated on"]})


def _list_same_network(model):
    """The aliases of all models with the network of one."""
    measured = zoo.get(model)
    return [entry.alias for entry in zoo.ENTRIES if zoo.is_same_network(entry, measured)]
