"""safe_pickle: what writers of pickles write is read, and nothing else; no file runs code, crashes or takes much."""

import collections
import pickle
import pickletools
import struct
import subprocess
import sys

import fuzzing
import numpy as np
import pytest

from avalib.data.proposals import read_proposals
from avalib.utils.pickled_arrays import PickleError
from avalib.utils.safe_pickle import MEMORY_BASE, load_pickle, parse_pickle

NUMBERS = np.arange(10.0).reshape(2, 5)
SHARED = [1.5, (2, 3)]
PLAIN = {
    "text": "Bär, \U0001f600",
    b"bytes": b"\x00\xff" * 200,
    3: [1, -2, 300, 70_000, -(1 << 40), 1 << 70, 0.1, float("inf"), True, False, None, (), [], {}, (1,), (1, 2, 3, 4)],
    "shared": [SHARED, SHARED],
    "long": "x" * 1000,
}
ARRAYS = {
    "a,0902": NUMBERS,
    "b,0902": NUMBERS.astype(np.float32)[:1],
    "the same": NUMBERS,
    "fortran": np.asfortranarray(NUMBERS),
    "big end": NUMBERS.astype(">f8"),
    "cube": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "flat": np.arange(5),
    "none": np.zeros((0, 5)),
    "none again": np.zeros((0, 5)),
    "one byte": np.array([[True]]),
    "point": np.array(2.5, np.float16),
    "many": np.random.default_rng(0).random((200, 5)),
    "negative": -np.arange(1000, dtype=np.int64)[::2].reshape(-1, 5),
}


