"""Other people's text, json and xml, read within bounds; what can't be read is a ValueError that names the place."""

import io
import json
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from xml.parsers import expat

MAX_BYTES = 2 << 30  # of one annotation file; the largest public one, MultiSports', is 0.3 GB
MAX_DEPTH = 100  # of elements in elements; CVAT's files have 7
ENCODINGS = {"gb18030": "Chinese", "shift_jis": "Japanese", "cp1251": "Cyrillic", "cp1252": "Western European"}


def read_text(path):
    """The text of a file: UTF-8, or UTF-16 with a byte-order mark, which is left out.

    Raises ValueError naming the file, the line, and the encodings that it may be in instead.
    """
    return decode(read_bytes(path), path)


def read_bytes(path):
    """The bytes of a file. Raises ValueError for a folder and for one beyond MAX_BYTES."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; expected a file")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"{path}: {size:,} bytes; at most {MAX_BYTES:,} are read")
    return path.read_bytes()


def decode(data, name):
    """`read_text` of bytes; name: for messages."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        possible = [f"{name} ({script})" for name, script in ENCODINGS.items() if _decodes(data, name)]
        hint = f"; it may be in {' or '.join(possible)}" if possible and b"\0" not in data[:1000] else ""
        raise ValueError(f"{name}, line {line}: not text in UTF-8{hint}. Save it as UTF-8.") from error


def _decodes(data, encoding):
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def read_json(path):
    """What a json holds. Raises ValueError naming file and line; NaN and Infinity, no json, are refused."""

    def refuse(constant):
        raise ValueError(f"{constant} is no number in json")

    text = read_text(path)
    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError(f"{path}: not readable as json (nested too deep)") from None
    except ValueError as error:
        raise ValueError(f"{path}: not readable as json ({error})") from error


def read_xml(path):
    """The root element of an xml, or of the one in a zip.

    Raises ValueError for what is damaged, nested deeper than MAX_DEPTH or larger than MAX_BYTES, and for a document
    type: entities in it can make gigabytes of a few bytes.
    """
    data = _unzipped(path) if zipfile.is_zipfile(path) else read_bytes(path)
    try:
        _check_structure(data, path)
        return ET.parse(io.BytesIO(data)).getroot()
    except (ET.ParseError, expat.ExpatError, LookupError) as error:
        raise ValueError(f"{path}: not readable as xml ({error})") from error
    except ValueError as error:  # also an encoding that expat doesn't know
        message = str(error) if str(path) in str(error) else f"{path}: not readable as xml ({error})"
        raise ValueError(message) from error


def _check_structure(data, path):
    """Raise ValueError for a document type and for elements nested too deep, before a tree is built."""
    depth = 0

    def refuse(*_):
        raise ValueError(f"{path}: has a document type (<!DOCTYPE …>), which isn't read; remove it")

    def enter(*_):
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"{path}, line {parser.CurrentLineNumber}: elements nested deeper than {MAX_DEPTH}")

    def leave(_):
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler, parser.StartElementHandler, parser.EndElementHandler = refuse, enter, leave
    parser.Parse(data, True)


def _unzipped(path):
    """The bytes of the one .xml in a zip; never more than MAX_BYTES are unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".xml")]
            if len(names) != 1:
                raise ValueError(f"{path}: {len(names)} .xml in this zip; expected one, as CVAT exports a task")
            with archive.open(names[0]) as file:
                data = file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zipfile.zlib.error) as error:
        raise ValueError(f"{path}: not readable as a zip ({error})") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: {names[0]} unpacks to more than {MAX_BYTES:,} bytes")
    return data
