"""Prepare AVA-Kinetics: AVA v2.2, the clips of Kinetics that the user has, and one csv and one table of boxes of both.

The folder gets MMAction2's shape: AVA's own file names, clips named <id>_<start>_<end>. One that MMAction2's scripts
have made is used as it is. What is missing is listed with what it costs: clips, boxes, the share of each action.
"""

import logging
import tarfile
import threading
import time
import zlib
from functools import partial
from pathlib import Path

import pandas as pd

from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.data.ava_download import download_ava
from avalib.data.ava_source import KINETICS_KINDS, KINETICS_SERVERS, AvaSource, build_source
from avalib.data.download_plan import PROPOSAL_SPLITS, check_planned_space, estimate_download
from avalib.data.download_record import get_download_record_path
from avalib.data.kinetics_annotations import choose_clips, read_kinetics_annotations
from avalib.data.kinetics_check import find_faulty_clips
from avalib.data.kinetics_clips import ClipFile, ClipIndex, KineticsClip, find_clips, parse_clip_name, read_clip_list
from avalib.data.kinetics_record import KineticsPart, write_kinetics_record
from avalib.data.layout import DatasetLayout
from avalib.data.parallel_downloads import run_downloads
from avalib.data.proposals import read_proposals, write_proposals
from avalib.utils.download import download_file, is_url
from avalib.utils.download_errors import DownloadError
from avalib.utils.files import copy_file, link_folder, link_or_copy, write_bytes
from avalib.utils.limits import MAX_TEXT_BYTES
from avalib.utils.temporary_files import clear_abandoned_parts

logger = logging.getLogger(__name__)

ANNOTATIONS = "kinetics_train_v1.0.csv"
ARCHIVE = "ava_kinetics_v1_0.tar.gz"  # which has the annotations
CLIP_LIST = "kinetics700_train_list_videos.txt"  # MMAction2's, of the clips on a server
PROPOSALS = "kinetics_proposal.pkl"  # as MMAction2's fetch_proposal.py calls it
CLIP_FOLDERS = ("rawframes", "frames", "videos_15min", "videos")  # in the order of DatasetLayout.find_video


def download_ava_kinetics(
    layout: DatasetLayout,
    mirrors: dict[str, str] | None = None,
    cut: bool = False,
    workers: int | None = None,
    max_videos: int | None = None,
    progress: bool = True,
    **options,
) -> dict:
    """Prepare AVA-Kinetics in `layout`.

    Parameters
    ----------
    layout : DatasetLayout
        Of version "ava_kinetics".
    mirrors : dict, optional
        Of AVA, see `download_ava`, and of the Kinetics part: "kinetics", the folder of the clips (any sub-folders) or
        the URL of a server that has them; "kinetics_list", of a server's clips: the file or URL of their list;
        "kinetics_annotations" and "kinetics_proposals", folders or URLs with ava_kinetics_v1_0.tar.gz (or the csv in
        it) and with kinetics_proposal.pkl.
    cut, workers, progress, **options
        See `download_ava`.
    max_videos : int, optional
        At most this many of AVA's videos, and this many clips, the first ones of the csv.

    Returns
    -------
    dict
        The record, which is also written to `get_download_record_path(layout)`.

    Raises
    ------
    DownloadError
        If annotations cannot be downloaded.
    DiskFullError
        If the disk is too small for the clips that a server sends.
    FileNotFoundError
        If the folder of the clips doesn't exist.
    ValueError
        For a csv or list with an invalid row, and for a folder named `ava`, which is that of AVA itself.
    """
    started = time.time()
    if layout.root.absolute() == layout.ava_root:
        raise ValueError(f"{layout.root}: AVA itself belongs there; expected another folder for AVA-Kinetics")
    mirrors = mirrors or {}
    ava_mirrors = {kind: place for kind, place in mirrors.items() if kind not in KINETICS_KINDS}
    kinetics_mirrors = {kind: place for kind, place in mirrors.items() if kind in KINETICS_KINDS}
    source = build_source(kinetics_mirrors, KINETICS_SERVERS, KINETICS_KINDS, progress=progress, **options)
    if is_made_by_others(layout):
        part = _inspect_existing(layout, workers, progress)
        return write_kinetics_record(layout, part, source, started)

    ava = DatasetLayout(layout.ava_root, "v2.2")
    download_ava(ava, ava_mirrors, cut, workers, max_videos, progress, **options)
    clear_abandoned_parts(layout.root, layout.annotations, layout.videos)
    annotations = read_kinetics_annotations(fetch_kinetics_annotations(layout, source))
    if max_videos is not None:
        annotations = annotations[annotations.video_id.isin(annotations.video_id.unique()[:max_videos])]
    part = _gather_clips(layout, annotations.reset_index(drop=True), source, workers, progress)
    _write_annotations(ava, layout, part)
    _write_proposals(ava, layout, source)
    return write_kinetics_record(layout, part, source, started)


