"""What it costs to begin: imports in fresh processes, and a notebook that does nothing, run by papermill.

python benchmarks/bench_start.py [--repeats 5]
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import nbformat
from common import ROOT, build_parser, compare, record, time_alternately

CODE = {
    "nothing": "pass",
    "torch": "import torch",
    "avalib": "import torch, avalib",
    "a model": "import torch, torchvision, avalib; avalib.build_model",
    "pandas": "import numpy, pandas, pyarrow.csv",
    "evaluate": "import avalib; avalib.evaluate; import sys; assert 'torch' not in sys.modules",
}


def main():
    options = build_parser("start", __doc__).parse_args()
    seconds = time_alternately({name: partial(run_python, "-c", code) for name, code in CODE.items()}, options.repeats)
    beyond = seconds["avalib"] - seconds["torch"]
    with tempfile.TemporaryDirectory() as folder:
        work = build_notebook(Path(folder))
        papermill = time_alternately({"papermill": work}, options.repeats)["papermill"]
    rows = [
        compare("import avalib, beyond import torch", max(beyond, 0), None, "s", 0.3),
        compare("import avalib.build_model, torch alone", seconds["a model"], seconds["torch"], "s"),
        compare(
            "import avalib.evaluate (no torch), numpy and pandas alone", seconds["evaluate"], seconds["pandas"], "s"
        ),
        compare("papermill, a notebook that only begins and ends its record", papermill, None, "s", 5),
    ]
    record("start", rows, options, seconds=seconds)


def run_python(*words):
    subprocess.run([sys.executable, *words], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def build_notebook(folder):
    """What runs a notebook of our shape that has nothing to do."""
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": [tag]} if tag else {})
        for source, tag in (
            ("name = 'x'  # a parameter", "parameters"),
            ("from avalib.utils.notebook_run import start_run\nrecord = start_run('nothing', globals())", ""),
            (f"record.finish({str(folder / 'run.json')!r})", ""),
        )
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "in.ipynb")
    words = ["-m", "papermill", folder / "in.ipynb", folder / "out.ipynb", "-p", "name", "y", "--no-progress-bar"]
    return partial(run_python, *map(str, words))


if __name__ == "__main__":
    main()
