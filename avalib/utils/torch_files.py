"""Files of torch.save, read without torch.load: nothing in them can run code, and memory is bounded by the file's size.

torch.load with weights_only still sets the state of objects that a file names, follows nested tuples until the
interpreter crashes, and makes views of any size. Here the pickle goes through `safe_pickle`; a tensor is a `TensorRef`
until `TorchFile.load` reads its bytes, so what nobody asks for (an optimizer's state) is never read.

Source: torch/serialization.py; the zip of torch 1.6 and later and the "legacy" sequence of pickles and bytes before.
"""

import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

from avalib.utils.limits import MAX_FILE_BYTES
from avalib.utils.pickled_arrays import Function, PickleError, find_numpy_name
from avalib.utils.safe_pickle import parse_pickle

MAX_DIMENSIONS = 8
MAX_DIRECTORY_BYTES = 4 << 20  # of a zip: about 50,000 entries; the zoo's files have 1,000
_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
# what zipfile raises for wrong offsets and sizes
_ZIP_FAULTS = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError, struct.error)
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
class _Storage:
    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True, eq=False)
class TensorRef:
    """A tensor that is not read yet: which numbers of which storage, as torch's strided views are."""

    storage: _Storage
    offset: int
    shape: tuple
    stride: tuple

    @property
    def nbytes(self):
        return math.prod(self.shape) * self.storage.dtype.itemsize


# --- what a checkpoint's pickle may name ------------------------------------------------------------------------------


def _rebuild_tensor(storage, offset, shape, stride, *_):
    counts = (offset, *shape, *stride)
    if type(storage) is not _Storage or any(type(n) is not int or not 0 <= n < 1 << 60 for n in counts):
        raise PickleError("a tensor whose storage, shape or strides are not what torch writes")
    if len(shape) != len(stride) or len(shape) > MAX_DIMENSIONS:
        raise PickleError(f"a tensor of {len(shape)} dimensions and {len(stride)} strides")
    numbers = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if numbers and (last >= storage.count or numbers > storage.count):
        raise PickleError(f"a tensor of shape {tuple(shape)} in a storage of {storage.count:,} numbers")
    return TensorRef(storage, offset, tuple(shape), tuple(stride))


def _rebuild_parameter(tensor, *_):
    if type(tensor) is not TensorRef:
        raise PickleError("a parameter without a tensor")
    return tensor


def _ordered_dict(pairs=()):
    found = {}
    for key, value in pairs:
        if type(key) not in (str, int):
            raise PickleError(f"a key that is a {type(key).__name__}; expected text")
        found[key] = value
    return found


def _items(items=()):
    if type(items) not in (list, tuple):
        raise PickleError("a size that is no list")
    return tuple(items)


_NAMES = {
    ("collections", "OrderedDict"): Function(_ordered_dict),
    ("torch", "Size"): Function(_items),
    ("torch", "device"): Function(lambda kind, index=None: kind if index is None else f"{kind}:{index}"),
    ("builtins", "set"): Function(_items),
    ("__builtin__", "set"): Function(_items),
}
for _name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
    _NAMES["torch._utils", _name] = Function(_rebuild_tensor)
for _name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
    _NAMES["torch._utils", _name] = Function(_rebuild_parameter)
for _name, _dtype in _STORAGES.items():
    _NAMES["torch", _name] = _NAMES["torch.cuda", _name] = _dtype
    _NAMES["torch", str(_dtype).removeprefix("torch.")] = _dtype


def _find(module, name):
    return _NAMES.get((module, name)) or find_numpy_name(module, name)


class _Storages(dict):
    """{key: _Storage} of the persistent ids in a pickle."""

    def __call__(self, persistent_id):
        kind, dtype, key, _, count, *view = persistent_id
        if kind != "storage" or type(dtype) is not torch.dtype or type(key) is not str or view not in ([], [None]):
            raise PickleError("a tensor storage in a form that torch does not write")
        if type(count) is not int or count < 0:
            raise PickleError("a tensor storage without a size")
        storage = self.setdefault(key, _Storage(key, dtype, count))
        if (storage.dtype, storage.count) != (dtype, count):
            raise PickleError(f"two storages of the name {key!r:.40}")
        return storage


# --- the two kinds of file --------------------------------------------------------------------------------------------


