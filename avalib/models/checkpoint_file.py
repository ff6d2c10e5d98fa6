"""Weight files: read without running anything that is in them, written atomically, with a descriptive error for others.

Read: what torch.save wrote (the published files, MMAction2's, ours; both its formats) and safetensors.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch

from avalib.utils.download import check_sha256
from avalib.utils.files import atomic_path
from avalib.utils.http_request import is_html
from avalib.utils.pickled_arrays import ForbiddenNameError, PickleError
from avalib.utils.pickled_tensors import TensorRef
from avalib.utils.torch_files import TorchFile

_MAX_TENSORS = 20_000  # the zoo's largest network has 1,100
_MAX_HEADER_BYTES = 8 << 20  # of a .safetensors; the zoo's are 0.1 MB
_MAX_SHARING = 4  # tensors may share their numbers, but together they have at most this many times the file's size
_SAFETENSORS_FAULTS = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError, MemoryError)
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


def parse_hash_in_name(name):
    """The beginning of the sha256 that a published file carries in its name, or None."""
    match = _HASH_IN_NAME.search(str(name))
    return match.group(1) if match else None


def read_checkpoint_file(path, sha256=None):
    """Read a .pth, .pt or .safetensors file, without its wrappers and its optimizer state.

    Parameters
    ----------
    path : str or Path
    sha256 : str, optional
        The hash that the file must have, or its beginning; default the one in its name, if there is one.

    Returns
    -------
    Checkpoint

    Raises
    ------
    FileNotFoundError
    DownloadError
        For another hash.
    CheckpointError
        For a web page, a file cut short, code in a pickle, anything else.
    """
    path = Path(path)
    _check_exists(path)
    _check_head(path)
    if expected := sha256 or parse_hash_in_name(path.name):
        check_sha256(path, expected)
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch_file(path)


def _check_exists(path):
    """Raise FileNotFoundError that names the weight files of the same folder."""
    if path.is_file():
        return
    fault = "is a folder, not a weight file" if path.is_dir() else "does not exist"
    neighbors = sorted(p.name for p in path.parent.glob("[!.]*.pth"))[:5] if path.parent.is_dir() else []
    advice = f" Its folder has {', '.join(neighbors)}." if neighbors else ""
    raise FileNotFoundError(f"checkpoint {path}: {fault}.{advice}")


def _check_head(path):
    """Raise CheckpointError for what is no weight file by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise CheckpointError(f"{path}: the file is empty. Get it again.")
    if is_html(head):
        raise CheckpointError(f"{path}: a web page was saved under this name, not weights. Get the file again.")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: a git-lfs pointer; `git lfs pull` brings the file itself.")


def _read_torch_file(path):
    """The Checkpoint in a file of torch.save, of either format."""
    try:
        with TorchFile(path) as file:
            meta = file.content.get("meta") if isinstance(file.content, dict) else None
            tensors = _unwrap_tensors(path, file.content)
            if sum(ref.nbytes for ref in tensors.values()) > _MAX_SHARING * file.size:
                raise PickleError("its tensors are views that repeat the same numbers")
            state_dict = {key: file.load(ref) for key, ref in tensors.items()}
    except ForbiddenNameError as error:
        raise CheckpointError(
            f"{path}: the pickle in it asks to load {error.name}; weights need no such thing, and loading it can run "
            "code. Nothing was run. Ask for a file with tensors only, or a .safetensors."
        ) from error
    except (PickleError, MemoryError) as error:
        raise CheckpointError(f"{path}: {_describe_damage(path)} ({_first_line(error)})") from error
    return Checkpoint(path.name, state_dict, meta if isinstance(meta, dict) else {})


def _read_safetensors(path):
    try:
        _check_header(path)
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("avalib", "{}")
        state_dict = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, *_SAFETENSORS_FAULTS) as error:
        raise CheckpointError(f"{path}: {_describe_damage(path)} ({_first_line(error)})") from error
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the description in its header is damaged ({_first_line(error)})") from error
    return Checkpoint(path.name, state_dict, meta if isinstance(meta, dict) else {})


def _check_header(path):
    """Raise ValueError for a header that announces more than the file has, or more tensors than networks have."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"its header announces {length:,} bytes, the file has {size:,}")
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"its header has {length:,} bytes; the limit is {_MAX_HEADER_BYTES:,}")
        if (count := file.read(length).count(b"data_offsets")) > _MAX_TENSORS:
            raise ValueError(f"{count:,} tensors; the limit is {_MAX_TENSORS:,}")


def _describe_damage(path):
    size = path.stat().st_size
    return f"no weight file, or one that was cut short or damaged: {size:,} bytes. Get it again; ours are over 100 MB"


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def _unwrap_tensors(path, content):
    """{key: TensorRef} out of the dicts and prefixes around it."""
    tensors = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(tensors, dict) or not tensors:
        raise CheckpointError(
            f"{path}: expected a dict of tensors, or one under 'state_dict'; got {type(tensors).__name__}."
        )
    others = [key for key, value in tensors.items() if type(value) is not TensorRef or type(key) is not str]
    if others:
        raise CheckpointError(
            f"{path}: expected a dict of tensors, or one under 'state_dict'; "
            f"{', '.join(f'{key!r:.60}' for key in others[:5])} of {len(tensors)} keys hold something else."
        )
    if len(tensors) > _MAX_TENSORS:
        raise CheckpointError(f"{path}: {len(tensors):,} tensors; the limit is {_MAX_TENSORS:,}")
    for wrapper in _WRAPPERS * 2:  # either may be around the other
        if all(key.startswith(wrapper) for key in tensors):
            tensors = {key.removeprefix(wrapper): value for key, value in tensors.items()}
    return dict(tensors)


def unwrap_state_dict(state_dict):
    """A running model's state_dict as it is saved: no wrappers, contiguous, on the CPU."""
    for wrapper in _WRAPPERS * 2:
        state_dict = {key.removeprefix(wrapper): value for key, value in state_dict.items()}
    return {key: value.detach().cpu().contiguous() for key, value in state_dict.items()}


def write_checkpoint_file(path, state_dict, meta):
    """Write tensors and their description atomically: mmcv's {"meta", "state_dict"}, or safetensors by the suffix.

    Parameters
    ----------
    path : str or Path
    state_dict : dict of str to Tensor
    meta : dict
        Plain values (numbers, text, lists, dicts) and numpy's.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        For other values in meta.
    DiskFullError
        An OSError, where the disk is full.
    """
    path = Path(path)
    meta = json.loads(json.dumps(meta, default=_to_plain_value))  # the same plain values in both formats
    with atomic_path(path, needed_bytes=sum(v.nbytes for v in state_dict.values())) as part:
        if path.suffix == ".safetensors":
            metadata = {"format": "pt", "avalib": json.dumps(meta)}
            safetensors.torch.save_file(state_dict, part, metadata=metadata)
        else:
            torch.save({"meta": meta, "state_dict": state_dict}, part)
    return path


def _to_plain_value(value):
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        return value.tolist()
    raise TypeError(f"{value!r} ({type(value).__name__}) can't be kept in a checkpoint's meta; give plain values")
