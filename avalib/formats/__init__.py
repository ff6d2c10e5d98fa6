"""Data sets of one's own: annotations in the formats that people have, checked and written in AVA's shape.

    avalib.import_data("annotations.xml", "cvat", "gym", videos="videos/")   -> a Layout that everything else reads

A file per format, each giving the same raw rows (common.py); importing.py lints, splits and writes them; exporting.py
writes them out again for an annotation tool.
"""

from avalib.formats.common import Annotated
from avalib.formats.exporting import export
from avalib.formats.importing import FORMATS, check, import_data, open_own, read
from avalib.formats.videos import MANIFEST, Clip

__all__ = ["FORMATS", "MANIFEST", "Annotated", "Clip", "check", "export", "import_data", "open_own", "read"]
