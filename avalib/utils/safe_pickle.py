"""Pickles of plain values and numpy arrays, read by an interpreter of its own: nothing in a file can run code.

Python's unpickler calls what a file names, and `numpy.dtype.__setstate__` alone turns eight bytes into an object
pointer. This reader knows the operations that plain values need and no other. It never calls what a file names: a name
stands for one of this module's functions, which checks what it is given. Arrays have one of the fixed dtypes, and as
many bytes as their shape says.

Bounds: what is built takes at most MEMORY_FACTOR times the file and MEMORY_BASE bytes; a count in the file never makes
this reader allocate; containers nest at most MAX_DEPTH deep.

Source: the operations are those of Lib/pickletools.py, the forms of arrays those of numpy 1 and 2 (Python 2 and 3).
"""

import codecs
import os
import pickle
import struct
import sys

import numpy as np

from avalib.utils.limits import MAX_FILE_BYTES
from avalib.utils.pickled_arrays import (
    FROM_BUFFER,
    RECONSTRUCT,
    DType,
    ForbiddenNameError,
    Function,
    PickleError,
    fill_array,
    find_numpy_name,
)
from avalib.utils.pickled_matrices import read_matrix

MAX_DEPTH = 32
MEMORY_FACTOR, MEMORY_BASE = 3, 64 << 20  # beside the file's own bytes
_CHUNK = 1 << 16  # bytes of operations between two looks at the memory
_LONGEST_INT = 32  # bytes, or twice as many digits
_ARRAY_BYTES, _CONTAINER_BYTES, _ENTRY_BYTES = 144, 64, 48  # of an array without content, a container, a dict's entry
_KEY_TYPES = (str, bytes, int, bool, type(None))  # hashing a deep tuple exhausts the interpreter's stack
_LARGEST_KEY = 1 << 60  # different integers above it can have the same hash
_DOUBLE = struct.Struct(">d")
_FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def load_pickle(path, find=None):
    """The value in a pickle file. See `loads`.

    Raises
    ------
    PickleError
        Without the file's name, which the caller adds.
    OSError
        The file can't be read.
    """
    with open(path, "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > MAX_FILE_BYTES:
            raise PickleError(f"it has {size:,} bytes; the limit (MAX_FILE_BYTES) is {MAX_FILE_BYTES:,}")
        data = file.read()
    if not data:
        raise PickleError("the file is empty")
    return parse_pickle(data, find=find)[0]


def parse_pickle(data, start=0, find=None, persistent=None):
    """The value of the pickle that begins at byte `start`.

    Parameters
    ----------
    data : bytes
    find : function, optional
        (module, name) -> what stands for it: a `Function`, or a value to be passed on; None where it is forbidden.
        Default: numpy's arrays and numbers.
    persistent : function, optional
        What stands for a persistent id.

    Returns
    -------
    value : dict, list, tuple, str, bytes, int, float, bool, None or numpy.ndarray
        Arrays may be read-only views of `data`.
    end : int
        Where the next pickle would begin.

    Raises
    ------
    PickleError
    """
    reader = _Reader(data, start, find or find_numpy_name, persistent)
    try:
        value = reader.run()
    except PickleError:
        raise
    except _FAULTS as error:
        where = f"at byte {reader.position - 1:,} of {len(data):,}"
        raise PickleError(f"it is damaged or cut short {where} ({type(error).__name__}: {error})"[:300]) from error
    check_extent(value, MEMORY_FACTOR * len(data) + MEMORY_BASE)
    return value, reader.position


def check_extent(value, most_bytes):
    """Raise PickleError where containers nest deeper than MAX_DEPTH (or hold themselves), or are large when expanded.

    A pickle can hold one list a thousand times, and that list another one: what goes through it counts each time.
    """
    level, total = [value], 0
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if type(item) in (dict, list, tuple)]
        total += sum(item.nbytes for item in level if type(item) is np.ndarray)
        total += 8 * sum(map(len, containers))
        if total > most_bytes:
            raise PickleError(f"what it holds takes more than {most_bytes / 1e6:,.0f} MB when it is unfolded")
        if not containers:
            return
        level = [item for c in containers for item in (c.values() if type(c) is dict else c)]
    raise PickleError(f"its values are nested more than {MAX_DEPTH} deep (MAX_DEPTH)")


