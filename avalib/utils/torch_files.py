"""Files of torch.save, read without torch.load: nothing in them can run code, and memory is bounded by the file's size.

torch.load with weights_only still sets the state of objects that a file names, follows nested tuples until the
interpreter crashes, and makes views of any size. Here `safe_pickle` reads the pickle. A tensor is a `TensorRef` until
`TorchFile.load` reads its bytes, so an unused tensor (an optimizer's state) is never read.

Source: torch/serialization.py. torch 1.6 and later write a zip, earlier versions a "legacy" sequence of pickles and
bytes.
"""

import struct
import zipfile
from pathlib import Path

import torch

from avalib.utils.limits import MAX_FILE_BYTES
from avalib.utils.pickled_arrays import PickleError
from avalib.utils.pickled_tensors import Storages, TensorRef, find_checkpoint_name
from avalib.utils.safe_pickle import parse_pickle

MAX_DIRECTORY_BYTES = 4 << 20  # of a zip: about 50,000 entries; the zoo's files have 1,000
# the first two numbers of a legacy file
_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
# what zipfile raises for wrong offsets and sizes
_ZIP_FAULTS = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError, struct.error)


def is_torch_file(path: str | Path) -> bool:
    """Tell by a file's first bytes whether it is of torch.save, or an archive: a zip, a legacy file, a tar."""
    with open(path, "rb") as file:
        head = file.read(512)
    if head.startswith(b"PK") or head[257:262] == b"ustar":
        return True
    try:
        return parse_pickle(head)[0] == _MAGIC
    except PickleError:
        return False


class TorchFile:
    """A file of torch.save, open until `close` or the end of the context.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    content : object
        What was saved, with a TensorRef for every tensor.

    Raises
    ------
    PickleError
        torch.save has not written the file, or it is damaged.
    ForbiddenNameError
        The file asks for code.
    OSError
        The file can't be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.size = self.path.stat().st_size
        if self.size > MAX_FILE_BYTES:
            raise PickleError(f"{self.size:,} bytes; the limit (MAX_FILE_BYTES) is {MAX_FILE_BYTES:,}")
        self.archive = None  # the zip; None for a legacy file
        self._tensors = {}  # {key of a storage: all its numbers}
        with open(path, "rb") as file:
            is_zip = file.read(2) == b"PK"
        storages = Storages()
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

    def close(self) -> None:
        """Close the file; tensors that were loaded stay."""
        if self.archive is not None:
            self.archive.close()

    def load(self, ref: TensorRef) -> torch.Tensor:
        """Read the tensor of a TensorRef, on the CPU. Tensors of one storage share their memory.

        Raises
        ------
        PickleError
            The storage is damaged.
        """
        storage = ref.storage
        if storage.key not in self._tensors:
            content = self._read_entry(f"data/{storage.key}")
            if len(content) != storage.count * storage.dtype.itemsize:
                raise PickleError(f"storage {storage.key!r:.40} has {len(content):,} bytes, {storage.count:,} numbers")
            self._tensors[storage.key] = _to_tensor(content, storage.dtype)
        return self._tensors[storage.key].as_strided(ref.shape, ref.stride, ref.offset)

    def _open_zip(self, storages):
        """Open the zip and return its content."""
        if (size := _read_directory_size(self.path)) > MAX_DIRECTORY_BYTES:
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
        # torch writes one folder, named after the file: <root>/data.pkl, <root>/data/<key of a storage>
        roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(roots) != 1:
            raise PickleError("a zip archive, but not one of torch.save. Expected a .pth file")
        self.root = roots[0]
        if f"{self.root}byteorder" in names and self._read_entry("byteorder") != b"little":
            raise PickleError("weights of a big-endian machine. Load and save them again on a little-endian one")
        return parse_pickle(
            self._read_entry("data.pkl"), find_class=find_checkpoint_name, persistent_load=storages.add
        )[0]

    def _read_entry(self, name):
        """The bytes of an entry of the zip."""
        try:
            return self.archive.read(self.root + name)
        except KeyError:
            raise PickleError(f"the zip has no {name!r:.60}") from None
        except _ZIP_FAULTS as error:
            reason = "wrong CRC" if "CRC" in str(error) else str(error)
            raise PickleError(f"the file is damaged inside ({self.root + name}: {reason})") from error

    def _read_legacy(self, data, storages):
        """The content of a legacy file: magic number, version, machine, content, the storages' keys, their bytes."""
        if data[257:262] == b"ustar":
            raise PickleError("a tar archive of torch 0.1. Load and save it with a newer torch")
        magic, position = parse_pickle(data, find_class=find_checkpoint_name, persistent_load=storages.add)
        if type(magic) is not int or magic != _MAGIC:
            raise PickleError(f"a pickle of a {type(magic).__name__}, but not one of torch.save")
        values = []
        for _ in range(4):
            value, position = parse_pickle(
                data, position, find_class=find_checkpoint_name, persistent_load=storages.add
            )
            values.append(value)
        version, machine, content, keys = values
        if version != _LEGACY_VERSION or not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise PickleError("not torch's legacy format, or of a big-endian machine")
        if type(keys) is not list or sorted(map(str, keys)) != sorted(storages):
            raise PickleError("the storages are not those that the tensors need")
        for key in keys:
            storage = storages[key]
            # eight bytes with the count of numbers, then the numbers
            end = position + 8 + storage.count * storage.dtype.itemsize
            if end > len(data) or int.from_bytes(data[position : position + 8], "little") != storage.count:
                raise PickleError(f"it is cut short in storage {key!r:.40}")
            self._tensors[key] = _to_tensor(data[position + 8 : end], storage.dtype)
            position = end
        return content


def _to_tensor(content, dtype):
    """The numbers (N,) in some bytes, as a tensor that owns its memory."""
    if not content:
        return torch.zeros(0, dtype=dtype)
    # a bool whose byte is neither 0 nor 1 has no defined value
    if dtype == torch.bool:
        return torch.frombuffer(bytearray(content), dtype=torch.uint8) != 0
    return torch.frombuffer(bytearray(content), dtype=dtype)


def _read_directory_size(path):
    """Bytes of a zip's directory, as the end of the file declares them; 0 for no zip.

    zipfile reads the whole directory before its size can be checked.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        # the end record: 22 bytes, and up to 64 kB of comment behind it
        file.seek(max(size - (1 << 16) - 22, 0))
        tail = file.read()
        end_record = tail.rfind(b"PK\x05\x06")
        if end_record < 0 or len(tail) - end_record < 22:
            return 0
        directory = struct.unpack_from("<I", tail, end_record + 12)[0]
        # zip64: a locator before the end record points to a second record, whose size has eight bytes
        locator = tail[end_record - 20 : end_record] if end_record >= 20 else b""
        if locator[:4] == b"PK\x06\x07":
            file.seek(min(struct.unpack_from("<Q", locator, 8)[0], size))
            record = file.read(56)
            if record[:4] == b"PK\x06\x06" and len(record) == 56:
                directory = max(directory if directory != 0xFFFFFFFF else 0, struct.unpack_from("<Q", record, 40)[0])
        return directory
