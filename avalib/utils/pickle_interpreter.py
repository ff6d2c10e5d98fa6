"""The interpreter of pickles: its stack, marks and memo, and what the operations do with them.

`pickle_operations` says which operation does what. Source: Lib/pickletools.py.
"""

import codecs
import pickle
import struct
import sys

import numpy as np

from avalib.utils.pickle_bytes import LONGEST_INT, PickleBytes
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

# the values of a file may take MEMORY_BASE bytes, and MEMORY_FACTOR bytes for each byte of the file
MEMORY_FACTOR = 3
MEMORY_BASE = 64 << 20
_CHUNK = 1 << 16  # bytes of operations between two checks of the memory
# what Python takes for an array without content, for an empty container, for an entry of a dict
_ARRAY_BYTES = 144
_CONTAINER_BYTES = 64
_ENTRY_BYTES = 48
_KEY_TYPES = (str, bytes, int, bool, type(None))  # hashing a deep tuple exhausts Python's stack
_LARGEST_KEY = 1 << 60  # different integers above it can have the same hash
_DOUBLE = struct.Struct(">d")


class PickleInterpreter(PickleBytes):
    """The state of reading one pickle: the position in its bytes, the stack, the marks on it, the memo.

    Parameters are those of `safe_pickle.parse_pickle`.
    """

    def __init__(self, data, start, find_class, persistent_load):
        super().__init__(data, start)
        self.find_class = find_class
        self.persistent_load = persistent_load
        self.stack = []
        self.marks = []  # positions on the stack
        self.memo = []  # an entry never changes
        self.verified = {}  # the references that read_matrix has checked
        self.used_bytes = 0  # of the objects so far
        self.max_bytes = MEMORY_FACTOR * len(data) + MEMORY_BASE

    def run(self, operations):
        """Run one operation after the other. Returns the value on the stack at the end.

        operations: what to call with the interpreter, by the number of the operation's byte.
        """
        data = self.data
        while True:
            chunk_end = self.position + _CHUNK
            while self.position < chunk_end:
                operation = data[self.position]
                self.position += 1
                if operation == 0x2E:  # STOP
                    return self.stack.pop()
                operations[operation](self)
            # the cheap operations only add to the stack, the memo and the marks
            self.count_memory(0)

    def count_memory(self, size):
        """Count `size` bytes as used. Raises PickleError for more than a file of this size may use."""
        self.used_bytes += size
        # stack and memo hold 8 bytes an entry, a mark 8 bytes and an integer
        if self.used_bytes + 8 * (len(self.stack) + len(self.memo)) + 40 * len(self.marks) > self.max_bytes:
            raise PickleError(f"what it holds takes more than {self.max_bytes / 1e6:,.0f} MB, far more than the file")

    def refuse_unknown(self):
        """Raise PickleError for the operation before the position."""
        operation = self.data[self.position - 1 : self.position]
        raise PickleError(
            f"byte {self.position - 1:,} ({operation!r}) begins nothing that plain values and arrays need"
        )

    def check_protocol(self):
        """Raise PickleError for a protocol that this Python does not have."""
        if (protocol := self.take_count(1)) > pickle.HIGHEST_PROTOCOL:
            raise PickleError(f"protocol {protocol}; the highest is {pickle.HIGHEST_PROTOCOL}")

    # text and bytes

    def push_text(self, content, encoding="utf-8"):
        text = str(content, encoding)
        self.count_memory(sys.getsizeof(text))
        self.stack.append(text)

    def push_short_text(self):
        """Push text of up to 255 bytes; the same as push_text, at less cost for the many names in a file."""
        start = self.position + 1
        self.position = start + self.data[self.position]
        text = str(self.data[start : self.position], "utf-8")
        if self.position > len(self.data):
            raise PickleError("it is cut short in its last text")
        self.used_bytes += 56 + len(text)
        self.stack.append(text)

    def push_bytes(self, size):
        # a damaged size must not count as memory before `take` refuses it
        self.count_memory(40 + min(size, len(self.data)))
        self.stack.append(self.take(size))

    # the memo

    def put(self, index):
        """Set a memo entry to the value on top of the stack."""
        memo = self.memo
        if index < 0:
            raise PickleError(f"memo entry {index}")
        if index == len(memo):
            memo.append(self.stack[-1])
            return
        # each entry takes at least two bytes of the file, and none is set twice
        if index > self.position // 2 or (index < len(memo) and memo[index] is not None):
            raise PickleError(f"memo entry {index:,} at byte {self.position:,}: no writer numbers them so")
        memo.extend([None] * (index + 1 - len(memo)))
        memo[index] = self.stack[-1]

    def get(self, index):
        """Push a memo entry."""
        value = self.memo[index] if 0 <= index < len(self.memo) else None
        if value is None:
            raise PickleError(f"memo entry {index:,} is used at byte {self.position:,}; it is not there")
        self.stack.append(value)
        if value is RECONSTRUCT or value is FROM_BUFFER:
            self.read_matrix(value)

    def read_matrix(self, function):
        """Read a whole matrix in one step where the next bytes are one; else the usual operations read them."""
        matrix_and_end = read_matrix(function, self.data, self.position, self.memo, self.verified)
        if matrix_and_end is not None:
            # the matrix takes the place of the function on the stack
            self.stack[-1], self.position = matrix_and_end
            self.used_bytes += _ARRAY_BYTES

    # numbers

    def push_integer(self, size, signed=True):
        self.used_bytes += 32
        self.stack.append(int.from_bytes(self.take(size), "little", signed=signed))

    def push_long(self, size):
        if size > LONGEST_INT:
            raise PickleError(f"an integer of {size:,} bytes; expected at most {LONGEST_INT}")
        self.push_integer(size)

    def push_decimal(self):
        """Push an integer in decimal digits; protocol 0 writes False and True as 00 and 01, long ones end in L."""
        text = self.take_digits()
        self.stack.append(text == b"01" if text in (b"00", b"01") else int(text.rstrip(b"L")))

    def push_float(self):
        self.used_bytes += 24
        self.stack.append(_DOUBLE.unpack(self.take(8))[0])

    def push_quoted(self):
        """Push a string of Python 2, in quotes and with escapes."""
        text = self.take_line().strip()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise PickleError(f"a string without quotes before byte {self.position:,}")
        self.push_text(codecs.escape_decode(text[1:-1])[0], "latin1")

    # containers

    def pop_above_mark(self):
        """Take the values above the last mark off the stack."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def push_container(self, value):
        self.count_memory(_CONTAINER_BYTES + 8 * len(value))
        self.stack.append(value)

    def pop_many(self, size):
        """Take the last `size` values off the stack."""
        if size > len(self.stack):
            raise IndexError("the stack is empty")
        values = self.stack[-size:]
        del self.stack[-size:]
        return values

    def append(self, values):
        """Append values to the list on top of the stack."""
        target = self.stack[-1]
        if type(target) is not list:
            raise PickleError(f"a {type(target).__name__} where a list is due, before byte {self.position:,}")
        self.count_memory(8 * len(values))
        target.extend(values)

    def set_items(self, pairs):
        """Set [key, value, key, value, …] in the dict on top of the stack."""
        # plain keys only: others can take long, or much of Python's stack, to hash
        target = self.stack[-1]
        if type(target) is not dict:
            raise PickleError(f"a {type(target).__name__} where a dict is due, before byte {self.position:,}")
        self.count_memory(_ENTRY_BYTES * (len(pairs) // 2))
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in _KEY_TYPES or (type(key) is int and abs(key) > _LARGEST_KEY):
                raise PickleError(f"a key that is a {type(key).__name__}, before byte {self.position:,}; expected text")
            target[key] = value

    def set_item(self):
        """Set one key of the dict below the key and the value on the stack."""
        self.set_items(self.pop_many(2))

    def push_dict(self):
        pairs = self.pop_above_mark()
        self.push_container({})
        self.set_items(pairs)

    # names, calls and states

    def push_class(self, module, name):
        """Push what stands for a function or class."""
        value = self.find_class(module, name) if isinstance(module, str) and isinstance(name, str) else None
        if value is None:
            raise ForbiddenNameError(f"{module!s:.80}.{name!s:.80}")
        self.stack.append(value)

    def reduce(self):
        """Call the function on the stack with the arguments above it, and push the result."""
        arguments = self.stack.pop()
        function = self.stack.pop()
        if type(function) is not Function or type(arguments) is not tuple:
            raise PickleError(f"a call of what is no function, before byte {self.position:,}")
        self.count_memory(_ARRAY_BYTES + sum(len(a) for a in arguments if type(a) in (str, bytes)))
        self.stack.append(function.call(*arguments))

    def build(self):
        """Set the state of the value below it on the stack: a dtype's byte order, an array's content."""
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is DType:
            target.build(state)
        elif type(target) is np.ndarray:
            self.count_memory(sum(len(part) for part in state if type(part) is str))
            fill_array(target, state)
        elif type(target) is not dict:  # an OrderedDict's attributes are not read
            raise PickleError(f"a {type(target).__name__} with a state, before byte {self.position:,}")

    def push_persistent(self):
        """Replace a persistent id by the object outside the pickle that it refers to."""
        if self.persistent_load is None:
            raise PickleError("it refers to objects outside the file")
        self.count_memory(_ARRAY_BYTES)
        self.stack.append(self.persistent_load(self.stack.pop()))
