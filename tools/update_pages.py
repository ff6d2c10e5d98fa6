"""Write the generated parts of the pages: the models' tables of README.md and docs/models.md, and the latter's figure.

    python tools/update_pages.py

Reads the entries of the zoo and what benchmarks/bench_zoo.py has measured (outputs/benchmarks/zoo_cpu.json).
"""

import json
from pathlib import Path

import pandas as pd
import torch

from avalib import draw, zoo
from avalib.models.detector import Detector
from avalib.utils.console import allow_any_text
from avalib.utils.markdown import render_table, replace_between_marks
from avalib.zoo_runner.speed_table import SPEED_FOLDER, load_speed_table

FIGURE = "outputs/figures/models.png"
BYTES_PER_NUMBER = 4  # float32


def main():
    """Write everything, from the repository's root."""
    parts = {("README.md", "zoo table"): zoo.render_zoo_table()}
    parts |= {("docs/models.md", mark): text for mark, text in render_models_page().items()}
    for (page, mark), text in parts.items():
        print(f"written: {replace_between_marks(page, mark, text)} ({mark})")
    figure = draw.plot_speed_accuracy(load_cpu_speeds(), title="Published mAP over time on two CPU cores")
    draw.save_figure(figure, FIGURE, dpi=90)
    print(f"written: {FIGURE}")


def render_models_page():
    """{mark: text between the marks} of docs/models.md."""
    tables = f"{render_table(build_models_table())}\n\n{describe_measurement()}"
    return {"all models": tables, "files": zoo.render_published_files()}


def describe_measurement(path=f"{SPEED_FOLDER}/zoo_cpu.json"):
    """A line on what was measured where, from the record of benchmarks/bench_zoo.py."""
    record = json.loads(Path(path).read_text(encoding="utf-8"))
    commit = (record["git"] or {}).get("commit", "none")[:8]
    repeats = len(record["rows"][0]["all"])
    return (
        f"`ms a clip`: {record['machine']}, {record['clip']}; medians of {repeats}; "
        f"torch {record['versions']['torch']}, commit `{commit}`."
    )


def load_cpu_speeds(folder=SPEED_FOLDER):
    """The speed table with one machine: the CPU that docs/models.md is about."""
    table = load_speed_table(folder)
    others = [column for column in table if column.startswith("ms on ") and "thread" not in column]
    return table.drop(columns=[*others, "GFLOP"], errors="ignore")


def build_models_table(folder=SPEED_FOLDER):
    """The table of all models with sizes and times.

    Returns
    -------
    DataFrame
        Columns as on the page: what a model is, the mAP with its val split and protocol, MB of weights, milliseconds.
    """
    speeds = load_cpu_speeds(folder).set_index("model")
    published = zoo.build_zoo_table().set_index("model", drop=False)
    table = published[["model", "backbone", "input", "trained on", "evaluated on", "protocol", "mAP"]]
    table = table.assign(MB=[round(count_weight_bytes(entry) / 1e6) for entry in zoo.ENTRIES])
    (column,) = [column for column in speeds if column.startswith("ms on ")]
    table = table.assign(**{"ms a clip": [_format_ms(value) for value in speeds[column]]})
    if "ms a box" in speeds:
        notes = [f" + {_format_ms(value)} a box above 3" if pd.notna(value) else "" for value in speeds["ms a box"]]
        table["ms a clip"] += notes
    return table.assign(model=[f"`{model}`" for model in table["model"]])


def count_weight_bytes(entry):
    """Bytes of all numbers of a model's state_dict in float32."""
    with torch.device("meta"):
        state_dict = Detector(entry).state_dict()
    return BYTES_PER_NUMBER * sum(tensor.numel() for tensor in state_dict.values())


def _format_ms(value):
    """Milliseconds as a whole number; empty if not measured."""
    return "" if pd.isna(value) else f"{value:.0f}"


if __name__ == "__main__":
    allow_any_text()
    main()