def are_equal(one, other):
    if isinstance(one, np.ndarray):
        kinds = one.dtype.newbyteorder("="), other.dtype.newbyteorder("=")  # numpy turns the bytes round as it reads
        return kinds[0] == kinds[1] and one.shape == other.shape and np.array_equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(are_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(are_equal, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("content", [PLAIN, ARRAYS, [ARRAYS["a,0902"], PLAIN]], ids=["plain", "arrays", "both"])
def test_what_python_writes_comes_back(content, protocol):
    for data in (pickle.dumps(content, protocol), pickletools.optimize(pickle.dumps(content, protocol))):
        assert are_equal(parse_pickle(data)[0], content)


def test_many_arrays_are_the_same_ones_as_pythons(tmp_path):
    random = np.random.default_rng(0)
    content = {f"v,{n}": random.random((n % 7, 5)) for n in range(400)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert are_equal(parse_pickle(pickle.dumps(content, protocol))[0], content)


def write_python2_pickle(arrays):
    """What cPickle of Python 2 writes at protocol 2 for {text: 2-D float array}: text as bytes, the memo from 1."""
    out, memo = bytearray(b"\x80\x02}q\x01("), 1

    def put():
        nonlocal memo
        memo += 1
        out.extend(b"q" + bytes([memo]) if memo < 256 else b"r" + struct.pack("<I", memo))
        return memo

    def text(content):
        short = b"U" + bytes([len(content)]) if len(content) < 256 else b"T" + struct.pack("<i", len(content))
        out.extend(short + content)

    names = {}
    for key, array in arrays.items():
        text(key.encode())
        put()
        if not names:
            out.extend(b"cnumpy.core.multiarray\n_reconstruct\n")
            names["_reconstruct"] = put()
            out.extend(b"cnumpy\nndarray\n")
            names["ndarray"] = put()
            out.extend(b"K\x00\x85")
            put()
            text(b"b")
            names["b"] = put()
        else:
            out.extend(b"h" + bytes([names["_reconstruct"]]) + b"h" + bytes([names["ndarray"]]) + b"K\x00\x85")
            put()
            out.extend(b"h" + bytes([names["b"]]))
        out.extend(b"\x87")
        put()
        out.extend(b"R")
        put()
        out.extend(b"(K\x01K" + bytes([len(array)]) + b"K\x05\x86")
        put()
        if "dtype" not in names:
            out.extend(b"cnumpy\ndtype\n")
            put()
            text(b"f8")
            put()
            out.extend(b"K\x00K\x01\x87")
            put()
            out.extend(b"R")
            names["dtype"] = put()
            out.extend(b"(K\x03")
            text(b"<")
            put()
            out.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t")
            put()
            out.extend(b"b")
        else:
            out.extend(b"h" + bytes([names["dtype"]]))
        out.extend(b"\x89")
        text(array.tobytes())
        put()
        out.extend(b"t")
        put()
        out.extend(b"b")
    return bytes(out + b"u.")


def test_pickles_of_python_2_are_read():
    content = {f"video,{902 + n}": np.random.default_rng(n).random((n % 9 + 1, 5)) for n in range(60)}
    data = write_python2_pickle(content)
    assert are_equal(pickle.loads(data, encoding="latin1"), content)  # so the test's writer is right
    assert are_equal(parse_pickle(data)[0], content)


def test_numpys_numbers_become_plain_ones():
    content = {"sf": np.int64(-7), "score": np.float32(0.5), "label": np.uint8(3), "flag": np.bool_(True)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert are_equal(
            parse_pickle(pickle.dumps(content, protocol))[0], {"sf": -7, "score": 0.5, "label": 3, "flag": True}
        )


# --- hostile files ----------------------------------------------------------------------------------------------------

DTYPE = b"cnumpy\ndtype\n"
PLAIN_STATE = b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
F8 = DTYPE + b"X\x02\x00\x00\x00f8\x89\x88\x87R" + PLAIN_STATE
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"


def make_array_pickle(shape, content, dtype=F8):
    """_reconstruct and BUILD with any parts."""
    return EMPTY + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb."


def make_pointer_pickle():
    """Eight bytes as an object pointer: a dtype of 8 bytes whose state makes it one of objects, then scalar."""
    as_object = b"(K\x03X\x01\x00\x00\x00|NNNJ\x08\x00\x00\x00J\x01\x00\x00\x00K\x3ftb"
    dtype = DTYPE + b"X\x02\x00\x00\x00O8\x89\x88\x87R" + as_object
    void = DTYPE + b"X\x02\x00\x00\x00V8\x89\x88\x87R" + as_object
    return [b"cnumpy.core.multiarray\nscalar\n" + kind + b"C\x08" + b"A" * 8 + b"\x86R." for kind in (dtype, void)]


HOSTILE = {
    "object pointer": make_pointer_pickle()[0],
    "object pointer by state": make_pointer_pickle()[1],
    "object state on f8": b"cnumpy.core.multiarray\nscalar\n" + DTYPE + b"X\x02\x00\x00\x00f8\x89\x88\x87R"
    b"(K\x03X\x01\x00\x00\x00|NNNJ\x08\x00\x00\x00J\x01\x00\x00\x00K\x3ftbC\x08AAAAAAAA\x86R.",
    "object array": pickle.dumps(np.array([{}, []], object)),
    "structured dtype": pickle.dumps(np.zeros(3, [("a", "f8"), ("b", "O")])),
    "masked array": pickle.dumps(np.ma.masked_array([1.0])),
    "deep key": b"}" + b"N" + b"\x85" * 400_000 + b"K\x01s.",
    "deep value": b"}X\x01\x00\x00\x00a" + b"N" + b"\x85" * 400_000 + b"s.",
    "deep lists": b"]" * 400_000 + b"a" * 399_999 + b".",
    "deep dtype": DTYPE + b"N" + b"\x85" * 400_000 + b"\x85R.",
    "a list in itself": b"]q\x00h\x00a.",
    "a dict in itself": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "lists of lists": b"]q\x00("
    + b"N" * 10
    + b"e"
    + b"".join(b"]q" + bytes([n]) + b"(" + (b"h" + bytes([n - 1])) * 10 + b"e" for n in range(1, 14))
    + b".",
    "memo index": b"Nr\xff\xff\xff\xff.",
    "memo index in text": b"Np4294967296\n.",
    "negative memo index": b"Np-1\n.",
    "BINUNICODE8": b"\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
    "BINBYTES8": b"\x8e" + struct.pack("<Q", (1 << 64) - 1) + b"x.",
    "BYTEARRAY8": b"\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "BINSTRING": b"T\xff\xff\xff\x7fx.",
    "LONG4": b"\x8b\xff\xff\xff\x7fx.",
    "FRAME": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60),
    "long integer": b"I" + b"9" * 100_000 + b"\n.",
    "huge shape": make_array_pickle(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"C\x08AAAAAAAA"),
    "negative shape": make_array_pickle(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86", b"C\x08AAAAAAAA"),
    "overflowing shape": make_array_pickle(b"(" + b"\x8a\x05\x00\x00\x00\x00\x01" * 8 + b"t", b"C\x00"),
    "too few bytes": make_array_pickle(b"K\x02K\x05\x86", b"C\x08AAAAAAAA"),
    "no bytes": make_array_pickle(b"K\x00K\x05\x86", b"N"),
    "a list as content": make_array_pickle(b"K\x01\x85", b"]"),
    "content twice": EMPTY + 2 * (b"(K\x01K\x01\x85" + F8 + b"\x89C\x08AAAAAAAAtb") + b".",
    "text that is no latin1": make_array_pickle(b"K\x01\x85", b"X\x03\x00\x00\x00\xe2\x82\xac"),
    "a subclass of arrays": b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85C\x01b\x87R.",
    "an array called": b"cnumpy\nndarray\n(K\x05tR.",
    "bytes of a number": b"cbuiltins\nbytes\n\x8a\x05\x00\x00\x00\x00\x01\x85R.",
    "_codecs.encode": b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
    "buffer and shape": b"cnumpy.core.numeric\n_frombuffer\n(C\x08AAAAAAAA"
    + F8
    + b"J\xff\xff\xff\x7f\x85X\x01\x00\x00\x00CtR.",
    "persistent id": b"X\x01\x00\x00\x00aQ.",
    "set": pickle.dumps({1, 2}, 4),
    "another class": pickle.dumps(collections.Counter("ab")),
    "text": b"not a pickle at all\n",
    "html": b"<!DOCTYPE html><html></html>",
    "nothing": b"",
    "stop alone": b".",
    "no stop": b"}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_an_error_that_names_it(name, tmp_path):
    path = tmp_path / "boxes.pkl"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match="boxes.pkl: (not a pickle of person boxes|a )"):
        read_proposals(path)


AMPLIFIERS = {
    "lists": b"]" * 12_000_000,
    "nothings": b"N" * 12_000_000,
    "marks": b"(" * 12_000_000,
    "tuples": b"N" + b"\x85" * 12_000_000,
    "integers": b"M\x00\x10" * 5_000_000,
    "memo": b"N" + b"\x94" * 12_000_000,
    "duplicates": b"N" + b"2" * 12_000_000,
    "encoded again and again": b"c_codecs\nencode\nq\x00X\x00\x00\x10\x00"
    + b"a" * (1 << 20)
    + b"q\x01"
    + b"h\x00h\x01X\x06\x00\x00\x00latin1\x86R" * 2000,
    "large letters": b"X\x04\x00\x00\x02" + b"\xf0\x9f\x98\x80" + b"a" * (1 << 25) + b".",
}
MEASURE = """
import sys
from avalib.utils import safe_pickle
import avalib.data.proposals
from avalib.utils.process import get_own_peak_memory_bytes
before = get_own_peak_memory_bytes()
try:
    safe_pickle.load_pickle(sys.argv[1])
except safe_pickle.PickleError:
    pass
print(get_own_peak_memory_bytes() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", AMPLIFIERS)
@pytest.mark.skipif(sys.platform == "win32", reason="measures memory with getrusage")
def test_memory_stays_below_four_times_the_file(name, tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(AMPLIFIERS[name])
    taken = int(subprocess.run([sys.executable, "-c", MEASURE, path], check=True, capture_output=True).stdout)
    assert taken < 4 * path.stat().st_size + 2 * MEMORY_BASE


SEEDS = [pickle.dumps({"a,0902": NUMBERS, "b,0903": NUMBERS[:1], "c,0904": NUMBERS[:0]}, n) for n in range(6)]
SEEDS += [write_python2_pickle({"a,0902": NUMBERS, "b,0903": NUMBERS}), HOSTILE["object state on f8"]]
TOKENS = [
    b"\x85",
    b"R",
    b"b",
    b"h\x00",
    b"r\xff\xff\xff\xff",
    b"0",
    b"2",
    b"(",
    b"t",
    b"e",
    b"u",
    b"\x94",
    b"X\xff\xff\xff\x7f",
]


@pytest.mark.slow
def test_mutated_proposals():
    fuzzing.run(read_proposals, SEEDS, (ValueError,), suffix=".pkl", tokens=TOKENS)


def test_an_array_that_begins_large_is_refused(tmp_path):
    path = tmp_path / "a.pkl"
    shape = b"\x8a\x06\x00\xe8vH\x17\x00\x85"  # (100000000000,)
    path.write_bytes(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + shape + b"U\x01b\x87R.")
    with pytest.raises(PickleError, match="numpy writes"):
        load_pickle(path)


def test_a_protocol_of_the_future_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x09}.")
    with pytest.raises(PickleError, match="protocol 9"):
        load_pickle(tmp_path / "a.pkl")
