"""json and xml from other people's files, read within bounds. Errors are ValueErrors that name the file."""

import io
import json
import xml.etree.ElementTree as ET
import zipfile
import zlib
from pathlib import Path
from xml.parsers import expat

from avalib.utils.limits import MAX_TEXT_BYTES
from avalib.utils.text import check_unpacked, open_binary, read_text

MAX_DEPTH = 100  # of elements in elements; CVAT's files have 7


def read_json(path: str | Path) -> object:
    """Read a json file.

    Raises
    ------
    ValueError
        The file is not json (names file and line), or has NaN or Infinity, which json does not allow.
    """

    def refuse_constant(constant):
        raise ValueError(f"{constant} is no number in json")

    text = read_text(path)
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError(f"{path}: not readable as json (nested too deep)") from None
    except ValueError as error:
        raise ValueError(f"{path}: not readable as json ({error})") from error


def read_xml(path: str | Path) -> ET.Element:
    """Read the root element of an xml file, or of the one xml file in a zip.

    Raises
    ------
    ValueError
        The file is damaged, nested deeper than MAX_DEPTH, larger than MAX_TEXT_BYTES, or has a document type: its
        entities can turn a few bytes into gigabytes.
    """
    # the bytes as they are: an xml file declares its own encoding
    _, file = open_binary(path, MAX_TEXT_BYTES)
    with file:
        data = file.read()
    data = _unzip(data, path) if data.startswith(b"PK") else data
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

    def refuse_document_type(*_):
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
    parser.StartDoctypeDeclHandler = refuse_document_type
    parser.StartElementHandler = enter
    parser.EndElementHandler = leave
    parser.Parse(data, True)


def _unzip(data, path):
    """Unpack the one .xml in a zip, up to MAX_TEXT_BYTES."""
    # what zipfile raises for damaged, encrypted or unknown content
    faults = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except faults as error:
        raise ValueError(f"{path}: not readable as a zip ({error})") from error
    # CVAT exports a task as a zip with one xml file, and perhaps pictures
    entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".xml")]
    if len(entries) != 1:
        raise ValueError(f"{path}: {len(entries)} .xml in this zip; expected one, as CVAT exports a task")
    entry = entries[0]
    # the sizes in the zip's directory can be wrong, so reading has a limit of its own
    check_unpacked(f"{path}: {entry.filename}", entry.compress_size, entry.file_size)
    try:
        with archive.open(entry) as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except faults as error:
        raise ValueError(f"{path}: {entry.filename} can't be unpacked ({error})") from error
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(f"{path}: {entry.filename} unpacks to more than {MAX_TEXT_BYTES:,} bytes (MAX_TEXT_BYTES)")
    return content
