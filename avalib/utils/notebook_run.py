"""Start a notebook's run: check its parameters, go to the repository's root, start its record."""

import ast
import io
import os
from pathlib import Path

from avalib.utils.console import show_log_messages
from avalib.utils.experiment import ExperimentRecord
from avalib.utils.suggest import suggest

JPEG_QUALITY = 80  # of pictures in notebooks
INJECTED_CELL = "# Parameters"  # how papermill's cell with the values of -p begins

_current_record = None  # of the run that `start_run` started last in this process


def start_run(name: str, namespace: dict) -> ExperimentRecord:
    """Start a notebook's record, in the cell after its parameters.

    JupyterLab starts a notebook in the notebook's folder, papermill in the caller's. From here on the current folder is
    the repository's root, if there is a repository.

    Parameters
    ----------
    name : str
        The notebook's name.
    namespace : dict
        The notebook's globals().

    Returns
    -------
    ExperimentRecord
        Call its `finish` in the last cell.

    Raises
    ------
    NameError
        papermill injected a name that the parameters cell does not have (papermill itself only warns).
    TypeError
        It injected a value of another type than the cell's.
    """
    show_log_messages()
    # compare what papermill injected with the parameters cell
    cells = [source for source in namespace.get("In", []) if source.strip()]
    injected_at = next((i for i, source in enumerate(cells) if source.lstrip().startswith(INJECTED_CELL)), None)
    declared = {}
    for source in cells[:injected_at]:
        declared |= parse_literals(source)
    if injected_at is not None:
        check_parameters(declared, parse_literals(cells[injected_at]))
    # the repository's root, Ctrl-C in one line, the record
    root = find_repository_root()
    if root != Path.cwd():
        os.chdir(root)
    if "get_ipython" in namespace:
        shell = namespace["get_ipython"]()
        _shorten_interruptions(shell)
        _show_pictures_as_jpeg(shell)
    global _current_record
    _current_record = ExperimentRecord(name, {key: namespace[key] for key in declared if key in namespace})
    return _current_record


def get_run_caption() -> str:
    """The run that `start_run` started last, for the corner of its figures; "" without one.

    "03_train: slowonly_r50 on mini, seed 0, commit 98b77fb"
    """
    if _current_record is None:
        return ""
    parameters = _current_record.parameters
    subject = " on ".join(str(parameters[key]) for key in ("model", "dataset") if parameters.get(key))
    details = [subject] if subject else []
    for key in ("tag", "seed"):
        if parameters.get(key) not in (None, ""):
            details.append(f"{key} {parameters[key]}")
    if git := _current_record.git:
        changes = " with changes" if git["dirty"] else ""
        details.append(f"commit {git['commit'][:7]}{changes}")
    return f"{_current_record.name}: {', '.join(details)}"


def parse_literals(source: str) -> dict:
    """{name: value} of the plain `name = literal` lines of a cell."""
    literals = {}
    for node in ast.parse(_blank_out_magics(source)).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                literals[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue  # computed, so not a parameter
    return literals


def check_parameters(declared: dict, injected: dict):
    """Compare injected parameters with the declared ones, both {name: value}.

    An int is a valid float; None, declared or injected, goes with every type.

    Raises
    ------
    NameError
        A name is not declared; the message suggests the one that was meant.
    TypeError
        A value has another type than the declared one.
    """
    for name, value in injected.items():
        if name not in declared:
            hint = suggest(name, declared, cutoff=0.5)
            raise NameError(f"this notebook has no parameter {name!r}.{hint} It has: {', '.join(declared)}")
        default = declared[name]
        if default is None or value is None or type(value) is type(default):
            continue
        is_int_for_float = isinstance(default, float) and type(value) is int
        if not is_int_for_float:
            expected = type(default).__name__
            raise TypeError(f"parameter {name}={value!r}: expected {expected}, as in its default {default!r}")


def find_repository_root() -> Path:
    """The nearest folder upwards with a pyproject.toml and a notebooks/ in it, else the current folder."""
    current = Path.cwd()
    for folder in (current, *current.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return current


def _blank_out_magics(source):
    """A cell's source with empty lines in place of IPython's % and ! lines."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def _shorten_interruptions(shell):
    """Let a notebook show Ctrl-C and its stop button as one line instead of a traceback."""

    def show_line(shell, kind, error, trace, tb_offset=None):
        reason = error if str(error) else "stopped; run the cell again to resume"
        lines = [f"{kind.__name__}: {reason}"]
        shell._showtraceback(kind, error, lines)
        return lines

    shell.set_custom_exc((KeyboardInterrupt,), show_line)


def _show_pictures_as_jpeg(shell):
    """Let a notebook store each picture (PIL's) once, as JPEG; by itself it stores a PNG as well, six times larger."""
    formatters = shell.display_formatter.formatters
    formatters["image/png"].for_type_by_name("PIL.Image", "Image", lambda picture: None)
    formatters["image/jpeg"].for_type_by_name("PIL.Image", "Image", _encode_jpeg)


def _encode_jpeg(picture):
    """A picture's bytes as JPEG."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
