"""Small matrices in a pickle, each read in one step: they are 99 % of a file of person boxes.

The interpreter's operations give the same result, one by one, in five times as long. A form is two patterns: the
operations up to the number of the matrix's bytes, and the operations after its bytes. The interpreter reads all else.
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


def _compile_pattern(text):
    """The regular expression of a form's text, its tokens spelled out."""
    for token, pattern in _TOKENS.items():
        text = text.replace(token, pattern)
    return re.compile(text, re.DOTALL)


class _Form:
    """One way in which numpy writes a matrix.

    Parameters
    ----------
    head, tail : bytes
        The operations before and after the matrix's bytes; tokens as in _TOKENS.
    groups : str
        The meaning of each group of head and tail, in order. "part" and "array" are entries for the memo, "size" is the
        number of bytes.
    is_text : bool
        Whether the bytes are written as text.
    **references
        {group: what the memo has to hold there}.
    """

    def __init__(self, head, tail, groups, is_text=False, **references):
        self.head = _compile_pattern(head)
        self.tail = _compile_pattern(tail)
        self.is_text = is_text
        # {meaning: the indices of the groups with it}
        places = {name: [i for i, group in enumerate(groups.split()) if group == name] for name in groups.split()}
        # one of two groups has the number of bytes, or the only one
        self.sizes = (places["size"] * 2)[:2]
        self.rows = places["rows"][0]
        self.columns = places["columns"][0]
        # the entries for the memo, in the order of the operations; `array` is the matrix's own among them
        puts = sorted(places["part"] + places["array"])
        self.array = puts.index(places["array"][0])
        self.entries = [None] * len(puts)
        self.all_unnumbered = (b"\x94",) * len(puts)
        # tuples of groups, at the speed of C
        self.get_puts = itemgetter(*puts)
        self.get_references = itemgetter(places["dtype"][0], *(places[name][0] for name in references))
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
        The interpreter's. The matrix is added, and None for each of its parts, which no writer refers to again.
    verified : dict
        {references: dtype} that earlier calls have checked. The caller keeps it as long as the memo, whose entries
        never change.

    Returns
    -------
    (array, end) or None
        The matrix (rows, columns) and the position behind it; None where the operations have another form.
    """
    for form in _FORMS[function]:
        head = form.head.match(data, start)
        if head is None:
            continue
        # the bytes of the matrix: data[first:last]
        groups = head.groups()
        first = head.end()
        last = first + int.from_bytes(groups[form.sizes[0]] or groups[form.sizes[1]], "little")
        tail = form.tail.match(data, last)
        if tail is None:
            continue
        groups += tail.groups()
        # the memo has to hold numpy's names and a dtype where the form refers to them
        references = form.get_references(groups)
        dtype = verified.get(references) or _verify(form, references, memo)
        if dtype is None:
            return None
        verified[references] = dtype
        # text becomes bytes of its own; else the matrix is a view of the file's bytes
        if form.is_text:
            content = data[first:last].decode().encode("latin1")
            offset = 0
            size = len(content)
        else:
            content = data
            offset = first
            size = last - first
        rows = int.from_bytes(groups[form.rows][1:], "little")
        columns = int.from_bytes(groups[form.columns][1:], "little")
        # Python has each string of one byte or none only once, and writers do refer to these again
        if size < 2 or rows * columns * dtype.itemsize != size:
            return None
        array = np.ndarray((rows, columns), dtype, content, offset)
        return (array, tail.end()) if _add_to_memo(form, groups, memo, array) else None
    return None


def _verify(form, references, memo):
    """The dtype, where all references lead to what numpy writes there; else None."""
    numbers = [int.from_bytes(reference[1:], "little") for reference in references]
    dtype, *others = [memo[number] if number < len(memo) else None for number in numbers]
    for value, expected in zip(others, form.expected, strict=True):
        value = value.decode("latin1") if type(value) is bytes else value
        if value is not expected and not (type(value) is type(expected) is str and value == expected):
            return None
    return dtype.dtype if type(dtype) is DType else None


def _add_to_memo(form, groups, memo, array):
    """Add the matrix and its parts to the memo; False (nothing added) where they are not numbered one by one."""
    puts = form.get_puts(groups)
    if puts != form.all_unnumbered:
        written = [put for put in puts if put]
        for number, put in enumerate(written, len(memo)):
            if put != b"\x94" and int.from_bytes(put[1:], "little") != number:
                return False
    # Python 2 leaves out the entries that it does not refer to
    entries = form.entries.copy()
    entries[form.array] = array
    memo += entries if all(puts) else [entry for entry, put in zip(entries, puts, strict=True) if put]
    return True
