"""Other people's json and xml, read within bounds; what can't be read is a ValueError that names the file."""

import io
import json
import xml.etree.ElementTree as ET
import zipfile
import zlib
from xml.parsers import expat

from avalib.utils.limits import MAX_TEXT_BYTES
from avalib.utils.text import check_unpacked, open_binary, read_text

MAX_DEPTH = 100  # of elements in elements; CVAT's files have 7


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

    Raises ValueError for what is damaged, nested deeper than MAX_DEPTH or larger than MAX_TEXT_BYTES, and for a
    document type: entities in it can make gigabytes of a few bytes.
    """
    _, file = open_binary(path, MAX_TEXT_BYTES)
    with file:
        data = file.read()
    data = _unzipped(data, path) if data.startswith(b"PK") else data
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


def _unzipped(data, path):
    """The bytes of the one .xml in a zip; never more than MAX_TEXT_BYTES are unpacked."""
    faults = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except faults as error:
        raise ValueError(f"{path}: not readable as a zip ({error})") from error
    entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".xml")]
    if len(entries) != 1:
        raise ValueError(f"{path}: {len(entries)} .xml in this zip; expected one, as CVAT exports a task")
    entry = entries[0]
    check_unpacked(f"{path}: {entry.filename}", entry.compress_size, entry.file_size)
    try:
        with archive.open(entry) as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except faults as error:
        raise ValueError(f"{path}: {entry.filename} can't be unpacked ({error})") from error
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(f"{path}: {entry.filename} unpacks to more than {MAX_TEXT_BYTES:,} bytes (MAX_TEXT_BYTES)")
    return content
