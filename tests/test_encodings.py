"""Text files are UTF-8 on every system: who opens one says so, and a process with another locale reads the same."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    path
    for pattern in ("avalib/**/*.py", "benchmarks/**/*.py", "tests/**/*.py", "tools/**/*.py", "notebooks/*.ipynb")
    for path in sorted(ROOT.glob(pattern))
]
BINARY_OPENERS = {"os", "av", "Image", "webbrowser", "zipfile", "tarfile", "wave"}  # their open() has no encoding
PACKED = {"gzip", "bz2", "lzma"}  # binary unless asked for text
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
    is_function = not isinstance(call.func, ast.Attribute) or owner == "io"  # open(path, mode), not path.open(mode)
    if given & {"encoding", None}:  # None: **options
        return False
    if name in ("read_text", "write_text"):
        return isinstance(call.func, ast.Attribute) and owner not in OWN_WRITERS
    if owner in PACKED:
        return name == "open" and "t" in mode_of(call, 1, "rb")
    if name == "open":
        return owner not in BINARY_OPENERS and "b" not in mode_of(call, 1 if is_function else 0)
    if name == "fdopen":
        return "b" not in mode_of(call, 1)
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


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_opened_with_an_encoding(path):
    found = [fault for source in sources(path) for fault in faults(source)]
    assert not found, "\n".join(f"{path}:{line}: {call}" for line, call in found)


@pytest.mark.parametrize(
    "call",
    [
        "open(p)",
        "open(p, 'w')",
        "open(p, mode='a')",
        "p.open()",
        "p.open('w')",
        "p.read_text()",
        "p.write_text('x')",
        "gzip.open(p, 'rt')",
        "os.fdopen(n)",
        "subprocess.run(c, text=True)",
        "tempfile.NamedTemporaryFile('w')",
        "Path(p).read_text()",
        "io.TextIOWrapper(f)",
        "np.loadtxt(p)",
    ],
)
def test_the_check_finds(call):
    assert faults(call)


@pytest.mark.parametrize(
    "call",
    [
        "open(p, 'rb')",
        "open(p, 'rb' if x else 'wb')",
        "open(p, encoding='utf-8')",
        "p.open('wb')",
        "Path(p).open('rb')",
        "os.open(p, f)",
        "Image.open(p)",
        "av.open(p, 'w')",
        "files.write_text(p, t)",
        "open(p, **options)",
        "subprocess.run(c)",
        "tempfile.NamedTemporaryFile()",
        "gzip.open(p)",
        "p.read_text(encoding='utf-8')",
    ],
)
def test_the_check_lets_pass(call):
    assert not faults(call)


PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # text is ASCII unless somebody says otherwise


def run_plain(*words, cwd=None):
    """A Python process of a system whose console and files are ASCII by default."""
    environment = os.environ | PLAIN | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, encoding="ascii")


@pytest.fixture
def scored(tmp_path):
    """A folder with a label map, ground truth and detections whose names are not ASCII."""
    (tmp_path / "map.txt").write_text("1: 跌倒\n3: gehen…\n", encoding="utf-8")
    for name, last in (("gt.csv", "0"), ("det.csv", "0.9")):
        rows = "".join(f"街道,{902 + i},0.1,0.1,0.5,0.9,{i},{last}\n" for i in (1, 3))
        (tmp_path / name).write_text(rows, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_files_are_utf8_whatever_the_locale(scored):
    code = "import avalib, json; report = avalib.evaluate('gt.csv', 'det.csv', label_map='map.txt')"
    child = run_plain("-c", code + "; print(report.mAP, json.dumps(list(report.per_class.action)))", cwd=scored)
    assert child.returncode == 0, child.stderr
    assert child.stdout == f"1.0 {json.dumps(['跌倒', 'gehen…'])}\n"


@pytest.mark.slow
def test_a_command_prints_letters_that_the_console_lacks_as_escapes(scored):
    words = ["-m", "avalib", "evaluate", "gt.csv", "det.csv", "--label-map", "map.txt"]
    child = run_plain(*words, cwd=scored)
    assert child.returncode == 0, child.stderr
    assert "gehen\\u2026" in child.stdout


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["train"], ["detect"]], ids=["avalib", "train", "detect"])
def test_help_is_shown_on_any_console(words):
    child = run_plain("-m", "avalib", *words, "--help")
    assert child.returncode == 0, child.stderr
