"""Download the real AVA: annotations, person boxes and videos, from an empty disk to the layout that the package reads.

Each step looks at what is on disk and gets the rest. Interrupted downloads resume. A mirror, a folder or a URL for each
kind of file, replaces the official servers. Videos that cannot be downloaded are listed with the keyframes, boxes and
classes affected.
"""

import logging
import os
import time
import zipfile
import zlib
from functools import partial
from pathlib import Path

import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.ava_source import AvaSource, build_source
from avalib.data.download_plan import PROPOSAL_SPLITS, RequiredVideos, check_planned_space, plan_downloads
from avalib.data.download_record import (
    build_download_record,
    get_download_record_path,
    list_missing_videos,
    summarize_downloads,
)
from avalib.data.layout import VIDEO_SUFFIXES, DatasetLayout
from avalib.data.parallel_downloads import run_downloads
from avalib.data.proposals import read_proposals
from avalib.utils.download_errors import DownloadError
from avalib.utils.files import is_writable, join_inside, write_bytes, write_json, write_table
from avalib.utils.limits import MAX_TEXT_BYTES
from avalib.utils.progress import show_progress
from avalib.utils.temporary_files import clear_abandoned_parts
from avalib.utils.workers import run_parallel
from avalib.video.container import read_duration_s
from avalib.video.frame_numbers import AVA_FPS
from avalib.video.frame_source import open_video
from avalib.video.video_error import VideoError
from avalib.video.writer import write_mp4

logger = logging.getLogger(__name__)

FILE_NAMES = "ava_file_names_trainval_v2.1.txt"  # there is none for v2.2: its videos are the same


def download_ava(
    layout: DatasetLayout,
    mirrors: dict[str, str] | None = None,
    cut: bool = False,
    workers: int | None = None,
    max_videos: int | None = None,
    progress: bool = True,
    **options,
) -> dict:
    """Download the real AVA into `layout`.

    A video that cannot be downloaded does not stop the others.

    Parameters
    ----------
    layout : DatasetLayout
        The folder, and the version.
    mirrors : dict, optional
        {"annotations" | "names" | "videos" | "proposals": a folder or a base URL}, in place of SERVERS.
    cut : bool
        Also cut seconds 900 to 1801 out of every video, as H.264 at 30 frames a second; the uncut files can be deleted
        then. Without it frames are read from the uncut videos, and are the same.
    workers : int, optional
        Downloads at a time (default 4), and processes that cut (default one per core).
    max_videos : int, optional
        At most this many videos, the first ones of the csv.
    progress : bool
        Whether to show the plan and progress bars.
    **options
        Of `download_file`: timeout_s, retries, backoff_s.

    Returns
    -------
    dict
        The record, which is also written to `get_download_record_path(layout)`.

    Raises
    ------
    DownloadError
        If annotations or person boxes cannot be downloaded.
    DiskFullError
        If the disk is too small for the plan; no video is downloaded then.
    """
    # annotations first: they say which videos are needed
    source = build_source(mirrors, progress=progress, **options)
    started = time.time()
    clear_abandoned_parts(layout.root, layout.annotations, layout.videos, layout.cuts, layout.root / "proposals")
    download_annotations(layout, source)
    ids = list_required_videos(layout, max_videos)
    pending = [video_id for video_id in ids if not _is_available(layout, video_id)]
    videos = RequiredVideos(ids, pending, load_video_file_names(layout, source) if pending else {})
    # the plan is shown before anything large is downloaded
    plan = plan_downloads(layout, videos, source, cut)
    if progress:
        logger.info("%s", plan.to_string(index=False))
    check_planned_space(layout, plan, source)
    download_proposals(layout, source)
    failed = download_videos(layout, videos, source, workers, progress)
    if cut:
        failed |= cut_videos(layout, [video_id for video_id in ids if video_id not in failed], workers, progress)

    # what the failures cost, and where everything came from
    missing = list_missing_videos(layout, failed)
    annotation_files = [*layout.list_annotation_files(), *map(layout.get_proposals_path, PROPOSAL_SPLITS)]
    record = build_download_record(layout, source, len(ids), missing, annotation_files, started)
    _write_record(layout, record, missing)
    logger.info("%s", summarize_downloads(layout, record))
    return record


def _write_record(layout, record, missing):
    """Write the record and the table of missing videos; into a read-only folder neither."""
    path = get_download_record_path(layout)
    try:
        write_table(missing, layout.root / f"missing_videos_{layout.version}.csv")
        write_json(path, record)
    except OSError as error:
        if is_writable(layout.root):
            raise
        logger.warning("%s: the record is not written (%s)", path, error.strerror or error)


def _is_available(layout, video_id):
    try:
        return bool(layout.find_video(video_id))
    except FileNotFoundError:
        return False


# --- annotations and person boxes -------------------------------------------------------------------------------------


def download_annotations(layout: DatasetLayout, source: AvaSource) -> None:
    """Download ava_v2.x.zip, check it (the CRC of every member) and unpack what is needed.

    Raises DownloadError that names what is wrong with the zip.
    """
    paths = layout.list_annotation_files()
    if all(path.is_file() for path in paths):
        return
    name = f"ava_{layout.version}.zip"
    archive_path = source.fetch("annotations", name, layout.root / "downloads" / name)
    try:
        with zipfile.ZipFile(archive_path) as archive:
            _check_archive(archive, paths)
            # whatever folder of the zip the files lie in
            members = {Path(member).name: member for member in archive.namelist()}
            layout.annotations.mkdir(parents=True, exist_ok=True)
            for path in paths:
                write_bytes(path, archive.read(members[path.name]))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DownloadError(f"{archive_path}: {error}. Delete it and call again, or give another mirror.") from error