def is_made_by_others(layout: DatasetLayout) -> bool:
    """Whether a folder already holds a csv of both parts, as MMAction2's scripts leave it."""
    path = layout.get_csv_path("train")
    if get_download_record_path(layout).is_file() or not path.is_file():
        return False
    return any(map(layout.get_clip, read_ava_csv(path, "ground_truth").video_id.unique()))


def _inspect_existing(layout, workers, progress):
    """The KineticsPart of a folder that MMAction2's scripts have made; its files stay as they are."""
    table = read_ava_csv(layout.get_csv_path("train"), "ground_truth")
    rows = table[table.video_id.map(layout.get_clip).notna()].reset_index(drop=True)
    available = _list_available(layout)
    names = [name for name in rows.video_id.unique() if name in available]
    faults = find_faulty_clips(layout, names, workers, progress)
    usable = set(names) - faults.keys()
    annotations = rows.assign(video_id=[parse_clip_name(name).youtube_id for name in rows.video_id])
    chosen = rows.video_id.astype(object).where(rows.video_id.isin(usable), None)
    return KineticsPart(annotations, chosen, list(available.values()), faults, [])


# --- annotations and person boxes -------------------------------------------------------------------------------------


def fetch_kinetics_annotations(layout: DatasetLayout, source: AvaSource) -> Path:
    """The csv of the Kinetics part: on disk, else out of the archive. Raises DownloadError for a damaged archive."""
    path = layout.annotations / ANNOTATIONS
    if path.is_file():
        return path
    unpacked = Path(source.locations["kinetics_annotations"]) / ANNOTATIONS
    if not source.is_remote("kinetics_annotations") and unpacked.is_file():
        return copy_file(unpacked, path)
    archive_path = source.fetch("kinetics_annotations", ARCHIVE, layout.root / "downloads" / ARCHIVE)
    try:
        with tarfile.open(archive_path) as archive:
            member = next((m for m in archive if m.isfile() and Path(m.name).name == ANNOTATIONS), None)
            if member is None:
                raise tarfile.TarError(f"it has no {ANNOTATIONS}")
            if member.size > MAX_TEXT_BYTES:
                raise tarfile.TarError(f"its {ANNOTATIONS} has {member.size:,} bytes, the limit is {MAX_TEXT_BYTES:,}")
            write_bytes(path, archive.extractfile(member).read())
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DownloadError(f"{archive_path}: {error}. Delete it and call again, or give another mirror.") from error
    return path


def _write_annotations(ava, layout, part):
    """Write the train csv of both parts, and copy AVA's other files."""
    clips = part.annotations.assign(video_id=part.chosen)[part.chosen.notna()]
    train = read_ava_csv(ava.get_csv_path("train"), "ground_truth")
    write_ava_csv(pd.concat([clips, train], ignore_index=True), layout.get_csv_path("train"))
    for path in ava.list_annotation_files():
        if path != ava.get_csv_path("train"):
            copy_file(path, layout.annotations / path.name)


def _write_proposals(ava, layout, source):
    """Write the person boxes of both parts of train; those of val and test are AVA's."""
    for split in PROPOSAL_SPLITS[1:]:
        path = ava.get_proposals_path(split)
        link_or_copy(path, layout.root / "proposals" / path.name)
    stem = layout.root / "proposals" / Path(ava.get_proposals_path("train")).stem
    path = _find_kinetics_proposals(layout, source)
    if path is None:
        logger.warning(
            "no person boxes of Kinetics' clips (%s): training takes the annotated boxes alone there; see "
            "docs/datasets.md on making them",
            PROPOSALS,
        )
        link_or_copy(ava.get_proposals_path("train"), stem.with_name(ava.get_proposals_path("train").name))
        return
    both = pd.concat([read_proposals(path), read_proposals(ava.get_proposals_path("train"))], ignore_index=True)
    merged = stem.with_name(f"{stem.name}.parquet")
    write_proposals(both, merged)
    # a link to AVA's, of a call without these boxes, would be read in place of the table
    stem.with_name(f"{stem.name}.pkl").unlink(missing_ok=True)


