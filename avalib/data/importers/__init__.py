"""Data sets of your own: annotations in common formats, checked and written in AVA's shape.

    avalib.import_data("annotations.xml", "cvat", "gym", videos="videos/")   -> a DatasetLayout, as of AVA itself

A module per format (csv, ava_annotations, coco, cvat, tubelets) reads raw rows (base); resolve turns them into
AVA's terms; dataset_import checks, splits and writes them; annotation_export writes a data set for an annotation tool.
"""

from avalib.data.importers.annotation_export import export_annotations
from avalib.data.importers.base import ImportedAnnotations
from avalib.data.importers.dataset_import import import_dataset, open_imported_dataset
from avalib.data.importers.formats import FORMATS, read_annotations
from avalib.data.importers.import_checks import check_annotations
from avalib.data.importers.source_videos import MANIFEST, SourceVideo

__all__ = [
    "FORMATS",
    "MANIFEST",
    "ImportedAnnotations",
    "SourceVideo",
    "check_annotations",
    "export_annotations",
    "import_dataset",
    "open_imported_dataset",
    "read_annotations",
]