def _check_archive(archive, paths):
    """Raise BadZipFile for a zip that is too large, damaged, or lacks one of the files."""
    n_bytes = sum(member.file_size for member in archive.infolist())
    if n_bytes > MAX_TEXT_BYTES:
        raise zipfile.BadZipFile(f"it unpacks to {n_bytes:,} bytes; the limit (MAX_TEXT_BYTES) is {MAX_TEXT_BYTES:,}")
    if damaged := archive.testzip():
        raise zipfile.BadZipFile(f"its member {damaged} is damaged")
    names = {Path(member).name for member in archive.namelist()}
    if missing := [path.name for path in paths if path.name not in names]:
        raise zipfile.BadZipFile(f"it has no {', '.join(missing)}")


def download_proposals(layout: DatasetLayout, source: AvaSource) -> None:
    """Download the person boxes of train, val and test, one pickle each, and read each once (no code in it is run).

    Raises DownloadError for a file that holds something else.
    """
    for split in PROPOSAL_SPLITS:
        path = layout.get_proposals_path(split)
        if path.is_file():
            continue
        # under another name until it is checked: a damaged file must not count as present
        unchecked = source.fetch("proposals", path.name, path.with_name(path.name + ".unchecked"))
        try:
            read_proposals(unchecked)
        except ValueError as error:
            raise DownloadError(f"{error}. Delete the file and call again, or give another mirror.") from error
        os.replace(unchecked, path)


# --- videos -----------------------------------------------------------------------------------------------------------


def list_required_videos(layout: DatasetLayout, max_videos: int | None = None) -> list[str]:
    """The video ids of train and val, in the order of the csv files."""
    tables = [read_ava_csv(layout.get_csv_path(split), "ground_truth") for split in ("train", "val")]
    return pd.concat(tables).video_id.unique().tolist()[:max_videos]


def load_video_file_names(layout: DatasetLayout, source: AvaSource) -> dict[str, str]:
    """{video_id: file name} of the official list, which alone says whether a video is mp4, mkv or webm."""
    path = layout.annotations / FILE_NAMES
    if not path.is_file():
        source.fetch("names", FILE_NAMES, path)
    names = path.read_text(encoding="utf-8").split()
    if invalid := [name for name in names if Path(name).suffix not in VIDEO_SUFFIXES or "/" in name]:
        raise DownloadError(f"{path}: {invalid[0]!r} is not a video's file name; delete the list and call again")
    return {Path(name).stem: name for name in names}


def download_videos(
    layout: DatasetLayout,
    videos: RequiredVideos,
    source: AvaSource,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, str]:
    """Download the pending videos, `workers` (4) at a time.

    After an interruption the next call resumes from the .part files.

    Returns
    -------
    dict
        {video_id: reason} of those that cannot be downloaded.
    """
    jobs = {
        video_id: partial(_download_video, layout, video_id, videos.file_names.get(video_id), source)
        for video_id in videos.pending
    }
    return run_downloads(jobs, workers, progress)


def _download_video(layout, video_id, name, source, stop):
    """Download one video; a file that isn't one, or is too short, is set aside as .refused."""
    if name is None:
        raise DownloadError(
            f"{video_id}: not in {FILE_NAMES}, so its file name isn't known; put it into {layout.videos}"
        )
    path = source.fetch("videos", name, layout.videos / name, link=True, progress=False, stop=stop)
    try:
        # a server may answer with a web page, or with another, shorter video
        duration_s = read_duration_s(path)
        if duration_s <= layout.start_s:
            raise VideoError(f"{path}: {duration_s:.0f} s long; the annotations begin at {layout.start_s} s")
    except VideoError:
        os.replace(path, path.with_name(path.name + ".refused"))
        raise


def cut_videos(
    layout: DatasetLayout, video_ids: list[str], workers: int | None = None, progress: bool = True
) -> dict[str, str]:
    """Cut the annotated part out of the uncut videos, in processes. Existing cuts stay.

    Returns
    -------
    dict
        {video_id: reason} of those that failed.
    """
    # only uncut files have a range to cut
    pending = [video_id for video_id in video_ids if layout.get_cut_range(layout.find_video(video_id))]
    workers = min(workers or os.cpu_count(), len(pending))
    failed = {}
    with show_progress(total=len(pending), desc="cuts", unit="video", disable=not progress) as bar:
        arguments = {video_id: (layout, video_id) for video_id in pending}
        for video_id, result in run_parallel(cut_video, workers, arguments):
            try:
                result()
            except VideoError as error:
                failed[video_id] = str(error)
            bar.update()
    return failed


def cut_video(layout: DatasetLayout, video_id: str, crf: int = 18) -> Path:
    """Write one cut: the AVA-numbered frames of the uncut video, in order, at 30 a second. Returns its path."""
    path = join_inside(layout.cuts, f"{video_id}.mp4")
    with open_video(layout, video_id) as video:
        return write_mp4(path, video.iter_ava_frames(), AVA_FPS, crf=crf, gop=AVA_FPS, threads=1, quality="data")
