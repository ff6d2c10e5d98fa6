"""The annotation formats, and reading any of them."""

import inspect
from pathlib import Path

import numpy as np

from avalib.data.importers.ava_annotations import read_ava_annotations
from avalib.data.importers.base import ImportedAnnotations
from avalib.data.importers.coco import read_coco
from avalib.data.importers.csv import read_own_csv
from avalib.data.importers.cvat import read_cvat
from avalib.data.importers.resolve import ImportContext, resolve_annotations
from avalib.data.importers.tubelets import FILE_NAMES, build_tubelet_reader
from avalib.utils.suggest import suggest

FORMATS = {
    "csv": read_own_csv,
    "ava": read_ava_annotations,
    "coco": read_coco,
    "cvat": read_cvat,
    **{name: build_tubelet_reader(name) for name in FILE_NAMES},
}
NUMERIC_OPTIONS = ("first_frame", "rate", "start")
MAX_PATH_LENGTH = 200  # of a source in a message


def read_annotations(
    source: str | Path,
    format: str,
    videos: str | Path | None = None,
    label_map: dict | list | str | Path | None = None,
    fps: float = 25.0,
    skip_faulty: bool = False,
    **options,
) -> ImportedAnnotations:
    """Read annotations of any format, without writing anything.

    Parameters
    ----------
    source : str or Path
        The file or folder.
    format : str
        One of FORMATS.
    videos : str or Path, optional
        The folder of the videos. The default is the annotations' own.
    label_map : dict, list, str or Path, optional
        {action_id: name}, names, a pbtxt or a text file with a name per line. The default is the classes that occur.
    fps : float
        Frames per second of videos that are folders of pictures, by the numbers in their names.
    skip_faulty : bool
        Leave out the rows of missing videos and frames, and note how many, instead of stopping.
    **options
        The reader's own, such as first_frame of "csv" and "coco".

    Returns
    -------
    ImportedAnnotations

    Raises
    ------
    ValueError, FileNotFoundError
        Name the file, the place in it, the value and what was expected.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"{str(source)[:MAX_PATH_LENGTH]}: no such file or folder of annotations")
    check_reader_options(format, options)
    if format == "ava":
        options["label_map"] = label_map  # its rows have numbers: the reader needs the names
    # Rows as the file has them, then in AVA's terms.
    raw = FORMATS[format](source, **options)
    # By default the videos lie with the annotations.
    if videos:
        videos_folder = Path(videos)
    else:
        videos_folder = source if source.is_dir() else source.parent
    context = ImportContext(
        source=str(source),
        videos_folder=videos_folder,
        fps=fps,
        skip_faulty=skip_faulty,
        notes=list(raw.notes),
    )
    return resolve_annotations(raw.table, label_map or raw.label_map, context)


def check_reader_options(format, options):
    """Raise ValueError for an option that a format's reader does not have, and for values that are not numbers."""
    # The reader's own parameters are the options.
    parameters = inspect.signature(FORMATS[format]).parameters
    available = [name for name in parameters if name not in ("path", "label_map")]
    for name, value in options.items():
        if name not in available:
            raise ValueError(
                f"option {name!r} of format {format!r}: it has {', '.join(available) or 'none'}."
                f"{suggest(name, available)}"
            )
        # None stands for the default, where a reader has one.
        is_default = value is None and name != "start"
        if name in NUMERIC_OPTIONS and not is_default and not _is_finite_number(value):
            raise ValueError(f"{name}={value!r}: expected a number")
        if name == "rate" and value is not None and value <= 0:
            raise ValueError(f"rate={value!r}: expected frames per second, above 0")


def _is_finite_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))
