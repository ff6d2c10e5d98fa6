"""Text files are UTF-8 on every system: who opens one says so, and a process with another locale reads the same."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    path
    for pattern in ("avalib/**/*.py", "benchmarks/**/*.py", "tests/**/*.py", "tools/**/*.py", "notebooks/*.ipynb")
    for path in sorted(ROOT.glob(pattern))
]
BINARY_OPENERS = {"os", "av", "Image", "webbrowser", "zipfile", "tarfile", "wave"}  # their open() has no encoding
OWN_WRITERS = {"files", "text"}  # avalib.utils: UTF-8 always
PROCESSES = {"run", "Popen", "check_output", "check_call", "call"}


def sources(path):
    """The Python in a file: one text, or one for each code cell."""
    if path.suffix == ".py":
        return [path.read_text(encoding="utf-8")]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def faults(source):
    """(line, call) of calls that open text in the encoding of whoever's system it runs on."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and opens_text(node):
            found.append((node.lineno, ast.unparse(node)[:100]))
    return found


def opens_text(call):
    """Whether a call opens text without an encoding."""
    given = {keyword.arg for keyword in call.keywords}
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    owner = owner.id if isinstance(owner, ast.Name) else ""
    if given & {"encoding", None}:  # None: **options
        return False
    if name in ("read_text", "write_text"):
        return isinstance(call.func, ast.Attribute) and owner not in OWN_WRITERS
    if name == "open":
        return owner not in BINARY_OPENERS and "b" not in mode_of(
            call, 0 if owner and owner not in ("io", "gzip") else 1
        )
    if name in ("fdopen", "atomic_write"):
        return name == "fdopen" and "b" not in mode_of(call, 1)
    if name in ("NamedTemporaryFile", "TemporaryFile"):
        return "b" not in mode_of(call, 0, "w+b")
    if name in PROCESSES:
        return bool(given & {"text", "universal_newlines"})
    return name in ("TextIOWrapper", "FileHandler", "loadtxt", "savetxt")


def mode_of(call, place, default="r"):
    """The mode that an open-like call names, as text; "b" where it isn't a literal."""
    modes = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] or call.args[place : place + 1]
    if not modes:
        return default
    return ast.unparse(modes[0]) if isinstance(modes[0], ast.Constant | ast.IfExp) else "b"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_opened_with_an_encoding(path):
    found = [fault for source in sources(path) for fault in faults(source)]
    assert not found, "\n".join(f"{path}:{line}: {call}" for line, call in found)


@pytest.mark.parametrize(
    "call",
    [
        "open(p)", "open(p, 'w')", "open(p, mode='a')", "p.open()", "p.open('w')", "p.read_text()", "p.write_text('x')",
        "gzip.open(p, 'rt')", "os.fdopen(n)", "subprocess.run(c, text=True)", "tempfile.NamedTemporaryFile('w')",
        "Path(p).read_text()", "io.TextIOWrapper(f)", "np.loadtxt(p)",
    ],
)  # fmt: skip
def test_the_check_finds(call):
    assert faults(call)


@pytest.mark.parametrize(
    "call",
    [
        "open(p, 'rb')", "open(p, 'rb' if x else 'wb')", "open(p, encoding='utf-8')", "p.open('wb')", "os.open(p, f)",
        "Image.open(p)", "av.open(p, 'w')", "files.write_text(p, t)", "open(p, **options)", "subprocess.run(c)",
        "tempfile.NamedTemporaryFile()", "p.read_text(encoding='utf-8')",
    ],
)  # fmt: skip
def test_the_check_lets_pass(call):
    assert not faults(call)
