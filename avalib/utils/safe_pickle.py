"""Pickles of plain values and numpy arrays, read by an interpreter of its own: nothing in a file can run code.

Python's unpickler calls what a file names, and `numpy.dtype.__setstate__` alone turns eight bytes into an object
pointer. This reader knows the operations that plain values need and no other. It never calls what a file names: a name
stands for one of this module's functions, which checks what it is given. Arrays have one of the fixed dtypes, and as
many bytes as their shape says.

Bounds: what is built takes at most MEMORY_FACTOR times the file and MEMORY_BASE bytes; a count in the file never makes
this reader allocate; containers nest at most MAX_DEPTH deep.

Source: the operations are those of Lib/pickletools.py, the forms of arrays those of numpy 1 and 2 (Python 2 and 3).
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from avalib.utils.limits import MAX_FILE_BYTES
from avalib.utils.pickle_interpreter import MEMORY_BASE, MEMORY_FACTOR, PickleInterpreter
from avalib.utils.pickled_arrays import PickleError, find_numpy_name

MAX_DEPTH = 32
_FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def load_pickle(path: str | Path, find: Callable | None = None):
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


def parse_pickle(data: bytes, start: int = 0, find: Callable | None = None, persistent: Callable | None = None):
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
    reader = PickleInterpreter(data, start, find or find_numpy_name, persistent)
    try:
        value = reader.run()
    except PickleError:
        raise
    except _FAULTS as error:
        place = f"at byte {reader.position - 1:,} of {len(data):,}"
        raise PickleError(f"it is damaged or cut short {place} ({type(error).__name__}: {error})"[:300]) from error
    check_extent(value, MEMORY_FACTOR * len(data) + MEMORY_BASE)
    return value, reader.position


def check_extent(value: object, max_bytes: int) -> None:
    """Raise PickleError where containers nest deeper than MAX_DEPTH (or hold themselves), or are large when expanded.

    A pickle can hold one list a thousand times, and that list another one: what goes through it counts each time.
    """
    level = [value]  # the values at one depth
    total = 0
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if type(item) in (dict, list, tuple)]
        total += sum(item.nbytes for item in level if type(item) is np.ndarray)
        total += 8 * sum(map(len, containers))
        if total > max_bytes:
            raise PickleError(f"what it holds takes more than {max_bytes / 1e6:,.0f} MB when it is unfolded")
        if not containers:
            return
        level = [item for c in containers for item in (c.values() if type(c) is dict else c)]
    raise PickleError(f"its values are nested more than {MAX_DEPTH} deep (MAX_DEPTH)")
