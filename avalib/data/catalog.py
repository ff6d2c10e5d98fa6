"""Data sets by name: the rendered mini-AVA, the real AVA, and those brought in by `import_data`."""

import logging
import os
import re
from pathlib import Path

from avalib.data.ava_download import download_ava
from avalib.data.ava_kinetics_download import download_ava_kinetics
from avalib.data.download_record import get_download_record_path, read_download_record, summarize_downloads
from avalib.data.importers.dataset_import import import_dataset, open_imported_dataset
from avalib.data.importers.source_videos import MANIFEST
from avalib.data.kinetics_record import summarize_kinetics
from avalib.data.layout import DatasetLayout
from avalib.data.synthetic.generate import render_dataset
from avalib.data.synthetic.video_specs import SIZES
from avalib.utils.suggest import suggest

logger = logging.getLogger(__name__)

AVA_VERSIONS = {"ava2.1": "v2.1", "ava2.2": "v2.2", "ava_kinetics": "ava_kinetics"}  # data set: version of its layout
AVA_FOLDERS = {"ava2.1": "ava", "ava2.2": "ava", "ava_kinetics": "ava_kinetics"}
DATASETS = (*SIZES, *AVA_VERSIONS)
MAX_NAME_LENGTH = 100  # of a user's data set


def get_data_root() -> Path:
    """The folder for data sets: the environment variable AVALIB_DATA, else data/ in the current folder."""
    return Path(os.environ.get("AVALIB_DATA", "data"))


def prepare(
    dataset: str = "mini",
    seed: int = 0,
    root: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
    again: bool = False,
    mirrors: dict[str, str] | None = None,
    cut: bool = False,
    max_videos: int | None = None,
    **options: object,
) -> DatasetLayout:
    """Make sure that a data set is on disk: render it, download it, or find it.

    An existing data set is reused; the missing files of the real AVA are listed.

    Parameters
    ----------
    dataset : str
        A size of the rendered mini-AVA ("tiny", "mini", "large", "falls"), "ava2.1" or "ava2.2" (the real one; both
        share folder and videos), "ava_kinetics" (ava2.2 and clips of Kinetics to train on), or the name of a user's
        data set (`import_data`).
    seed : int
        Of the rendered mini-AVA.
    root : str or Path, optional
        Its folder; by default one in `get_data_root()`.
    workers : int, optional
        Processes that render or cut; parallel downloads.
    progress : bool
        Whether to show progress bars.
    again : bool
        Retry downloads that failed before.
    mirrors, cut, max_videos, **options
        Of the real AVA only, see `download_ava` and `download_ava_kinetics`.

    Returns
    -------
    DatasetLayout

    Raises
    ------
    ValueError
        For an unknown name, with a suggestion, and for options of the real AVA with another data set.
    """
    layout = find_dataset(dataset, root, seed)
    # options that were left at their defaults are allowed for every data set
    ava_options = {"mirrors": mirrors, "cut": cut, "max_videos": max_videos}
    options |= {name: value for name, value in ava_options.items() if value}
    # a finished download is only summarized
    if dataset in AVA_VERSIONS:
        record_path = get_download_record_path(layout)
        summarize = summarize_kinetics if layout.has_kinetics else summarize_downloads
        download = download_ava_kinetics if layout.has_kinetics else download_ava
        if record_path.is_file() and not again:
            logger.info("%s", summarize(layout, read_download_record(record_path)))
        else:
            download(layout, workers=workers, progress=progress, **options)
        return layout
    if options:
        raise ValueError(f"{', '.join(options)}: of the real AVA only ({', '.join(AVA_VERSIONS)}), not of {dataset!r}")
    if layout.is_own:
        return layout
    return render_dataset(layout.root, size=dataset, seed=seed, workers=workers, progress=progress)


def find_dataset(dataset: str, root: str | Path | None = None, seed: int = 0) -> DatasetLayout:
    """Where a data set lies, or would lie. Parameters and errors as for `prepare`."""
    if not isinstance(dataset, str):
        raise ValueError(f"data set {dataset!r}: expected a name")
    if dataset in DATASETS:
        # the versions of AVA share their videos, so they share a folder
        folder = AVA_FOLDERS.get(dataset, f"{dataset}-seed{seed}")
        return DatasetLayout(root or get_data_root() / folder, AVA_VERSIONS.get(dataset, "mini"))
    # an imported data set; a name that can't be a folder's has none
    if root or _is_folder_name(dataset):
        layout = open_imported_dataset(root or get_data_root() / dataset)
        if layout:
            return layout
    # unknown: name the similar ones
    names = [*DATASETS, *_list_imported_datasets()]
    raise ValueError(f"no data set {dataset[:100]!r}.{suggest(dataset, names)} There are: {', '.join(names)}")


def _list_imported_datasets():
    """The names of the data sets that were imported into the data root."""
    return sorted(path.parent.name for path in get_data_root().glob(f"*/{MANIFEST}"))


def _is_folder_name(name):
    """Whether a data set's name is fit for a folder on every system."""
    return isinstance(name, str) and bool(re.fullmatch(rf"\w[\w .+=@-]{{0,{MAX_NAME_LENGTH - 1}}}(?<![ .])", name))


def import_data(
    source: str | Path, format: str, name: str, root: str | Path | None = None, **options: object
) -> DatasetLayout:
    """Import a user's annotations and videos as a data set, which `prepare` then finds by name.

    Parameters
    ----------
    source : str or Path
        The annotations: a file or folder.
    format : {"csv", "ava", "coco", "cvat", "ucf101-24", "jhmdb", "multisports"}
        Their format.
    name : str
        What the data set will be called.
    root : str or Path, optional
        Where to write; by default a folder `name` in `get_data_root()`.
    **options
        Of `importers.dataset_import.import_dataset`: videos, label_map, val_share, …

    Returns
    -------
    DatasetLayout

    Raises
    ------
    ValueError
        For a name that is no folder's name or belongs to a built-in data set, and for what `import_dataset` rejects.
    """
    # names that begin with ava are reserved for AVA
    if not _is_folder_name(name) or name in DATASETS or name.startswith("ava"):
        raise ValueError(
            f"name {str(name)[:100]!r}: expected a plain name of at most {MAX_NAME_LENGTH} characters that isn't "
            f"{', '.join(DATASETS)} and doesn't begin with ava"
        )
    root = Path(root) if root else get_data_root() / name
    return import_dataset(source, format, root, **options)
