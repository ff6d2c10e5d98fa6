"""Every file is written through utils.files, which makes it whole or not there: read from the code itself."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    *(ROOT / "avalib").rglob("*.py"),
    *(ROOT / "benchmarks").glob("*.py"),
    *(ROOT / "tools").glob("*.py"),
    *(ROOT / "notebooks").glob("*.ipynb"),
]

# file: {function: why it may write plainly}
ALLOWED = {
    "avalib/utils/files.py": {
        "atomic_path": "it is the atomic write",
        "flush_to_disk": "Windows flushes only what is open for writing",
        "link_or_copy": "a link is whole at once",
        "link_folder": "a link is whole at once",
        "is_writable": "an empty file, removed at once",
    },
    "avalib/utils/download.py": {"_lock": "a lock file has no content"},
    "avalib/utils/partial_download.py": {
        "claim": "takes a part, which belongs to this process from then on",
        "release": "gives a part back for the next call",
        "finish": "the part is whole and flushed, and gets its name",
    },
    "avalib/utils/run_folder.py": {"archive_folder": "one rename of a whole folder"},
    "avalib/data/ava_download.py": {
        "download_proposals": "a whole file that was checked gets its name",
        "_download_video": "a whole file that is no use is put out of the way",
    },
    "avalib/data/importers/placement.py": {
        "_publish": "one rename of a whole folder",
        "_restore_foreign_files": "renames of whole files",
        "_move_pieces": "renames that the next opening finishes",
    },
    "avalib/data/importers/dataset_import.py": {"_place_video": "a link in a folder that is still being built"},
    "avalib/detection/manifest.py": {"set": "grows by a line; a torn last line is left out when it is read"},
    "avalib/detection/live_table.py": {"add": "rows go into the file of an atomic_write that stays open"},
    "avalib/training/logger.py": {"append": "a log grows by a line; a torn last line is left out when it is read"},
    "avalib/training/launch.py": {"stream_log": "the processes' output while they run"},
    "avalib/zoo_runner/notebook_kernel.py": {
        "execute_notebook": "the kernel's own output while it runs; a whole executed notebook is renamed",
    },
    "avalib/zoo_runner/shared_training.py": {
        "copy_training": "a copy is made under a temporary name and renamed last",
    },
    "avalib/utils/locks.py": {"_create": "made under a temporary name, or exclusively where there are no links"},
    "benchmarks/bench_video.py": {"*": "jpgs in a temporary folder, made and read by one benchmark"},
    "benchmarks/gpu_settings.py": {"render_pictures": "jpgs in a temporary folder, made and read by one benchmark"},
    "benchmarks/bench_writing.py": {"*": "GIFs in a temporary folder, what is measured"},
    "benchmarks/soak_live.py": {"send_stretch": "a stream into a socket"},
    "tools/make_mini_weights.py": {"*": "a whole file that was checked gets the name with its hash"},
    "benchmarks/prove_frames.py": {"*": "raw video in a temporary folder"},
}
WRITERS = {
    "write_text",
    "write_bytes",
    "to_csv",
    "to_json",
    "to_parquet",
    "to_pickle",
    "savefig",
    "save",
    "savez",
    "savez_compressed",
    "savetxt",
    "tofile",
    "save_file",
    "dump",
    "copyfile",
    "copy2",
    "copytree",
    "move",
    "symlink_to",
    "symlink",
    "hardlink_to",
    "urlretrieve",
    "imwrite",
}
OWN = {"files", "draw", "weights", "validation", "record", "report", "saver"}  # what these write is atomic inside


def code_of(path):
    """A file's or a notebook's code as one syntax tree."""
    if path.suffix == ".py":
        return ast.parse(path.read_text(encoding="utf-8"))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))


def plain_writes(tree):
    """[(function, line, call)] of the calls that write a file under its final name."""
    found = []

    def walk(node, function, safe):
        if isinstance(node, ast.FunctionDef):
            function = node.name
            safe = safe | {argument.arg for argument in node.args.args if argument.arg == "part"}
            safe |= {name for inner in ast.walk(node) for name in buffers(inner)}
        if isinstance(node, ast.With):
            safe = safe | {name for item in node.items for name in temporary(item)}
        if isinstance(node, ast.Call) and writes(node) and not names_in(node) & safe:
            found.append((function, node.lineno, ast.unparse(node)[:90]))
        for child in ast.iter_child_nodes(node):
            walk(child, function, safe)

    walk(tree, "", {name for inner in ast.iter_child_nodes(tree) for name in buffers(inner)})
    return found


def temporary(item):
    """Names that a `with files.atomic_…(…) as name`, or a buffer in memory, binds."""
    call, safe = item.context_expr, ("atomic_path", "atomic_write", "BytesIO")
    atomic = isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] in safe
    return [item.optional_vars.id] if atomic and isinstance(item.optional_vars, ast.Name) else []


def buffers(node):
    """Names that an assignment binds to a buffer in memory, io.BytesIO() or io.StringIO()."""
    text = ast.unparse(node) if isinstance(node, ast.Assign) else ""
    if "io.BytesIO()" not in text and "io.StringIO()" not in text:
        return []
    return [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def names_in(call):
    """Names that a call's arguments, or what it is called on, mention."""
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    values += [call.func.value] if isinstance(call.func, ast.Attribute) else []
    return {name.id for value in values for name in ast.walk(value) if isinstance(name, ast.Name)}


