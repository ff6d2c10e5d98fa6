"""Read and write weight files. Nothing in a file is run; anything else than weights is a descriptive error.

Formats: files of torch.save, old and new (MMAction2, PySlowFast, PyTorchVideo, UMT, this package), safetensors, and
PySlowFast's Caffe2 pickles. A file's content decides, not its name: PySlowFast's torch files end in .pkl, too.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch

from avalib.models.caffe2_names import convert_blobs
from avalib.utils.download import check_sha256
from avalib.utils.errors import AvalibError
from avalib.utils.files import atomic_path
from avalib.utils.http_request import is_html
from avalib.utils.pickled_arrays import ForbiddenNameError, PickleError
from avalib.utils.pickled_tensors import TensorRef
from avalib.utils.safe_pickle import load_pickle
from avalib.utils.torch_files import TorchFile, is_torch_file

_MAX_TENSORS = 20_000  # the zoo's largest network has 1,100
_MAX_HEADER_BYTES = 8 << 20  # of a .safetensors; the zoo's are 0.1 MB
_MAX_SHARING = 4  # tensors may share their numbers, but together they have at most this many times the file's size
_SAFETENSORS_FAULTS = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError, MemoryError)
_WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every key
_WEIGHTS_KEYS = ("state_dict", "model_state", "model", "module")  # MMAction2 and ours, PySlowFast, UMT (two)
_UMT_PREFIXES = ("backbone.", "encoder.")  # UMT's own loader takes them off
_HASH_IN_NAME = re.compile(r"[-_]([0-9a-f]{8})\.(pth|pt|safetensors)$")  # the convention of the published names


class CheckpointError(AvalibError, ValueError):
    """A weight file is not what it should be; the message names the file, what it is instead and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A weight file's content.

    `source` its name, `state_dict` {key: CPU tensor}, `meta` the metadata in it, `notes` how it was read.
    """

    source: str
    state_dict: dict
    meta: dict
    notes: tuple = ()


def parse_hash_in_name(name):
    """The beginning of the sha256 that a published file carries in its name, or None."""
    match = _HASH_IN_NAME.search(str(name))
    return match.group(1) if match else None


def read_checkpoint_file(path, sha256=None):
    """Read a weight file of any of the formats above, without its wrappers and its optimizer state.

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
    # the file, its first bytes and its hash; then its format, by the content
    path = Path(path)
    _check_exists(path)
    _check_head(path)
    if expected := sha256 or parse_hash_in_name(path.name):
        check_sha256(path, expected)
    if is_torch_file(path):
        return _read_torch_file(path)
    if path.suffix == ".safetensors" or _is_safetensors(path):
        return _read_safetensors(path)
    return _read_caffe2_file(path)


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


@contextlib.contextmanager
def _explain_pickle_errors(path):
    """Turn errors of the pickle readers into a CheckpointError that names the file."""
    try:
        yield
    except ForbiddenNameError as error:
        raise CheckpointError(
            f"{path}: the pickle in it asks to load {error.name}; weights need no such thing, and loading it can run "
            "code. Nothing was run. Ask for a file with tensors only, or a .safetensors."
        ) from error
    except (PickleError, MemoryError) as error:
        raise CheckpointError(f"{path}: {_describe_damage(path)} ({_get_first_line(error)})") from error


def _read_torch_file(path):
    """The Checkpoint in a file of torch.save, of either format."""
    with _explain_pickle_errors(path), TorchFile(path) as file:
        meta, notes = _read_torch_meta(file.content)
        tensors = _unwrap_tensors(path, file.content)
        # no tensor is read before its size is known to be in bounds
        if sum(ref.nbytes for ref in tensors.values()) > _MAX_SHARING * file.size:
            raise PickleError("its tensors are views that repeat the same numbers")
        state_dict = {key: file.load(ref) for key, ref in tensors.items()}
    return Checkpoint(path.name, state_dict, meta, notes)


