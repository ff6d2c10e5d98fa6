"""The floors: a room imports only from floors below its own, and heavy dependencies have one owner."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "avalib"
FLOORS = [
    {"utils"},
    {"data"},
    {"zoo", "boxes", "actions", "run", "tables", "fetch", "numbering", "packed", "batches", "parallel", "history"},
    {"annotations", "lint", "video", "transforms", "models", "checkpoints", "tracks", "slim"},
    {"detection"},
    {"frames", "stream", "persons", "metrics"},
    {"ava", "weights", "dataset", "mini", "export", "formats"},
    {"infer", "errors", "sources", "explain", "headless", "scoreboard"},
    {"draw", "doctor", "jitter", "publish"},
    {"train", "detect"},
]
OWNERS = {
    "av": {"video"},
    "matplotlib": {"draw"},
    "ipywidgets": {"draw"},
    "IPython": {"draw"},
    "scipy": {"tracks"},
    "safetensors": {"checkpoints"},
    "pyarrow": {"tables"},
    "urllib": {"fetch"},
    "torch.utils.tensorboard": {"history"},
    "papermill": {"headless"},
    "jupyter_client": {"headless"},
}


def rooms():
    """{room: [its files]}; a sub-package is one room."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        found.setdefault(parts[0].removesuffix(".py"), []).append(path)
    found.pop("__init__")
    return found


def imported(path):
    """Top-level modules that a file imports, wherever in it; avalib's rooms as 'avalib.room'."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "avalib" else {node.module}
            )
    return names


def floor_of(room):
    return next((i for i, floor in enumerate(FLOORS) if room in floor), None)


def test_every_room_has_a_floor():
    assert set(rooms()) == set().union(*FLOORS)


def test_imports_go_down():
    for room, paths in rooms().items():
        for path in paths:
            for name in imported(path):
                if name.startswith("avalib."):
                    other = name.split(".")[1]
                    below = floor_of(other) < floor_of(room)
                    assert other == room or below, f"{path.name} (floor {floor_of(room)}) imports {name}"


def test_heavy_dependencies_have_one_owner():
    for room, paths in rooms().items():
        for path in paths:
            for name in imported(path):
                owner = OWNERS.get(name) or OWNERS.get(name.split(".")[0])
                assert owner is None or room in owner, f"{path.name} imports {name}, which belongs to {owner}"


def test_scoring_does_not_load_torch():
    code = "import avalib, sys; avalib.evaluate; avalib.lint_csv; import avalib.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