class TorchFile:
    """A file of torch.save. `content` is what was saved, with a TensorRef for every tensor; use as a context.

    Raises PickleError for a file that torch.save has not written, ForbiddenNameError for one with code in it, OSError.
    """

    def __init__(self, path):
        self.path, self.size = Path(path), Path(path).stat().st_size
        if self.size > MAX_FILE_BYTES:
            raise PickleError(f"{self.size:,} bytes; the limit (MAX_FILE_BYTES) is {MAX_FILE_BYTES:,}")
        self.archive, self.read_tensors = None, {}
        with open(path, "rb") as file:
            is_zip = file.read(2) == b"PK"
        storages = _Storages()
        try:
            if is_zip:
                self.content = self._open_zip(storages)
            else:
                self.content = self._read_legacy(self.path.read_bytes(), storages)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        if self.archive is not None:
            self.archive.close()

    def load(self, ref):
        """The tensor of a TensorRef, on the CPU."""
        storage = ref.storage
        if storage.key not in self.read_tensors:
            content = self._read_entry(f"data/{storage.key}")
            if len(content) != storage.count * storage.dtype.itemsize:
                raise PickleError(f"storage {storage.key!r:.40} has {len(content):,} bytes, {storage.count:,} numbers")
            self.read_tensors[storage.key] = _to_tensor(content, storage.dtype)
        return self.read_tensors[storage.key].as_strided(ref.shape, ref.stride, ref.offset)

    def _open_zip(self, storages):
        if (size := _directory_bytes(self.path)) > MAX_DIRECTORY_BYTES:
            raise PickleError(f"a zip directory of {size:,} bytes; the limit is {MAX_DIRECTORY_BYTES:,}")
        try:
            self.archive = zipfile.ZipFile(self.path)
        except _ZIP_FAULTS as error:
            raise PickleError(str(error)) from error
        entries = self.archive.infolist()
        names = [entry.filename for entry in entries]
        if any(name.endswith("/constants.pkl") for name in names):
            raise PickleError("a TorchScript program, not weights. Save its state_dict() instead")
        # torch writes bytes as they are: anything else can unpack to more than the file
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise PickleError("a zip with compressed or encrypted entries, which torch.save does not write")
        if sum(entry.file_size for entry in entries) > self.size:
            raise PickleError("a zip whose entries overlap")
        roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(roots) != 1:
            raise PickleError("a zip archive, but not one of torch.save. Expected a .pth file")
        self.root = roots[0]
        if f"{self.root}byteorder" in names and self._read_entry("byteorder") != b"little":
            raise PickleError("weights of a big-endian machine. Load and save them again on a little-endian one")
        return parse_pickle(self._read_entry("data.pkl"), find=_find, persistent=storages)[0]

    def _read_entry(self, name):
        try:
            return self.archive.read(self.root + name)
        except KeyError:
            raise PickleError(f"the zip has no {name!r:.60}") from None
        except _ZIP_FAULTS as error:
            what = "wrong CRC" if "CRC" in str(error) else str(error)
            raise PickleError(f"the file is damaged inside ({self.root + name}: {what})") from error

    def _read_legacy(self, data, storages):
        """The content of the older kind: magic number, version, machine, content, the storages' keys, their bytes."""
        if data[257:262] == b"ustar":
            raise PickleError("a tar archive of torch 0.1. Load and save it with a newer torch")
        magic, position = parse_pickle(data, find=_find, persistent=storages)
        if type(magic) is not int or magic != _MAGIC:
            raise PickleError(f"a pickle of a {type(magic).__name__}, but not one of torch.save")
        values = []
        for _ in range(4):
            value, position = parse_pickle(data, position, find=_find, persistent=storages)
            values.append(value)
        version, machine, content, keys = values
        if version != _LEGACY_VERSION or not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise PickleError("not torch's legacy format, or of a big-endian machine")
        if type(keys) is not list or sorted(map(str, keys)) != sorted(storages):
            raise PickleError("the storages are not those that the tensors need")
        for key in keys:
            storage = storages[key]
            end = position + 8 + storage.count * storage.dtype.itemsize
            if end > len(data) or int.from_bytes(data[position : position + 8], "little") != storage.count:
                raise PickleError(f"it is cut short in storage {key!r:.40}")
            self.read_tensors[key] = _to_tensor(data[position + 8 : end], storage.dtype)
            position = end
        return content


def _to_tensor(content, dtype):
    if not content:
        return torch.zeros(0, dtype=dtype)
    if dtype == torch.bool:
        return torch.frombuffer(bytearray(content), dtype=torch.uint8) != 0
    return torch.frombuffer(bytearray(content), dtype=dtype)


def _directory_bytes(path):
    """The size of a zip's directory as its end says; zipfile reads all of it, before anything can be looked at."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - (1 << 16) - 22, 0))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < 22:
            return 0
        directory = struct.unpack_from("<I", tail, at + 12)[0]
        locator = tail[at - 20 : at] if at >= 20 else b""
        if locator[:4] == b"PK\x06\x07":
            file.seek(min(struct.unpack_from("<Q", locator, 8)[0], size))
            record = file.read(56)
            if record[:4] == b"PK\x06\x06" and len(record) == 56:
                directory = max(directory if directory != 0xFFFFFFFF else 0, struct.unpack_from("<Q", record, 40)[0])
        return directory
