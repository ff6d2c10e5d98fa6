"""Data sets of one's own: annotations in the formats that people have, checked and written in AVA's shape.

    avalib.import_data("annotations.xml", "cvat", "gym", videos="videos/")   -> a Layout that everything else reads

A file per format, each giving the same raw rows (common.py); importing.py lints, splits and writes them; exporting.py
writes them out again for an annotation tool.
"""

from avalib.data.importers.annotation_export import export_annotations
from avalib.data.importers.base import ImportedAnnotations
from avalib.data.importers.build import (
    FORMATS,
    check_annotations,
    import_dataset,
    open_imported_dataset,
    read_annotations,
)
from avalib.data.importers.source_videos import MANIFEST, SourceVideo

__all__ = [
    "FORMATS",
    "ImportedAnnotations",
    "MANIFEST",
    "SourceVideo",
    "check_annotations",
    "export_annotations",
    "import_dataset",
    "open_imported_dataset",
    "read_annotations",
]
