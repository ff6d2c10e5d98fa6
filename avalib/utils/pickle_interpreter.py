"""The interpreter of pickles: the operations that plain values and numpy arrays need, and no other.

Source: the operations are those of Lib/pickletools.py.
"""

import codecs
import pickle
import struct
import sys

import numpy as np

from avalib.utils.pickled_arrays import (
    FROM_BUFFER,
    RECONSTRUCT,
    DType,
    ForbiddenNameError,
    Function,
    PickleError,
    fill_array,
)
from avalib.utils.pickled_matrices import read_matrix

MEMORY_FACTOR = 3  # bytes that values may take for each byte of the file
MEMORY_BASE = 64 << 20  # and bytes that any file's may take
_CHUNK = 1 << 16  # bytes of operations between two looks at the memory
_LONGEST_INT = 32  # bytes, or twice as many digits
_ARRAY_BYTES = 144  # of an array without content
_CONTAINER_BYTES = 64
_ENTRY_BYTES = 48  # of a dict's entry
_KEY_TYPES = (str, bytes, int, bool, type(None))  # hashing a deep tuple exhausts the interpreter's stack
_LARGEST_KEY = 1 << 60  # different integers above it can have the same hash
_DOUBLE = struct.Struct(">d")


class PickleInterpreter:
    """The state of reading one pickle: `position` in `data`, the stack, where the marks on it are, the memo."""

    def __init__(self, data, start, find, persistent):
        self.data = data
        self.position = start
        self.find = find
        self.persistent = persistent
        self.stack = []
        self.marks = []  # places on the stack
        self.memo = []  # an entry, once set, stays
        self.verified = {}  # see read_matrix
        self.spent = 0  # bytes of the objects made so far
        self.allowed = MEMORY_FACTOR * len(data) + MEMORY_BASE

    def run(self):
        """Do one operation after the other. Returns the value on the stack at the end."""
        data = self.data
        operations = [OPERATIONS.get(operation, PickleInterpreter.refuse_unknown) for operation in range(256)]
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

    def refuse_unknown(self):
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

    def take_count(self, size):
        return int.from_bytes(self.take(size), "little")

    def check_protocol(self):
        if (protocol := self.take_count(1)) > pickle.HIGHEST_PROTOCOL:
            raise PickleError(f"protocol {protocol}; the highest is {pickle.HIGHEST_PROTOCOL}")

    def take_written_number(self):
        text = self.take_line()
        if len(text) > 2 * _LONGEST_INT:
            raise PickleError(f"a number of {len(text):,} digits; expected at most {2 * _LONGEST_INT}")
        return text.strip()

    def take_line(self):
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
            self.read_matrix(value)

    def read_matrix(self, function):
        """Read a whole matrix in one step where the next bytes are one; else leave them to the usual operations."""
        matrix_and_end = read_matrix(function, self.data, self.position, self.memo, self.verified)
        if matrix_and_end is not None:
            self.stack[-1], self.position = matrix_and_end
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
        text = self.take_written_number()
        self.stack.append(text == b"01" if text in (b"00", b"01") else int(text.rstrip(b"L")))

    def push_float(self):
        self.spent += 24
        self.stack.append(_DOUBLE.unpack(self.take(8))[0])

    def push_quoted(self):
        text = self.take_line().strip()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise PickleError(f"a string without quotes before byte {self.position:,}")
        self.push_text(codecs.escape_decode(text[1:-1])[0], "latin1")

    # containers

    def pop_above_mark(self):
        """The values above the last mark, taken off the stack."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def push_container(self, value):
        self.charge(_CONTAINER_BYTES + 8 * len(value))
        self.stack.append(value)

    def pop_many(self, size):
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
        pairs = self.pop_above_mark()
        self.push_container({})
        self.set_items(pairs)

    # names, calls and states

    def push_name(self, module, name):
        value = self.find(module, name) if isinstance(module, str) and isinstance(name, str) else None
        if value is None:
            raise ForbiddenNameError(f"{module!s:.80}.{name!s:.80}")
        self.stack.append(value)

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


OPERATIONS = {
    # values
    b"N": lambda r: r.stack.append(None),
    b"\x88": lambda r: r.stack.append(True),
    b"\x89": lambda r: r.stack.append(False),
    b"K": lambda r: r.stack.append(r.take_count(1)),
    b"M": lambda r: r.push_integer(2, signed=False),
    b"J": lambda r: r.push_integer(4),
    b"\x8a": lambda r: r.push_long(r.take_count(1)),
    b"\x8b": lambda r: r.push_long(r.take_count(4)),
    b"I": PickleInterpreter.push_written_integer,
    b"L": PickleInterpreter.push_written_integer,
    b"F": lambda r: r.stack.append(float(r.take_written_number())),
    b"G": PickleInterpreter.push_float,
    b"\x8c": PickleInterpreter.push_short_text,
    b"X": lambda r: r.push_text(r.take(r.take_count(4))),
    b"\x8d": lambda r: r.push_text(r.take(r.take_count(8))),
    b"V": lambda r: r.push_text(r.take_line(), "raw-unicode-escape"),
    b"S": PickleInterpreter.push_quoted,
    b"U": lambda r: r.push_text(r.take(r.take_count(1)), "latin1"),
    b"T": lambda r: r.push_text(r.take(r.take_count(4)), "latin1"),
    b"C": lambda r: r.push_bytes(r.take_count(1)),
    b"B": lambda r: r.push_bytes(r.take_count(4)),
    b"\x8e": lambda r: r.push_bytes(r.take_count(8)),
    b"\x96": lambda r: r.push_bytes(r.take_count(8)),
    # containers
    b"]": lambda r: r.push_container([]),
    b")": lambda r: r.stack.append(()),
    b"}": lambda r: r.push_container({}),
    b"(": lambda r: r.marks.append(len(r.stack)),
    b"l": lambda r: r.push_container(r.pop_above_mark()),
    b"t": lambda r: r.push_container(tuple(r.pop_above_mark())),
    b"\x85": lambda r: r.push_container(tuple(r.pop_many(1))),
    b"\x86": lambda r: r.push_container(tuple(r.pop_many(2))),
    b"\x87": lambda r: r.push_container(tuple(r.pop_many(3))),
    b"d": PickleInterpreter.push_dict,
    b"a": lambda r: r.append([r.stack.pop()]),
    b"e": lambda r: r.append(r.pop_above_mark()),
    b"s": PickleInterpreter.set_item,
    b"u": lambda r: r.set_items(r.pop_above_mark()),
    # the stack and the memo
    b"0": lambda r: r.stack.pop(),
    b"1": PickleInterpreter.pop_above_mark,
    b"2": lambda r: r.stack.append(r.stack[-1]),
    b"p": lambda r: r.put(int(r.take_written_number())),
    b"q": lambda r: r.put(r.take_count(1)),
    b"r": lambda r: r.put(r.take_count(4)),
    b"\x94": lambda r: r.memo.append(r.stack[-1]),
    b"g": lambda r: r.get(int(r.take_written_number())),
    b"h": lambda r: r.get(r.take_count(1)),
    b"j": lambda r: r.get(r.take_count(4)),
    # names, calls and states
    b"c": lambda r: r.push_name(r.take_line().decode(), r.take_line().decode()),
    b"\x93": lambda r: r.push_name(*r.pop_many(2)),
    b"R": PickleInterpreter.reduce,
    b"\x81": PickleInterpreter.reduce,
    b"b": PickleInterpreter.build,
    b"Q": PickleInterpreter.push_persistent,
    # the protocol's number and the length of a frame, which nothing here depends on
    b"\x80": PickleInterpreter.check_protocol,
    b"\x95": lambda r: r.take_count(8),
}
OPERATIONS = {code[0]: action for code, action in OPERATIONS.items()}
