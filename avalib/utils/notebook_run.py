"""Start a notebook's run: check its parameters and go to the repository's root."""

import ast
import os
from pathlib import Path

from avalib.utils.console import show_log_messages
from avalib.utils.experiment import ExperimentRecord
from avalib.utils.suggest import suggest

_current = None  # the run that `start_run` started last in this process


def start_run(name, namespace):
    """Start a notebook's record: check what papermill injected, go to the repository's root. -> Run.

    namespace: the notebook's globals(). JupyterLab starts a notebook in its own folder, papermill in the caller's;
    from here on both are in the folder that holds pyproject.toml, where there is one.
    Raises NameError for an injected name that the parameters cell does not have (papermill itself only warns), and
    TypeError for a value of another kind than the cell's.
    """
    show_log_messages()
    cells = [source for source in namespace.get("In", []) if source.strip()]
    injected_at = next((i for i, source in enumerate(cells) if source.lstrip().startswith("# Parameters")), None)
    declared = {}
    for source in cells[:injected_at]:
        declared |= parse_literals(source)
    if injected_at is not None:
        check_parameters(declared, parse_literals(cells[injected_at]))
    root = find_repository_root()
    if root != Path.cwd():
        os.chdir(root)
    if "get_ipython" in namespace:
        _show_interruptions_as_a_line(namespace["get_ipython"]())
    global _current
    _current = ExperimentRecord(name, {key: namespace[key] for key in declared if key in namespace})
    return _current


def get_run_caption():
    """The run that `begin` started last, for the corner of its figures; "" where none was started.

    "03_train: slowonly_r50 on mini, seed 0, commit 98b77fb"
    """
    if _current is None:
        return ""
    told, git = _current.parameters, _current.git or {}
    words = " on ".join(str(told[key]) for key in ("model", "dataset") if told.get(key))
    words = [words, *(f"{key} {told[key]}" for key in ("tag", "seed") if told.get(key) not in (None, ""))]
    words += [f"commit {git['commit'][:7]}{' with changes' if git['dirty'] else ''}"] if git else []
    return f"{_current.name}: {', '.join(filter(None, words))}"


def parse_literals(source):
    """{name: value} of the plain `name = literal` lines of a cell."""
    found = {}
    for node in ast.parse(_without_magics(source)).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue  # computed, so not a parameter
    return found


def check_parameters(declared, given):
    """Hold given parameters to the declared ones: names must be there, kinds must agree (None takes any kind)."""
    for name, value in given.items():
        if name not in declared:
            hint = suggest(name, declared, cutoff=0.5)
            raise NameError(f"this notebook has no parameter {name!r}.{hint} It has: {', '.join(declared)}")
        default = declared[name]
        number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
        if default is not None and value is not None and type(value) is not type(default) and not number:
            kind = type(default).__name__
            raise TypeError(f"parameter {name}={value!r}: expected {kind}, as in its default {default!r}")


def find_repository_root():
    """The nearest folder upwards with a pyproject.toml and a notebooks/ in it, else the current folder."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return here


def _without_magics(source):
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def _show_interruptions_as_a_line(shell):
    """Have a notebook show Ctrl-C and its stop button as one line, instead of the frames that it happened to be in."""

    def show(shell, kind, error, trace, tb_offset=None):
        lines = [f"{kind.__name__}: {error if str(error) else 'stopped; run the cell again to go on'}"]
        shell._showtraceback(kind, error, lines)
        return lines

    shell.set_custom_exc((KeyboardInterrupt,), show)
