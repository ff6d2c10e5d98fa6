"""The layers: a package imports only from packages below it, and heavy dependencies have one owner."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "avalib"
LAYERS = (  # from the lowest to the highest
    "utils",
    "zoo",
    "video",
    "data",
    "models",
    "evaluation",
    "training",
    "detection",
    "draw",
    "zoo_runner",
    "cli",
)
OWNERS = {
    "av": {"video"},
    "avalib.video.pyav": {"video"},
    "matplotlib": {"draw"},
    "ipywidgets": {"draw"},
    "IPython": {"draw"},
    "scipy": {"utils"},
    "safetensors": {"models"},
    "pyarrow": {"data"},
    "ray": {"detection"},
    "urllib": {"utils"},
    "torch.utils.tensorboard": {"training"},
    "papermill": {"zoo_runner"},
    "jupyter_client": {"zoo_runner"},
}
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem == "cli"]


def package_of(path):
    """The package (or top-level module) that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(path):
    """The modules that a file imports, wherever in it: "avalib.data.labels", "numpy"."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= whole if node.module == "avalib" else {node.module}
    return names


def test_every_package_has_a_layer():
    assert {package_of(path) for path in MODULES} <= set(LAYERS)


def test_imports_go_down():
    for path in MODULES:
        package = package_of(path)
        for name in imported_names(path):
            other = name.split(".")[1] if name.startswith("avalib.") else package
            assert LAYERS.index(other) <= LAYERS.index(package), f"{path.relative_to(PACKAGE)} imports {name}"


def test_module_names_are_unique():
    names = Counter(path.stem for path in MODULES if not path.stem.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []


def test_heavy_dependencies_have_one_owner():
    for path in MODULES:
        for name in imported_names(path):
            owner = OWNERS.get(name) or OWNERS.get(name.split(".")[0])
            assert owner is None or package_of(path) in owner, f"{path.name} imports {name}, which belongs to {owner}"


def test_scoring_does_not_load_torch():
    code = (
        "import avalib, sys; avalib.evaluate; avalib.lint_csv; import avalib.utils.experiment; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