def _read_torch_meta(content):
    """The metadata in a file of torch.save, and notes on it."""
    if not isinstance(content, dict):
        return {}, ()
    if isinstance(content.get("meta"), dict):
        return content["meta"], ()
    # PySlowFast has epoch and cfg (yaml text) beside the weights
    meta = {key: value for key, value in content.items() if type(key) is str and type(value) in (str, int, float)}
    return meta, (f"epoch {meta['epoch']} of its training",) if "epoch" in meta else ()


def _read_caffe2_file(path):
    """The Checkpoint in a Caffe2 pickle: {"blobs": {name: array}}, written by Python 2 or 3."""
    with _explain_pickle_errors(path):
        content = load_pickle(path)
    blobs = content.get("blobs") if isinstance(content, dict) else None
    if not isinstance(blobs, dict) or not blobs:
        got = f"a pickle of a {type(content).__name__}"
        if isinstance(content, dict):
            got += f" without 'blobs', but {_list_keys(content)}"
        raise CheckpointError(
            f"{path}: {got}. Expected a file of torch.save, safetensors, or a Caffe2 pickle {{'blobs': {{…}}}}."
        )
    if len(blobs) > _MAX_TENSORS:
        raise CheckpointError(f"{path}: {len(blobs):,} blobs; the limit is {_MAX_TENSORS:,}")
    try:
        state_dict = convert_blobs(blobs)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Checkpoint(path.name, state_dict, {}, ("Caffe2 blobs, renamed as PySlowFast's tensors",))


def _is_safetensors(path):
    """Whether a file begins like safetensors: eight bytes with the header's size, then the header, a JSON object."""
    with open(path, "rb") as file:
        return int.from_bytes(file.read(8), "little") < _MAX_HEADER_BYTES and file.read(1) == b"{"


def _read_safetensors(path):
    try:
        # the header first: it has the metadata, and announces the tensors
        _check_header(path)
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("avalib", "{}")
        state_dict = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, *_SAFETENSORS_FAULTS) as error:
        raise CheckpointError(f"{path}: {_describe_damage(path)} ({_get_first_line(error)})") from error
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the metadata in its header is damaged ({_get_first_line(error)})") from error
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
    return (
        f"no weight file, or one that was cut short or damaged: {size:,} bytes. Get it again; the zoo's files have "
        "more than 100 MB"
    )


def _get_first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def _unwrap_tensors(path, content):
    """{key: TensorRef} out of the dicts and prefixes around it."""
    # the dict of tensors, which may be an entry of another dict
    tensors = content
    if isinstance(content, dict):
        weights_key = next((key for key in _WEIGHTS_KEYS if key in content), None)
        tensors = content if weights_key is None else content[weights_key]
    expected = f"expected a dict of tensors, or one under {', '.join(map(repr, _WEIGHTS_KEYS))}"
    if not isinstance(tensors, dict) or not tensors:
        raise CheckpointError(f"{path}: {expected}; got {type(tensors).__name__}.")
    others = [key for key, value in tensors.items() if type(value) is not TensorRef or type(key) is not str]
    if others:
        raise CheckpointError(f"{path}: {expected}; {_list_keys(others)} of {len(tensors)} keys hold something else.")
    if len(tensors) > _MAX_TENSORS:
        raise CheckpointError(f"{path}: {len(tensors):,} tensors; the limit is {_MAX_TENSORS:,}")
    # prefixes of wrappers and of UMT's models, where all keys have them
    for wrapper in _WRAPPERS * 2:  # either may be around the other
        if all(key.startswith(wrapper) for key in tensors):
            tensors = {key.removeprefix(wrapper): value for key, value in tensors.items()}
    for prefix in _UMT_PREFIXES:
        if f"{prefix}patch_embed.proj.weight" in tensors:
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return dict(tensors)


def _list_keys(keys):
    """The first five keys, for a message."""
    return ", ".join(f"{key!r:.60}" for key in list(keys)[:5])


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