def _find_kinetics_proposals(layout, source):
    """The pickle of the clips' person boxes: in the folder, else from its mirror; None if there is none."""
    path = layout.root / PROPOSALS
    if not path.is_file() and "kinetics_proposals" in source.locations:
        source.fetch("kinetics_proposals", PROPOSALS, path)
    return path if path.is_file() else None


# --- clips ------------------------------------------------------------------------------------------------------------


def _gather_clips(layout, annotations, source, workers, progress):
    """Link or download the clips that are annotated, and leave out those that can't be used. Returns KineticsPart."""
    available = _list_available(layout)
    offered = _list_offered(layout, source)
    files = {file.clip.name: file for file in offered.files} | available
    clips = [file.clip for file in files.values()]
    faults = {}
    while True:
        # a clip that turns out to be faulty may have another in its place
        chosen = choose_clips(annotations, [clip for clip in clips if clip.name not in faults])
        names = list(dict.fromkeys(chosen.dropna()))
        pending = {name: files[name] for name in names if name not in available}
        if pending:
            failed = _fetch_clips(layout, pending, len(names), source, workers, progress)
            available |= {name: file for name, file in pending.items() if name not in failed}
            faults |= failed
        new_faults = find_faulty_clips(layout, [name for name in names if name in available], workers, progress)
        faults |= new_faults
        if not pending and not new_faults:
            return KineticsPart(annotations, chosen, list(files.values()), faults, offered.unknown_names)


def _list_available(layout):
    """{name: ClipFile} of the clips in the data set's own folders."""
    files = {}
    for folder in CLIP_FOLDERS:
        if (layout.root / folder).is_dir():
            for file in find_clips(layout.root / folder).files:
                if Path(file.path).parent == Path():  # only what find_video finds
                    files.setdefault(file.clip.name, file)
    return files


def _list_offered(layout, source) -> ClipIndex:
    """The clips of the mirror; none without one."""
    location = source.locations.get("kinetics")
    if location is None:
        logger.warning("no folder of Kinetics' clips is given (mirrors, kinetics): those in %s are taken", layout.root)
        return ClipIndex([], [])
    if not source.is_remote("kinetics"):
        index = find_clips(location)
    else:
        index = read_clip_list(_fetch_clip_list(layout, source))
    if index.unknown_names:
        logger.warning(
            "%s: %d videos aren't named as Kinetics names its clips, <id>_000012_000022, and are left out, such as %s",
            location,
            len(index.unknown_names),
            index.unknown_names[0],
        )
    return index


def _fetch_clip_list(layout, source):
    """The list of a server's clips: a file of the user's, or from a server."""
    place = source.locations.get("kinetics_list", f"{source.locations['kinetics']}/{CLIP_LIST}")
    if not is_url(place):
        return Path(place)
    name = place.rpartition("/")[2]
    return download_file(place, path=layout.root / "downloads" / name, **source.options)


def _fetch_clips(layout, files, n_required, source, workers, progress):
    """Link or download clips {name: ClipFile}. Returns {name: reason} of those that failed."""
    paths = [file.path for file in files.values()]
    size_gb, minutes = estimate_download(source, "kinetics", paths)
    row = ("clips of Kinetics", n_required, n_required - len(files), size_gb, minutes)
    plan = pd.DataFrame([row], columns=["step", "files", "present", "GB", "minutes"])
    if progress:
        logger.info("%s", plan.round(3).to_string(index=False))
    check_planned_space(layout, plan, source)
    jobs = {name: partial(_fetch_clip, layout, file, source) for name, file in files.items()}
    return run_downloads(jobs, workers, progress, unit="clip")


def _fetch_clip(layout: DatasetLayout, file: ClipFile, source: AvaSource, stop: threading.Event) -> None:
    """Link one clip from the mirror's folder, or download it."""
    clip: KineticsClip = file.clip
    suffix = Path(file.path).suffix.lower()
    if suffix:
        path = layout.videos / f"{clip.name}{suffix}"
        source.fetch("kinetics", file.path, path, link=True, progress=False, stop=stop)
        return
    # a folder of frames
    path = layout.root / "rawframes" / clip.name
    original = Path(source.locations["kinetics"], file.path)
    try:
        link_folder(original, path)
    except OSError as error:
        raise DownloadError(f"{path}: no link to {original} ({error}); move the folder there") from error