class _Reader:
    """The state of reading one pickle: `position` in `data`, the stack, where the marks on it are, the memo."""

    def __init__(self, data, start, find, persistent):
        self.data, self.position, self.find, self.persistent = data, start, find, persistent
        self.stack, self.marks, self.memo = [], [], []  # a memo's entry, once there, stays
        self.verified = {}
        self.spent = 0  # bytes of the objects made so far
        self.allowed = MEMORY_FACTOR * len(data) + MEMORY_BASE

    def run(self):
        """Do one operation after the other; -> the value on the stack at the end."""
        data, operations = self.data, [_OPERATIONS.get(operation, _Reader.unknown) for operation in range(256)]
        while True:
            chunk_end = self.position + _CHUNK
            while self.position < chunk_end:
                operation = data[self.position]
                self.position += 1
                if operation == 0x2E:  # STOP
                    return self.stack.pop()
                operations[operation](self)
            self.charge(0)

    def charge(self, size):
        """Count `size` bytes as taken; PickleError where that is more than a file of this size may take."""
        self.spent += size
        if self.spent + 8 * (len(self.stack) + len(self.memo)) + 40 * len(self.marks) > self.allowed:
            raise PickleError(f"what it holds takes more than {self.allowed / 1e6:,.0f} MB, far more than the file")

    def unknown(self):
        operation = self.data[self.position - 1 : self.position]
        raise PickleError(
            f"byte {self.position - 1:,} ({operation!r}) begins nothing that plain values and arrays need"
        )

    # reading from the file

    def take(self, count):
        """The next `count` bytes."""
        start, self.position = self.position, self.position + count
        if count < 0 or self.position > len(self.data):
            raise PickleError(f"it is cut short: {count:,} bytes are announced at byte {start:,} of {len(self.data):,}")
        return self.data[start : self.position]

    def count(self, size):
        return int.from_bytes(self.take(size), "little")

    def check_protocol(self):
        if (protocol := self.count(1)) > pickle.HIGHEST_PROTOCOL:
            raise PickleError(f"protocol {protocol}; the highest is {pickle.HIGHEST_PROTOCOL}")

    def written_number(self):
        text = self.line()
        if len(text) > 2 * _LONGEST_INT:
            raise PickleError(f"a number of {len(text):,} digits; expected at most {2 * _LONGEST_INT}")
        return text.strip()

    def line(self):
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise PickleError(f"it is cut short at byte {self.position:,}")
        text = self.data[self.position : end]
        self.position = end + 1
        return text

    def push_text(self, content, encoding="utf-8"):
        text = str(content, encoding)
        self.charge(sys.getsizeof(text))
        self.stack.append(text)

    def push_short_text(self):
        start = self.position + 1
        self.position = start + self.data[self.position]
        text = str(self.data[start : self.position], "utf-8")
        if self.position > len(self.data):
            raise PickleError("it is cut short in its last text")
        self.spent += 56 + len(text)
        self.stack.append(text)

    def push_bytes(self, size):
        self.charge(40 + min(size, len(self.data)))
        self.stack.append(self.take(size))

    # the memo

    def put(self, index):
        memo = self.memo
        if index < 0:
            raise PickleError(f"memo entry {index}")
        if index == len(memo):
            memo.append(self.stack[-1])
            return
        if index > self.position // 2 or (index < len(memo) and memo[index] is not None):
            raise PickleError(f"memo entry {index:,} at byte {self.position:,}: no writer numbers them so")
        memo.extend([None] * (index + 1 - len(memo)))
        memo[index] = self.stack[-1]

    def get(self, index):
        value = self.memo[index] if 0 <= index < len(self.memo) else None
        if value is None:
            raise PickleError(f"memo entry {index:,} is asked for at byte {self.position:,}; it is not there")
        self.stack.append(value)
        if value is RECONSTRUCT or value is FROM_BUFFER:
            self.matrix(value)

    def matrix(self, function):
        """Read a whole matrix in one step where the next bytes are one; else leave them to the usual operations."""
        if found := read_matrix(function, self.data, self.position, self.memo, self.verified):
            self.stack[-1], self.position = found
            self.spent += _ARRAY_BYTES

    # values

    def push_integer(self, size, signed=True):
        self.spent += 32
        self.stack.append(int.from_bytes(self.take(size), "little", signed=signed))

    def push_long(self, size):
        if size > _LONGEST_INT:
            raise PickleError(f"an integer of {size:,} bytes; expected at most {_LONGEST_INT}")
        self.push_integer(size)

    def push_written_integer(self):
        text = self.written_number()
        self.stack.append(text == b"01" if text in (b"00", b"01") else int(text.rstrip(b"L")))

    def push_float(self):
        self.spent += 24
        self.stack.append(_DOUBLE.unpack(self.take(8))[0])

    def push_quoted(self):
        text = self.line().strip()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise PickleError(f"a string without quotes before byte {self.position:,}")
        self.push_text(codecs.escape_decode(text[1:-1])[0], "latin1")

    # containers

    def above_mark(self):
        """The values above the last mark, taken off the stack."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def push_container(self, value):
        self.charge(_CONTAINER_BYTES + 8 * len(value))
        self.stack.append(value)

    def above(self, size):
        """The last `size` values, taken off the stack."""
        if size > len(self.stack):
            raise IndexError("the stack is empty")
        values = self.stack[-size:]
        del self.stack[-size:]
        return values

    def append(self, values):
        target = self.stack[-1]
        if type(target) is not list:
            raise PickleError(f"a {type(target).__name__} where a list is due, before byte {self.position:,}")
        self.charge(8 * len(values))
        target.extend(values)

    def set_items(self, pairs):
        target = self.stack[-1]
        if type(target) is not dict:
            raise PickleError(f"a {type(target).__name__} where a dict is due, before byte {self.position:,}")
        self.charge(_ENTRY_BYTES * (len(pairs) // 2))
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in _KEY_TYPES or (type(key) is int and abs(key) > _LARGEST_KEY):
                raise PickleError(f"a key that is a {type(key).__name__}, before byte {self.position:,}; expected text")
            target[key] = value

    def set_item(self):
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def push_dict(self):
        pairs = self.above_mark()
        self.push_container({})
        self.set_items(pairs)

    # names, calls and states

    def push_name(self, module, name):
        found = self.find(module, name) if isinstance(module, str) and isinstance(name, str) else None
        if found is None:
            raise ForbiddenNameError(f"{module!s:.80}.{name!s:.80}")
        self.stack.append(found)

    def reduce(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Function or type(arguments) is not tuple:
            raise PickleError(f"a call of what is no function, before byte {self.position:,}")
        self.charge(_ARRAY_BYTES + sum(len(a) for a in arguments if type(a) in (str, bytes)))
        self.stack.append(function.call(*arguments))

    def build(self):
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is DType:
            target.build(state)
        elif type(target) is np.ndarray:
            self.charge(sum(len(part) for part in state if type(part) is str))
            fill_array(target, state)
        elif type(target) is not dict:  # an OrderedDict's attributes are not read
            raise PickleError(f"a {type(target).__name__} with a state, before byte {self.position:,}")

    def push_persistent(self):
        if self.persistent is None:
            raise PickleError("it refers to objects outside the file")
        self.charge(_ARRAY_BYTES)
        self.stack.append(self.persistent(self.stack.pop()))


_OPERATIONS = {
    # values
    b"N": lambda r: r.stack.append(None),
    b"\x88": lambda r: r.stack.append(True),
    b"\x89": lambda r: r.stack.append(False),
    b"K": lambda r: r.stack.append(r.count(1)),
    b"M": lambda r: r.push_integer(2, signed=False),
    b"J": lambda r: r.push_integer(4),
    b"\x8a": lambda r: r.push_long(r.count(1)),
    b"\x8b": lambda r: r.push_long(r.count(4)),
    b"I": _Reader.push_written_integer,
    b"L": _Reader.push_written_integer,
    b"F": lambda r: r.stack.append(float(r.written_number())),
    b"G": _Reader.push_float,
    b"\x8c": _Reader.push_short_text,
    b"X": lambda r: r.push_text(r.take(r.count(4))),
    b"\x8d": lambda r: r.push_text(r.take(r.count(8))),
    b"V": lambda r: r.push_text(r.line(), "raw-unicode-escape"),
    b"S": _Reader.push_quoted,
    b"U": lambda r: r.push_text(r.take(r.count(1)), "latin1"),
    b"T": lambda r: r.push_text(r.take(r.count(4)), "latin1"),
    b"C": lambda r: r.push_bytes(r.count(1)),
    b"B": lambda r: r.push_bytes(r.count(4)),
    b"\x8e": lambda r: r.push_bytes(r.count(8)),
    b"\x96": lambda r: r.push_bytes(r.count(8)),
    # containers
    b"]": lambda r: r.push_container([]),
    b")": lambda r: r.stack.append(()),
    b"}": lambda r: r.push_container({}),
    b"(": lambda r: r.marks.append(len(r.stack)),
    b"l": lambda r: r.push_container(r.above_mark()),
    b"t": lambda r: r.push_container(tuple(r.above_mark())),
    b"\x85": lambda r: r.push_container(tuple(r.above(1))),
    b"\x86": lambda r: r.push_container(tuple(r.above(2))),
    b"\x87": lambda r: r.push_container(tuple(r.above(3))),
    b"d": _Reader.push_dict,
    b"a": lambda r: r.append([r.stack.pop()]),
    b"e": lambda r: r.append(r.above_mark()),
    b"s": _Reader.set_item,
    b"u": lambda r: r.set_items(r.above_mark()),
    # the stack and the memo
    b"0": lambda r: r.stack.pop(),
    b"1": _Reader.above_mark,
    b"2": lambda r: r.stack.append(r.stack[-1]),
    b"p": lambda r: r.put(int(r.written_number())),
    b"q": lambda r: r.put(r.count(1)),
    b"r": lambda r: r.put(r.count(4)),
    b"\x94": lambda r: r.memo.append(r.stack[-1]),
    b"g": lambda r: r.get(int(r.written_number())),
    b"h": lambda r: r.get(r.count(1)),
    b"j": lambda r: r.get(r.count(4)),
    # names, calls and states
    b"c": lambda r: r.push_name(r.line().decode(), r.line().decode()),
    b"\x93": lambda r: r.push_name(*r.above(2)),
    b"R": _Reader.reduce,
    b"\x81": _Reader.reduce,
    b"b": _Reader.build,
    b"Q": _Reader.push_persistent,
    # the protocol's number and the length of a frame, which nothing here depends on
    b"\x80": _Reader.check_protocol,
    b"\x95": lambda r: r.count(8),
}
_OPERATIONS = {code[0]: action for code, action in _OPERATIONS.items()}
