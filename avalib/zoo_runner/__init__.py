"""Notebooks headless: 01 to 05 for one row of the zoo (`make demo`), 03 to 05 for every row and seed (notebook 06).

Every notebook runs in a process of its own (papermill's kernel), those of a row one after the other; rows one at a time
on a CPU, and as many at once as there are GPUs. What is done is not done again unless something that it reads has
changed (told by hashes: its parameters, its code, the annotations, the checkpoint) or what it makes is gone.

From random weights the OmniSource rows are the networks of the Kinetics-400 rows: trained once, the run is both rows'.
"""

from avalib.zoo_runner.run_inputs import compute_inputs, explain_rerun, get_inputs_path
from avalib.zoo_runner.runner import (
    NotebookKernel,
    ZooRunner,
    execute_notebook,
    list_devices,
    raise_on_failure,
    select_evaluated,
)
from avalib.zoo_runner.zoo_run import CHECKPOINTS, ZooRun, list_zoo_runs

__all__ = [
    "CHECKPOINTS",
    "NotebookKernel",
    "ZooRun",
    "ZooRunner",
    "compute_inputs",
    "execute_notebook",
    "explain_rerun",
    "get_inputs_path",
    "list_devices",
    "list_zoo_runs",
    "raise_on_failure",
    "select_evaluated",
]
