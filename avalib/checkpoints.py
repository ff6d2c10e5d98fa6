"""Weight files: read without running anything that is in them, written whole or not at all, wrong ones named in words.

Read: what torch.save wrote (the published files, MMAction2's, ours; both its formats) and safetensors.
"""

import contextlib
import json
import pickle
import pickletools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch

from avalib.fetch import check_sha256, is_html
from avalib.utils import files

_WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every key
_HASH_IN_NAME = re.compile(r"[-_]([0-9a-f]{8})\.(pth|pt|safetensors)$")  # the convention of the published names


class CheckpointError(ValueError):
    """A weight file is not what it should be; the message names the file, what it is instead and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A weight file's content: `source` its name, `state_dict` {key: CPU tensor}, `meta` what it says of itself."""

    source: str
    state_dict: dict
    meta: dict


def hash_in_name(name):
    """The beginning of the sha256 that a published file carries in its name, or None."""
    found = _HASH_IN_NAME.search(str(name))
    return found.group(1) if found else None


def read(path, sha256=None):
    """A Checkpoint from a .pth/.pt or .safetensors file, without its wrappers and its optimizer state.

    sha256: the (beginning of the) hash it must have; default: the one in its name, if there is one.
    Raises FileNotFoundError, FetchError (hash), CheckpointError: a web page, a file cut short, code in a pickle,
    something else altogether.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a weight file" if path.is_dir() else "does not exist"
        near = sorted(p.name for p in path.parent.glob("[!.]*.pth"))[:5] if path.parent.is_dir() else []
        raise FileNotFoundError(f"checkpoint {path}: {what}." + (f" Its folder has {', '.join(near)}." if near else ""))
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise CheckpointError(f"{path}: the file is empty. Get it again.")
    if is_html(head):
        raise CheckpointError(f"{path}: a web page was saved under this name, not weights. Get the file again.")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: a git-lfs pointer; `git lfs pull` brings the file itself.")
    if expected := sha256 or hash_in_name(path.name):
        check_sha256(path, expected)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_torch(path, head)
    meta = content.get("meta") if isinstance(content, dict) else None
    return Checkpoint(path.name, _tensors(path, content), meta if isinstance(meta, dict) else {})


def _read_safetensors(path):
    try:
        with safetensors.safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {}).get("avalib", "{}"))
        return Checkpoint(path.name, safetensors.torch.load_file(path), meta)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: {_cut(path)} ({error})") from error


def _read_torch(path, head):
    """What torch.load gives with weights_only; numpy's numbers are let through, MMAction2 keeps its best score so."""
    if head.startswith(b"PK"):
        _check_zip(path)
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError) as error:
        if names := _code_in(path, head, error):
            raise CheckpointError(
                f"{path}: the pickle in it asks to load {', '.join(names)}; weights need no such thing, and loading "
                "it can run code. Nothing was run. Ask for a file with tensors only, or a .safetensors."
            ) from error
        raise CheckpointError(f"{path}: {_cut(path)} ({_first_line(error)})") from error


def _check_zip(path):
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            names = archive.namelist()
    except (zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"{path}: {_cut(path)} ({error})") from error
    if damaged:
        raise CheckpointError(f"{path}: the file is damaged inside ({damaged}: wrong CRC). Get it again.")
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(f"{path}: a TorchScript program, not weights. Save its state_dict() instead.")
    if not any(name.endswith("/data.pkl") for name in names):
        raise CheckpointError(f"{path}: a zip archive, but not one of torch.save. Expected a .pth file.")


def _cut(path):
    size = path.stat().st_size
    return f"no weight file, or one that was cut short or damaged: {size:,} bytes. Get it again; ours are over 100 MB"


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def _numpy_globals():
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"]
    old = [(scalar, "numpy.core.multiarray.scalar"), (array, "numpy.core.multiarray._reconstruct")]
    return [scalar, array, np.ndarray, np.dtype, *kinds, *old]


def _code_in(path, head, error):
    """The Python objects that a refused pickle names: torch's own verdict, or read off a plain pickle, not run."""
    if found := re.search(r"GLOBAL:? (?:GLOBAL )?([\w.]+)", str(error)):
        return [found.group(1)]
    if not head.startswith(b"\x80"):
        return []
    names, words = [], []
    with open(path, "rb") as file, contextlib.suppress(ValueError, UnicodeDecodeError):
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "GLOBAL":
                names.append(argument.replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                names.append(".".join(words[-2:]))
            elif isinstance(argument, str):
                words.append(argument)
    return [name for name in dict.fromkeys(names) if not name.startswith(("torch.", "collections."))][:5]


def _tensors(path, content):
    """{key: tensor} out of whatever wraps it."""
    found = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(found, dict) or not found:
        raise CheckpointError(
            f"{path}: expected a dict of tensors, or one under 'state_dict'; got {type(found).__name__}."
        )
    others = [key for key, value in found.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise CheckpointError(
            f"{path}: expected a dict of tensors, or one under 'state_dict'; "
            f"{', '.join(map(repr, others[:5]))} of {len(found)} keys hold something else."
        )
    for wrapper in _WRAPPERS * 2:  # either may be around the other
        if all(key.startswith(wrapper) for key in found):
            found = {key.removeprefix(wrapper): value for key, value in found.items()}
    return dict(found)


def unwrapped(state_dict):
    """A running model's state_dict as it is saved: no wrappers, contiguous, on the CPU."""
    for wrapper in _WRAPPERS * 2:
        state_dict = {key.removeprefix(wrapper): value for key, value in state_dict.items()}
    return {key: value.detach().cpu().contiguous() for key, value in state_dict.items()}


def write(path, state_dict, meta):
    """Write tensors and what is to be known of them: mmcv's {"meta", "state_dict"}, or safetensors by the suffix.

    meta: plain values (numbers, words, lists, dicts), numpy's and dataclass-free. The file appears whole or not at all.
    Raises TypeError for other values in meta, files.DiskFullError (an OSError) where the disk is full.
    """
    path = Path(path)
    meta = json.loads(json.dumps(meta, default=_plain))  # the same plain values in both formats
    with files.atomic_path(path, needed_bytes=sum(v.nbytes for v in state_dict.values())) as part:
        if path.suffix == ".safetensors":
            words = {"format": "pt", "avalib": json.dumps(meta)}
            safetensors.torch.save_file(state_dict, part, metadata=words)
        else:
            torch.save({"meta": meta, "state_dict": state_dict}, part)
    return path


def _plain(value):
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        return value.tolist()
    raise TypeError(f"{value!r} ({type(value).__name__}) can't be kept in a checkpoint's meta; give plain values")
