"""Protobuf text: what its specification allows, what it doesn't, and in linear time."""

import random

import pytest

from avalib.utils import prototext
from avalib.utils.prototext import _TOKEN, Field, parse_prototext, quote_text


def plain(fields):
    """Fields as (name, value) pairs, messages as lists of them."""
    if not isinstance(fields, list):
        return str(fields)
    return [(f.name, plain(f.value)) if isinstance(f, Field) else str(f) for f in fields]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('name: "a" id: 1', [("name", "a"), ("id", "1")]),
        ("name: 'a', id: -0x1F; x: 1.5e3f", [("name", "a"), ("id", "-0x1F"), ("x", "1.5e3f")]),
        ("item < id: 1 > item: { id: 2 }", [("item", [("id", "1")]), ("item", [("id", "2")])]),
        ("# id: 1\nid: 2 # id: 3 {", [("id", "2")]),
        ('name: "a" \'b\'\n # between\n "c"', [("name", "abc")]),
        ('name: "{#}\\"<:" id: 1', [("name", '{#}"<:'), ("id", "1")]),
        (r'name: "\303\274\x41\n\\\'\u00e9\U0001F600"', [("name", "üA\n\\'é😀")]),
        ("kind: PERSON_MOVEMENT ids: [1, 2] ids: []", [("kind", "PERSON_MOVEMENT"), ("ids", ["1", "2"]), ("ids", [])]),
        ("", []),
    ],
)
def test_what_the_specification_allows(text, fields):
    assert plain(parse_prototext(text, "a.pbtxt")) == fields


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('item {\n name: "a\n}', 2, "a string that is not closed on its line"),
        ("item {\n id: 1\n", 3, "the end of the file: expected a field's name or }"),
        ("item < id: 1 }", 1, "'}': expected a field's name or >"),
        ("id: 1\n}", 2, "'}': expected a field's name"),
        ("name a", 1, "field 'name': expected ':'"),
        ("id: 1abc", 1, "'1abc': not protobuf text"),
        ("id:", 1, "the end of the file: expected a value"),
        ("id: [1 2]", 1, "expected ',' or ']'"),
        (r'name: "\q"', 1, r"escape \q"),
        (r'name: "\ud800"', 1, "no such character"),
        (r'name: "\777"', 1, "more than a byte"),
        (r'name: "\377"', 1, "not text in UTF-8"),
        ("a {" * 101, 1, "MAX_DEPTH"),
    ],
)
def test_what_it_does_not_is_named_by_line(text, line, message):
    with pytest.raises(ValueError) as error:
        parse_prototext(text, "a.pbtxt")
    assert f"a.pbtxt, line {line}: " in str(error.value) and message in str(error.value)


def test_quoted_text_comes_back():
    generator = random.Random(0)
    ranges = [
        range(32),
        range(32, 128),
        range(128, 0xD800),
        range(0xE000, 0x110000),
        [ord(c) for c in "\"'\\{}#\u2028"],
    ]
    for _ in range(2000):
        text = "".join(chr(generator.choice(generator.choice(ranges))) for _ in range(generator.randrange(12)))
        assert parse_prototext(f"name: {quote_text(text)} id: 1", "a.pbtxt")[0].value == text


def test_half_a_surrogate_pair_can_not_be_written():
    with pytest.raises(ValueError, match="surrogate"):
        quote_text("a\ud800")


def test_every_letter_is_looked_at_a_bounded_number_of_times(monkeypatch):
    # a scan that begins anew for every item or comment would read the text's length times their number
    read = []

    class Counting:
        def match(self, text, position):
            found = pattern.match(text, position)
            read.append(len(found.group()) if found else 0)
            return found

    pattern = _TOKEN
    monkeypatch.setattr(prototext, "_TOKEN", Counting())
    text = "# comment\n" * 500 + 'item {\n name: "a"\n id: 1\n}\n' * 2000
    assert len(parse_prototext(text, "a.pbtxt")) == 2000
    assert sum(read) == len(text)
