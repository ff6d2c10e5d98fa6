"""numpy's arrays and numbers in pickles: each form is checked and built here instead of by numpy.

Arrays have one of the fixed dtypes and as many bytes as their shape needs. A dtype's state gives its byte order alone.
"""

import math

import numpy as np

from avalib.utils.errors import AvalibError

MAX_DIMENSIONS = 8
DTYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class PickleError(AvalibError, ValueError):
    """A pickle is damaged, too large, or holds something else than plain values and arrays."""


class ForbiddenNameError(PickleError):
    """A pickle asks for a function or class that this reader does not have: `name`."""

    def __init__(self, name: str):
        super().__init__(f"it asks for {name}; expected a dict of numpy arrays and nothing else")
        self.name = name


class Function:
    """The stand-in for a function or class that a pickle names; `call` takes the arguments in the file."""

    __slots__ = ("call",)

    def __init__(self, call):
        self.call = call


def _describe(value):
    """A value for a message: text and numbers as they are, of others the type alone (a repr can be endless)."""
    return f"{value!r:.40}" if isinstance(value, str | int) else f"a {type(value).__name__}"


class DType:
    """A dtype in a pickle; `dtype` is complete after `build`."""

    __slots__ = ("dtype",)

    def __init__(self, text, align=False, copy=False):
        if text not in DTYPES:
            raise PickleError(f"an array of dtype {_describe(text)}; expected numbers ({', '.join(DTYPES)})")
        self.dtype = np.dtype(text)

    def build(self, state):
        """Set the byte order from numpy's state; the rest of the state has to be that of plain numbers."""
        # the rest: no subtype, names or fields, no item size or alignment of its own, no flags
        version, order, *rest = state
        if version not in (3, 4) or order not in ("<", ">", "|", "=") or rest != [None, None, None, -1, -1, 0]:
            raise PickleError("a dtype with fields, a shape, flags or objects; expected plain numbers")
        self.dtype = self.dtype.newbyteorder(order)


def _build_empty_array(kind, shape, typecode):
    """An array before its content, which `fill_array` adds."""
    if kind is not NDARRAY:
        raise PickleError("a subclass of numpy's array; expected plain arrays")
    if shape != (0,) or typecode not in (b"b", "b"):
        raise PickleError(f"an array that begins with shape {_describe(shape)}; numpy writes (0,)")
    return np.ndarray((0,), np.int8)


def fill_array(array, state):
    """Set the content of an empty array from numpy's state: (version, shape, dtype, is_fortran, bytes)."""
    version, shape, dtype, is_fortran, content = state
    # Python 2 wrote the bytes as text
    content = content.encode("latin1") if isinstance(content, str) else content
    if version != 1 or is_fortran not in (True, False) or array.size or array.dtype != np.int8:
        raise PickleError("an array in a form that numpy does not write")
    _check_array(shape, dtype, content)
    array.__setstate__((1, shape, dtype.dtype, bool(is_fortran), content))


def _build_from_buffer(content, dtype, shape, order):
    """The array of protocol 5: a view of its bytes."""
    _check_array(shape, dtype, content)
    if order not in ("C", "F"):
        raise PickleError("an array in a form that numpy does not write")
    return np.frombuffer(content, dtype.dtype).reshape(shape, order=order)


def _check_array(shape, dtype, content):
    """Raise PickleError unless the content has as many bytes as the shape and the dtype need."""
    if type(dtype) is not DType or type(content) not in (bytes, bytearray):
        raise PickleError("an array of objects; expected numbers")
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise PickleError(f"an array's shape is {_describe(shape)}; expected at most {MAX_DIMENSIONS} counts")
    if any(type(n) is not int or not 0 <= n < 1 << 40 for n in shape):
        raise PickleError("an array whose shape is not made of counts")
    if math.prod(shape) * dtype.dtype.itemsize != len(content):
        raise PickleError(f"an array of shape {shape} and dtype {dtype.dtype} with {len(content):,} bytes")


def _build_number(dtype, content):
    """numpy's scalar, as a plain Python number."""
    content = content.encode("latin1") if isinstance(content, str) else content
    _check_array((), dtype, content)
    return np.frombuffer(content, dtype.dtype)[0].item()


def _encode(text, encoding="latin1"):
    """The bytes that protocols 0 to 2 write as text."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise PickleError("bytes in a form that Python does not write")
    return text.encode("latin1")


def _build_empty_bytes(*arguments):
    """Empty bytes, which Python 3 writes by a call at protocols 0 to 2."""
    if arguments:
        raise PickleError("bytes with arguments; expected none")
    return b""


NDARRAY = object()  # only ever an argument: which class the array has
RECONSTRUCT = Function(_build_empty_array)
FROM_BUFFER = Function(_build_from_buffer)
ENCODE = Function(_encode)
_NAMES = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Function(DType),
    ("_codecs", "encode"): ENCODE,
}
for _module in ("builtins", "__builtin__"):
    _NAMES[_module, "bytes"] = Function(_build_empty_bytes)
    _NAMES[_module, "bytearray"] = Function(_build_empty_bytes)
# numpy 1 and numpy 2
for _package in ("numpy.core", "numpy._core"):
    _NAMES[f"{_package}.multiarray", "_reconstruct"] = RECONSTRUCT
    _NAMES[f"{_package}.multiarray", "scalar"] = Function(_build_number)
    _NAMES[f"{_package}.numeric", "_frombuffer"] = FROM_BUFFER


def find_numpy_name(module: str, name: str) -> object | None:
    """What stands for a name in numpy's pickles; None for other names."""
    return _NAMES.get((module, name))
