"""Read pickles of plain values and numpy arrays with an interpreter of our own: nothing in a file can run code.

Python's unpickler calls what a file names, and `numpy.dtype.__setstate__` alone turns eight bytes into an object
pointer. This reader has the operations that plain values need and no others. It never calls what a file names: a name
stands for a function of `pickled_arrays`, which checks its arguments.

Bounds: the values take at most MEMORY_FACTOR times the file's size plus MEMORY_BASE bytes. A count in the file never
causes an allocation. Containers nest at most MAX_DEPTH deep.

Source: the operations are those of Lib/pickletools.py, the forms of arrays those of numpy 1 and 2 (Python 2 and 3).
"""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from avalib.utils.limits import MAX_FILE_BYTES
from avalib.utils.pickle_interpreter import MEMORY_BASE, MEMORY_FACTOR, PickleInterpreter
from avalib.utils.pickle_operations import OPERATIONS
from avalib.utils.pickled_arrays import PickleError, find_numpy_name

MAX_DEPTH = 32
# what the interpreter raises for damaged data: an empty stack, a wrong type, text that is not UTF-8
_FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def load_pickle(path: str | Path) -> object:
    """Read the value in a pickle file: plain values and numpy arrays, see `parse_pickle`.

    Raises
    ------
    PickleError
        The file is empty, too large, damaged, or holds something else. The caller adds the file's name.
    OSError
        The file can't be read.
    """
    with open(path, "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > MAX_FILE_BYTES:
            raise PickleError(f"it has {size:,} bytes; the limit (MAX_FILE_BYTES) is {MAX_FILE_BYTES:,}")
        data = file.read()
    if not data:
        raise PickleError("the file is empty")
    return parse_pickle(data)[0]


def parse_pickle(
    data: bytes,
    start: int = 0,
    find_class: Callable[[str, str], object] | None = None,
    persistent_load: Callable[[object], object] | None = None,
) -> tuple[object, int]:
    """Read the value of the pickle that begins at byte `start`.

    Parameters
    ----------
    data : bytes
    start : int
    find_class : function, optional
        (module, name) -> what stands for it: a `Function`, or a plain value; None where the name is forbidden.
        Default: numpy's arrays and numbers.
    persistent_load : function, optional
        persistent id -> the object outside the pickle. Default: persistent ids are refused.

    Returns
    -------
    value : dict, list, tuple, str, bytes, int, float, bool, None or numpy.ndarray
        Arrays may be read-only views of `data`.
    end : int
        The position behind the pickle.

    Raises
    ------
    PickleError
        The pickle is damaged, too large, or holds something else.
    """
    interpreter = PickleInterpreter(data, start, find_class or find_numpy_name, persistent_load)
    try:
        value = interpreter.run(OPERATIONS)
    except PickleError:
        raise
    except _FAULTS as error:
        place = f"at byte {interpreter.position - 1:,} of {len(data):,}"
        raise PickleError(f"it is damaged or cut short {place} ({type(error).__name__}: {error})"[:300]) from error
    check_extent(value, MEMORY_FACTOR * len(data) + MEMORY_BASE)
    return value, interpreter.position


def check_extent(value: object, max_bytes: int) -> None:
    """Raise PickleError where containers nest deeper than MAX_DEPTH (or hold themselves), or are large when expanded.

    A pickle can hold one list a thousand times, and that list another one; a caller that walks through it meets each
    of them. So each counts as often as it occurs.
    """
    level = [value]  # the values at one depth
    total = 0  # bytes of all levels so far
    for _ in range(MAX_DEPTH + 1):
        # the bytes of this level: arrays, and 8 for each entry of a container
        containers = [item for item in level if type(item) in (dict, list, tuple)]
        total += sum(item.nbytes for item in level if type(item) is np.ndarray)
        total += 8 * sum(map(len, containers))
        if total > max_bytes:
            raise PickleError(f"what it holds takes more than {max_bytes / 1e6:,.0f} MB when it is unfolded")
        if not containers:
            return
        # the next level: what is in the containers (keys are plain)
        contents = [item.values() if type(item) is dict else item for item in containers]
        level = list(itertools.chain.from_iterable(contents))
    raise PickleError(f"its values are nested more than {MAX_DEPTH} deep (MAX_DEPTH)")
