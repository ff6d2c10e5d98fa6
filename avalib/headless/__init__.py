"""Notebooks headless: 01 to 05 for one row of the zoo (`make demo`), 03 to 05 for every row and seed (notebook 06).

Every notebook runs in a process of its own (papermill's kernel), those of a row one after the other; rows one at a time
on a CPU, and as many at once as there are GPUs. What is done is not done again unless something that it reads has
changed (told by hashes: its parameters, its code, the annotations, the checkpoint) or what it makes is gone.

From random weights the OmniSource rows are the networks of the Kinetics-400 rows: trained once, the run is both rows'.
"""

from avalib.headless.records import inputs, record_path, why
from avalib.headless.rows import CHECKPOINTS, Row, rows
from avalib.headless.runner import Kernel, Zoo, check, devices, evaluated, execute

__all__ = [
    "CHECKPOINTS", "Kernel", "Row", "Zoo", "check", "devices", "evaluated", "execute", "inputs", "record_path", "rows",
    "why",
]  # fmt: skip