def writes(call):
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if owner in OWN or "io.BytesIO()" in map(ast.unparse, call.args):
        return False
    if not owner and name not in ("open", "copyfile", "save_file"):
        return False
    if name in ("open", "ZipFile"):
        return owner != "Image" and opens_to_write(call)
    if name in ("replace", "rename"):  # Path's have one argument, unlike those of texts and tables
        return owner == "os" or (len(call.args) == 1 and not call.keywords)
    if name == "save" and not call.args and not call.keywords:
        return False  # an object that knows its file
    if name == "write":
        return owner.startswith(("ET.", "ElementTree"))
    if name == "copy":
        return owner == "shutil"
    if name in ("to_csv", "to_json", "to_parquet"):
        return bool(call.args or call.keywords) and owner != "report"
    return name in WRITERS


def opens_to_write(call):
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if owner == "os":
        return any(flag in ast.unparse(call) for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))
    position = 1 if owner in ("", "io", "gzip", "bz2", "lzma", "av", "zipfile") else 0  # else Path.open(mode)
    given = [keyword.value for keyword in call.keywords if keyword.arg in ("mode", "format")]
    modes = call.args[position : position + 1] + given
    texts = [str(text.value) for mode in modes for text in ast.walk(mode) if isinstance(text, ast.Constant)]
    variable = any(isinstance(mode, ast.Name) and (position or "mode" in mode.id) for mode in modes)
    return variable or any(set(text) & set("wax+") and len(text) <= 3 for text in texts)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_written_under_its_final_name(path):
    name = path.relative_to(ROOT).as_posix()
    allowed = ALLOWED.get(name, {})
    found = [
        f"{name}:{line}: {call}"
        for function, line, call in plain_writes(code_of(path))
        if function not in allowed and "*" not in allowed
    ]
    assert not found, "use avalib.utils.files: " + "; ".join(found)


def test_what_is_allowed_exists():
    gone = [name for name in ALLOWED if not (ROOT / name).is_file()]
    unused = []
    for name, functions in ALLOWED.items():
        if name not in gone:
            writing = {function for function, _, _ in plain_writes(code_of(ROOT / name))}
            unused += [f"{name}: {function}" for function in functions if function != "*" and function not in writing]
    assert not gone + unused


@pytest.mark.parametrize(
    "code",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, 'r+b')",
        "path.open('w')",
        "gzip.open(path, 'wt')",
        "open(path, mode)",
        "path.write_text('a')",
        "table.to_csv(path)",
        "np.savez(path, a=1)",
        "torch.save(x, path)",
        "json.dump(x, open(path))",
        "shutil.copy(a, b)",
        "os.replace(a, b)",
        "path.replace(other)",
        "image.save(path)",
        "figure.savefig(path)",
        "part = path.with_name('x.part')\nnp.save(part, x)",
        "os.open(path, os.O_CREAT)",
        "av.open(str(path), 'w')",
        "def f(path):\n    ET.ElementTree(root).write(path)",
    ],
)
def test_plain_writes_are_seen(code):
    assert plain_writes(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "open(path)",
        "open(path, 'rb')",
        "open(path, newline='', encoding='utf-8')",
        "text.replace('a', 'b')",
        "table.to_csv()",
        "path.open()",
        "with files.atomic_path(path) as part:\n    np.savez(part, a=1)",
        "def f(part):\n    torch.save(x, part)",
        "files.write_text(path, 'a')",
        "os.open(path, os.O_RDONLY)",
        "buffer = io.BytesIO()\nimage.save(buffer, 'PNG')",
    ],
)
def test_reads_and_atomic_writes_are_not(code):
    assert not plain_writes(ast.parse(code))
