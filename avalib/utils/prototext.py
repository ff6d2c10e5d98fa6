r"""Protocol-buffer messages as text (pbtxt): a tokenizer and a parser without a schema, in time linear to the text.

    parse_prototext('item { name: "sit" id: 11 }', "map.pbtxt")
    ->  [Field("item", [Field("name", String("sit"), 1), Field("id", Number("11"), 1)], 1)]

It reads comments (#), messages in {} or <>, strings in both quotes with escapes (adjacent strings join), numbers,
identifiers, lists in [], and the separators "," and ";".

Source: https://protobuf.dev/reference/protobuf/textformat-spec
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
# {letter behind a backslash: the byte that it stands for}
_LETTERS = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34, "?": 63}


class String(str):
    """A value in quotes, its escapes decoded."""


class Number(str):
    """A number as the text spells it."""


class Name(str):
    """A value without quotes: a constant of an enumeration, true, false."""


@dataclass(frozen=True)
class Field:
    """A field of a message.

    value: a String, Number or Name; for a message the list of its fields, for a list the list of its values.
    """

    name: str
    value: object
    line: int


def parse_prototext(text: str, source: str) -> list[Field]:
    """Parse a message in text form.

    Parameters
    ----------
    text : str
    source : str
        The file's name, for messages.

    Returns
    -------
    list of Field

    Raises
    ------
    ValueError
        The text is not a message; names the source and the line.
    """
    tokens = _Tokens(text, source)
    top_fields = []
    # the message at this position: its fields and the mark that closes it
    fields = top_fields
    closer = None
    outer_messages = []  # (fields, closer) of each message around it
    while True:
        kind, value = tokens.take()
        if kind == "end" and not outer_messages:
            return top_fields
        # the end of a message
        if kind == "mark" and value == closer:
            fields, closer = outer_messages.pop()
            tokens.skip_separator()
            continue
        if kind != "name":
            expected = f"a field's name or {closer}" if closer else "a field's name"
            raise tokens.make_error(f"{_describe(kind, value)}: expected {expected}")
        line = tokens.line
        colon = tokens.skip(":")
        # the start of a message, whose colon may be missing
        if opener := tokens.skip("{", "<"):
            if len(outer_messages) >= MAX_DEPTH:
                raise tokens.make_error(f"messages more than {MAX_DEPTH} (MAX_DEPTH) deep inside one another")
            outer_messages.append((fields, closer))
            message_fields = []
            fields.append(Field(value, message_fields, line))
            fields = message_fields
            closer = {"{": "}", "<": ">"}[opener]
            continue
        # a value, or a list of values
        if not colon:
            raise tokens.make_error(f"field {value[:40]!r}: expected ':' or '{{' behind it")
        fields.append(Field(value, tokens.take_list() if tokens.skip("[") else tokens.take_scalar(), line))
        tokens.skip_separator()


class _Tokens:
    """The tokens of a text, one after the other, with the line of the last one."""

    def __init__(self, text, source):
        self.text = text
        self.source = source
        self.position = 0  # behind the last token
        self.start = 0  # of the last token
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._peeked = None

    @property
    def line(self):
        """The line of the last token, from 1."""
        return bisect.bisect_left(self._line_ends, self.start) + 1

    def make_error(self, message):
        """A ValueError that names the source and the line."""
        return ValueError(f"{self.source}, line {self.line}: {message}")

    def peek(self):
        """(kind, text) of the next token, which stays the next one."""
        if self._peeked is None:
            self._peeked = self._read()
        return self._peeked

    def take(self):
        """(kind, text) of the next token."""
        token = self.peek()
        self._peeked = None
        return token

    def _read(self):
        """(kind, text) of the token at the position, behind comments and spaces."""
        while True:
            self.start = self.position
            if self.position == len(self.text):
                return "end", ""
            match = _TOKEN.match(self.text, self.position)
            if match is None:
                rest = self.text[self.position : self.position + 40].split("\n")[0]
                quote = "; a string that is not closed on its line" if rest[:1] in "\"'" else ""
                raise self.make_error(f"{rest!r}: not protobuf text{quote}")
            self.position = match.end()
            if match.lastgroup != "space":
                return match.lastgroup, match.group()

    def skip(self, *marks):
        """Take the next token if it is one of some marks. Returns the mark, else None."""
        kind, value = self.peek()
        if kind == "mark" and value in marks:
            self._peeked = None
            return value
        return None

    def skip_separator(self):
        """Skip the separator that may stand behind a field."""
        self.skip(",", ";")

    def take_scalar(self):
        """Take a string (adjacent ones joined), a number or a name."""
        kind, value = self.take()
        if kind == "string":
            parts = [self._decode_escapes(value[1:-1])]
            while self.peek()[0] == "string":
                parts.append(self._decode_escapes(self.take()[1][1:-1]))
            return String(self._decode(b"".join(parts)))
        if kind == "number":
            return Number(value)
        if kind == "name":
            return Name(value)
        raise self.make_error(f"{_describe(kind, value)}: expected a value")

    def take_list(self):
        """Take the values of a list and its closing bracket; the opening one was the last token."""
        values = []
        while not self.skip("]"):
            values.append(self.take_scalar())
            if not self.skip(",") and self.peek() != ("mark", "]"):
                raise self.make_error("expected ',' or ']' in a list of values")
        return values

    def _decode_escapes(self, text):
        """The bytes that a string's letters and escapes stand for."""
        if "\\" not in text:
            return text.encode("utf-8", "surrogatepass")
        parts = []
        end = 0  # of the last escape
        for match in _ESCAPE.finditer(text):
            parts.append(text[end : match.start()].encode("utf-8", "surrogatepass"))
            octal, hexadecimal, short, long, letter = match.groups()
            if letter is not None and letter not in _LETTERS:
                raise self.make_error(f"escape \\{letter} in a string: not one of protobuf's")
            code = int(short or long, 16) if short or long else None
            if code is not None and (code > 0x10FFFF or 0xD800 <= code < 0xE000):
                raise self.make_error(f"escape {match.group()} in a string: no such character")
            # an escape is a character (its code point), or a byte of one
            if code is not None:
                parts.append(chr(code).encode())
            else:
                if octal:
                    byte = int(octal, 8)
                elif hexadecimal:
                    byte = int(hexadecimal, 16)
                else:
                    byte = _LETTERS[letter]
                if byte > 255:
                    raise self.make_error(f"escape {match.group()} in a string: more than a byte")
                parts.append(bytes([byte]))
            end = match.end()
        return b"".join([*parts, text[end:].encode("utf-8", "surrogatepass")])

    def _decode(self, content):
        """The text of a string's bytes."""
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise self.make_error(f"string {content[:40]!r}: its escapes are not text in UTF-8") from None


def _describe(kind, value):
    """A token, for a message."""
    return "the end of the file" if kind == "end" else f"{value[:40]!r}"


def quote_text(text: str) -> str:
    """Write a text as a string in double quotes that `parse_prototext` reads back.

    Raises
    ------
    ValueError
        The text has half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r}: half of a surrogate pair, which no file in UTF-8 can hold") from None
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    # other control characters as three octal digits
    letters = [escapes.get(c, c if c >= " " and c != "\x7f" else f"\\{ord(c):03o}") for c in text]
    return '"' + "".join(letters) + '"'
