r"""Protocol-buffer messages as text (pbtxt): a tokenizer and a parser without a schema, in time linear to the text.

    parse('item { name: "sit" id: 11 }', "map.pbtxt")  ->  [Field("item", [Field("name", String("sit"), 1), …], 1)]

Source: https://protobuf.dev/reference/protobuf/textformat-spec: comments (#), messages in {} or <>, strings in both
quotes with escapes and neighbours that join, numbers, identifiers, lists in [], separators "," and ";".
"""

import bisect
import re
from dataclasses import dataclass

MAX_DEPTH = 100  # messages inside one another, as protobuf's own parsers allow

_DIGITS = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?"
_TOKEN = re.compile(
    rf"""
    (?P<space>(?:[ \t\r\n\f\v]+|\#[^\n]*)+)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<number>-?(?:0[xX][0-9a-fA-F]+|{_DIGITS})[fF]?(?![\w.]))
  | (?P<name>-?[A-Za-z_][\w./]*)
  | (?P<mark>[{{}}<>:;,\[\]])
    """,
    re.X | re.A,
)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.S)
_LETTERS = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34, "?": 63}


class String(str):
    """A value that stood in quotes, escapes undone."""


class Number(str):
    """A number as it is spelt."""


class Name(str):
    """A value without quotes: an enumeration's constant, true, false."""


@dataclass(frozen=True)
class Field:
    """A field of a message. value: String, Number, Name, or for a message (or a list) the list of what is in it."""

    name: str
    value: object
    line: int


def parse_prototext(text, source):
    """The fields of a message in text form; ValueError naming source and line for what isn't one."""
    tokens = _Tokens(text, source)
    top, closer = [], None
    fields, waiting = top, []  # the message that is being read, and those around it
    while True:
        kind, value = tokens.next()
        if kind == "end" and not waiting:
            return top
        if kind == "mark" and value == closer:
            fields, closer = waiting.pop()
            tokens.skip_separator()
            continue
        if kind != "name":
            expected = f"a field's name or {closer}" if closer else "a field's name"
            raise tokens.error(f"{_shown(kind, value)}: expected {expected}")
        line = tokens.line
        colon = tokens.skip(":")
        if opener := tokens.skip("{", "<"):
            if len(waiting) >= MAX_DEPTH:
                raise tokens.error(f"messages more than {MAX_DEPTH} (MAX_DEPTH) deep inside one another")
            inside = []
            fields.append(Field(value, inside, line))
            waiting.append((fields, closer))
            fields, closer = inside, {"{": "}", "<": ">"}[opener]
            continue
        if not colon:
            raise tokens.error(f"field {value[:40]!r}: expected ':' or '{{' behind it")
        fields.append(Field(value, tokens.list() if tokens.skip("[") else tokens.scalar(), line))
        tokens.skip_separator()


class _Tokens:
    """The tokens of a text, one after the other, with the line of the last one."""

    def __init__(self, text, source):
        self.text, self.source, self.position, self.start = text, source, 0, 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._peeked = None

    @property
    def line(self):
        return bisect.bisect_left(self._line_ends, self.start) + 1

    def error(self, what):
        return ValueError(f"{self.source}, line {self.line}: {what}")

    def peek(self):
        if self._peeked is None:
            self._peeked = self._read()
        return self._peeked

    def next(self):
        token = self.peek()
        self._peeked = None
        return token

    def _read(self):
        """(kind, text) of the next token; comments and spaces are passed over."""
        while True:
            self.start = self.position
            if self.position == len(self.text):
                return "end", ""
            match = _TOKEN.match(self.text, self.position)
            if match is None:
                rest = self.text[self.position : self.position + 40].split("\n")[0]
                quote = "; a string that is not closed on its line" if rest[:1] in "\"'" else ""
                raise self.error(f"{rest!r}: not protobuf text{quote}")
            self.position = match.end()
            if match.lastgroup != "space":
                return match.lastgroup, match.group()

    def skip(self, *marks):
        """The next token where it is one of some marks, which is passed over; else None."""
        kind, value = self.peek()
        if kind == "mark" and value in marks:
            self._peeked = None
            return value
        return None

    def skip_separator(self):
        self.skip(",", ";")

    def scalar(self):
        """A string (neighbours joined), a number or a name."""
        kind, value = self.next()
        if kind == "string":
            parts = [self._unescape(value[1:-1])]
            while self.peek()[0] == "string":
                parts.append(self._unescape(self.next()[1][1:-1]))
            return String(self._decode(b"".join(parts)))
        if kind == "number":
            return Number(value)
        if kind == "name":
            return Name(value)
        raise self.error(f"{_shown(kind, value)}: expected a value")

    def list(self):
        """The values of a list, whose opening bracket is passed."""
        values = []
        while not self.skip("]"):
            values.append(self.scalar())
            if not self.skip(",") and self.peek() != ("mark", "]"):
                raise self.error("expected ',' or ']' in a list of values")
        return values

    def _unescape(self, text):
        """The bytes that a string's letters and escapes stand for."""
        if "\\" not in text:
            return text.encode("utf-8", "surrogatepass")
        out, end = [], 0
        for match in _ESCAPE.finditer(text):
            out.append(text[end : match.start()].encode("utf-8", "surrogatepass"))
            octal, hexadecimal, short, long, letter = match.groups()
            if letter is not None and letter not in _LETTERS:
                raise self.error(f"escape \\{letter} in a string: not one of protobuf's")
            code = int(short or long, 16) if short or long else None
            if code is not None and (code > 0x10FFFF or 0xD800 <= code < 0xE000):
                raise self.error(f"escape {match.group()} in a string: no such character")
            if code is not None:
                out.append(chr(code).encode())
            else:
                byte = int(octal, 8) if octal else int(hexadecimal, 16) if hexadecimal else _LETTERS[letter]
                if byte > 255:
                    raise self.error(f"escape {match.group()} in a string: more than a byte")
                out.append(bytes([byte]))
            end = match.end()
        return b"".join([*out, text[end:].encode("utf-8", "surrogatepass")])

    def _decode(self, content):
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise self.error(f"string {content[:40]!r}: its escapes are not text in UTF-8") from None


def _shown(kind, value):
    return "the end of the file" if kind == "end" else f"{value[:40]!r}"


def quote_text(text):
    """A text as a string in double quotes that `parse` reads back; ValueError for what isn't Unicode text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r}: half of a surrogate pair, which no file in UTF-8 can hold") from None
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    letters = [escapes.get(c, c if c >= " " and c != "\x7f" else f"\\{ord(c):03o}") for c in text]
    return '"' + "".join(letters) + '"'
