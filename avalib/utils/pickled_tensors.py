"""torch's tensors in pickles: each form is checked here, and stays a reference into a storage until it is read.

Source: torch/_utils.py, torch/serialization.py.
"""

import math
from dataclasses import dataclass

import torch

from avalib.utils.pickled_arrays import MAX_DIMENSIONS, Function, PickleError, find_numpy_name

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass(frozen=True, eq=False)
class Storage:
    """The numbers of one or more tensors, by their name in the file."""

    key: str
    dtype: torch.dtype
    count: int  # of numbers, not bytes


@dataclass(frozen=True, eq=False)
class TensorRef:
    """A tensor that is not read yet: a strided view of a storage. Offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor, as if it were contiguous."""
        return math.prod(self.shape) * self.storage.dtype.itemsize


def _rebuild_tensor(storage, offset, shape, stride, *_):
    """The TensorRef of a view, which has to lie inside its storage."""
    # counts below 2^60 keep the products below free of huge integers
    counts = (offset, *shape, *stride)
    if type(storage) is not Storage or any(type(n) is not int or not 0 <= n < 1 << 60 for n in counts):
        raise PickleError("a tensor whose storage, shape or strides are not what torch writes")
    if len(shape) != len(stride) or len(shape) > MAX_DIMENSIONS:
        raise PickleError(f"a tensor of {len(shape)} dimensions and {len(stride)} strides")
    numbers = math.prod(shape)
    # the last number that the view reaches; a stride of 0 would let few numbers become a huge tensor
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if numbers and (last >= storage.count or numbers > storage.count):
        raise PickleError(f"a tensor of shape {tuple(shape)} in a storage of {storage.count:,} numbers")
    return TensorRef(storage, offset, tuple(shape), tuple(stride))


def _rebuild_parameter(tensor, *_):
    """The tensor of a parameter; whether it takes a gradient does not matter here."""
    if type(tensor) is not TensorRef:
        raise PickleError("a parameter without a tensor")
    return tensor


def _build_dict(pairs=()):
    """The dict of an OrderedDict's pairs."""
    entries = {}
    for key, value in pairs:
        if type(key) not in (str, int):
            raise PickleError(f"a key that is a {type(key).__name__}; expected text")
        entries[key] = value
    return entries


def _build_tuple(items=()):
    """The tuple of a torch.Size's or a set's items."""
    if type(items) not in (list, tuple):
        raise PickleError("a size that is no list")
    return tuple(items)


_NAMES = {
    ("collections", "OrderedDict"): Function(_build_dict),
    ("torch", "Size"): Function(_build_tuple),
    ("torch", "device"): Function(lambda kind, index=None: kind if index is None else f"{kind}:{index}"),
    ("builtins", "set"): Function(_build_tuple),
    ("__builtin__", "set"): Function(_build_tuple),
    ("argparse", "Namespace"): Function(_build_dict),  # UMT saves its options; a state of it is not read
}
for _name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
    _NAMES["torch._utils", _name] = Function(_rebuild_tensor)
for _name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
    _NAMES["torch._utils", _name] = Function(_rebuild_parameter)
# a dtype stands in a checkpoint as the class of a storage (on the CPU or a GPU), or under its own name
for _name, _dtype in _STORAGES.items():
    _NAMES["torch", _name] = _dtype
    _NAMES["torch.cuda", _name] = _dtype
    _NAMES["torch", str(_dtype).removeprefix("torch.")] = _dtype


def find_checkpoint_name(module, name):
    """What stands for a name in a checkpoint; None for a name that no checkpoint needs."""
    return _NAMES.get((module, name)) or find_numpy_name(module, name)


class Storages(dict):
    """{key: Storage} of the persistent ids in a pickle."""

    def add(self, persistent_id):
        """The storage that a persistent id describes, the same one for the same key."""
        # torch writes ("storage", class, key, device, count), and in legacy files a sixth field: a view or None
        kind, dtype, key, _, count, *view = persistent_id
        if kind != "storage" or type(dtype) is not torch.dtype or type(key) is not str or view not in ([], [None]):
            raise PickleError("a tensor storage in a form that torch does not write")
        if type(count) is not int or count < 0:
            raise PickleError("a tensor storage without a size")
        storage = self.setdefault(key, Storage(key, dtype, count))
        if (storage.dtype, storage.count) != (dtype, count):
            raise PickleError(f"two storages of the name {key!r:.40}")
        return storage
