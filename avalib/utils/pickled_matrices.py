"""Small matrices in a pickle, each taken in one step: they are 99 % of a file of person boxes.

The interpreter's operations, one by one, come to the same and take five times as long. A form is two patterns: a matrix
up to the number of its bytes, and all that follows its bytes. What looks otherwise is left to the interpreter.
"""

import re
from operator import itemgetter

import numpy as np

from avalib.utils.pickled_arrays import ENCODE, FROM_BUFFER, NDARRAY, RECONSTRUCT, DType

# GET: what is referred to; PUT: what becomes an entry of the memo. A negative BININT (J) never fits the bytes.
_TOKENS = {
    b"GET": rb"(h.|j.{4})",
    b"PUT": rb"(\x94|q.|r.{4}|)",
    b"SHAPE": rb"(K.|M..|J.{4})(K.|M..|J.{4})\x86",
}


def _pattern(text):
    for token, pattern in _TOKENS.items():
        text = text.replace(token, pattern)
    return re.compile(text, re.DOTALL)


class _Form:
    """One way in which numpy writes a matrix.

    groups: what the groups of head and tail are, in order; "part" and "array" are entries for the memo, "size" is the
    number of bytes. references: {group: what the memo must hold there}.
    """

    def __init__(self, head, tail, groups, is_text=False, **references):
        self.head, self.tail, self.is_text, self.references = _pattern(head), _pattern(tail), is_text, references
        places = {name: [i for i, group in enumerate(groups.split()) if group == name] for name in groups.split()}
        self.sizes = (places["size"] * 2)[:2]
        self.rows, self.columns, self.dtype = (places[name][0] for name in ("rows", "columns", "dtype"))
        self.puts = sorted(places["part"] + places["array"])
        self.array = self.puts.index(places["array"][0])
        self.entries = [None] * len(self.puts)
        self.all_unnumbered = (b"\x94",) * len(self.puts)
        # tuples of groups, at the speed of C
        self.get_puts = itemgetter(*self.puts)
        self.get_references = itemgetter(self.dtype, *(places[name][0] for name in references))
        self.expected = list(references.values())


_FORMS = {
    RECONSTRUCT: (
        _Form(  # Python 3 from protocol 3 on, Python 2 at protocol 2
            rb"GETK\x00\x85PUTGET\x87PUTRPUT\(K\x01SHAPEPUTGET\x89(?:[CU](.)|[BT](.{4}))",
            rb"PUTtPUTb",
            "kind part typecode part array rows columns part dtype size size part part",
            kind=NDARRAY,
            typecode="b",
        ),
        _Form(  # Python 3 at protocol 2: the bytes as text
            rb"GETK\x00\x85PUTGET\x87PUTRPUT\(K\x01SHAPEPUTGET\x89GETX(.{4})",
            rb"PUTGET\x86PUTRPUTtPUTb",
            "kind part typecode part array rows columns part dtype encode size part latin1 part part part",
            is_text=True,
            kind=NDARRAY,
            typecode="b",
            encode=ENCODE,
            latin1="latin1",
        ),
    ),
    FROM_BUFFER: (
        _Form(  # protocol 5
            rb"\((?:\x96(.{8})|C(.))",
            rb"PUTGETSHAPEPUTGETtPUTRPUT",
            "size size part dtype rows columns part order part array",
            order="C",
        ),
    ),
}


def read_matrix(function, data, start, memo, verified):
    """Read the matrix whose function a pickle has just named.

    Parameters
    ----------
    function : RECONSTRUCT or FROM_BUFFER
    data : bytes
    start : int
        Where the operations after the function's name begin.
    memo : list
        The interpreter's; it gets the matrix, and None for the matrix's parts, which no writer refers to again.
    verified : dict
        References that were checked before; kept by the caller as long as the memo, whose entries never change.

    Returns
    -------
    (array, end), or None where another form stands there.
    """
    for form in _FORMS[function]:
        head = form.head.match(data, start)
        if head is None:
            continue
        groups, first = head.groups(), head.end()
        last = first + int.from_bytes(groups[form.sizes[0]] or groups[form.sizes[1]], "little")
        tail = form.tail.match(data, last)
        if tail is None:
            continue
        groups += tail.groups()
        references = form.get_references(groups)
        dtype = verified.get(references) or _verify(form, references, memo)
        if dtype is None:
            return None
        verified[references] = dtype
        content, offset, size = data, first, last - first
        if form.is_text:
            content, offset = data[first:last].decode().encode("latin1"), 0
            size = len(content)
        rows, columns = groups[form.rows], groups[form.columns]
        shape = int.from_bytes(rows[1:], "little"), int.from_bytes(columns[1:], "little")
        # Python has each string of one byte or none only once, and writers do refer to these again
        if size < 2 or shape[0] * shape[1] * dtype.itemsize != size:
            return None
        array = np.ndarray(shape, dtype, content, offset)
        return (array, tail.end()) if _memoize(form, groups, memo, array) else None
    return None


def _verify(form, references, memo):
    """The dtype, where all references are to what numpy writes there; else None."""
    numbers = [int.from_bytes(reference[1:], "little") for reference in references]
    dtype, *others = [memo[number] if number < len(memo) else None for number in numbers]
    for value, expected in zip(others, form.expected, strict=True):
        value = value.decode("latin1") if type(value) is bytes else value
        if value is not expected and not (type(value) is type(expected) is str and value == expected):
            return None
    return dtype.dtype if type(dtype) is DType else None


def _memoize(form, groups, memo, array):
    """Add the matrix and its parts to the memo; False (nothing added) where they are not numbered one by one."""
    puts = form.get_puts(groups)
    if puts != form.all_unnumbered:
        written = [put for put in puts if put]
        for number, put in enumerate(written, len(memo)):
            if put != b"\x94" and int.from_bytes(put[1:], "little") != number:
                return False
    entries = form.entries.copy()
    entries[form.array] = array
    memo += entries if all(puts) else [entry for entry, put in zip(entries, puts, strict=True) if put]
    return True
