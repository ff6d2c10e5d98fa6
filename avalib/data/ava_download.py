"""The real AVA: annotations, videos, person boxes, from an empty disk to the layout that everything else reads.

Every step looks at what is there, gets what is missing and can be interrupted; `fetch` goes on with half a file. A
mirror, a folder or a URL for each kind of file, takes the place of the official servers. What could not be had is
listed, with what is lost with it.
"""

import os
import threading
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from avalib.data.ava_csv import read_ava_csv
from avalib.data.label_map import read_label_map
from avalib.data.layout import VIDEO_SUFFIXES
from avalib.data.proposals import read_proposals
from avalib.utils.download import download_file, get_download_size, is_url
from avalib.utils.files import (
    compute_sha256,
    copy_file,
    is_writable,
    join_inside,
    link_or_copy,
    write_bytes,
    write_json,
    write_table,
)
from avalib.utils.http_transfer import DownloadError
from avalib.utils.limits import MAX_TEXT_BYTES
from avalib.utils.temporary_files import clear_abandoned_parts
from avalib.utils.workers import run_parallel
from avalib.video.container import read_duration_s
from avalib.video.frame_source import open_video
from avalib.video.video_error import VideoError
from avalib.video.writer import write_mp4

SERVERS = {
    "annotations": "https://research.google.com/ava/download",
    "names": "https://s3.amazonaws.com/ava-dataset/annotations",
    "videos": "https://s3.amazonaws.com/ava-dataset/trainval",
    "proposals": "https://download.openmmlab.com/mmaction/dataset/ava",
}
NAMES = "ava_file_names_trainval_v2.1.txt"  # there is none for v2.2: its videos are the same
SPLITS = ("train", "val", "test")
TEST_LABELS = "the labels of the test split were never published: its person boxes are here, but nothing to score them"
MB_PER_S, CUT_MINUTES = 10, 4  # assumed in the plan: the network's speed; one core's time for one cut


def download_ava(layout, mirrors=None, cut=False, workers=None, max_videos=None, progress=True, **options):
    """Get the real AVA into `layout`, step by step. -> the record, also kept as prepare_<version>.json there.

    mirrors: {"annotations" | "names" | "videos" | "proposals": a folder or a base URL} in place of SERVERS. cut: also
    cut second 900 to 1801 out of every video, as H.264 at 30 a second (the uncut files may go then); without it frames
    are read from the uncut videos, and are the same. workers: downloads, and cutting processes, at a time. max_videos:
    only so many, the csv's first. options: fetch's (timeout_s, retries, backoff_s).
    Raises fetch.DownloadError without annotations or person boxes; a video that can't be had does not stop the others.
    """
    places = SERVERS | {kind: str(place).rstrip("/") for kind, place in (mirrors or {}).items()}
    if unknown := sorted(places.keys() - SERVERS.keys()):
        raise ValueError(f"mirrors: {', '.join(unknown)} unknown; expected some of {', '.join(SERVERS)}")
    started = time.time()
    get = partial(_get, options=options | {"progress": progress})
    clear_abandoned_parts(layout.root, layout.annotations, layout.videos, layout.cuts, layout.root / "proposals")
    download_annotations(layout, places["annotations"], get)
    wanted = list_required_videos(layout, max_videos)
    todo = [v for v in wanted if not _there(layout, v)]
    names = load_video_file_names(layout, places["names"], get) if todo else {}
    steps = plan_downloads(layout, wanted, todo, names, places, cut, progress)
    if progress:
        print(steps.to_string(index=False))
    download_proposals(layout, places["proposals"], get)
    failed = download_videos(layout, todo, names, places["videos"], workers, options, progress)
    if cut:
        failed |= cut_videos(layout, [v for v in wanted if v not in failed], workers, progress)
    lost = find_missing_data(layout, failed)
    record = _record(layout, places, wanted, lost, started)
    try:
        write_table(lost, layout.root / f"not_had_{layout.version}.csv")
        write_json(get_download_record_path(layout), record)
    except OSError as error:
        if is_writable(layout.root):
            raise
        print(f"{get_download_record_path(layout)}: the record is not kept ({error.strerror or error})")
    print(summarize_downloads(layout, record))
    return record


def get_download_record_path(layout):
    """Where `prepare` keeps its record."""
    return layout.root / f"prepare_{layout.version}.json"


def summarize_downloads(layout, record):
    """The record in a few lines."""
    lines = [f"{layout.root}: AVA {layout.version}, {record['videos']} of {record['videos_wanted']} videos"]
    for row in record["not_had"]:
        costs = ", ".join(f"{row[what]} {what}" for what in ("keyframes", "boxes", "labels", "classes"))
        alone = f", among them all there is of {row['classes_lost']}" if row["classes_lost"] else ""
        lines.append(f"not had: {row['video_id']} ({row['split']}; with it {costs}{alone}): {row['reason']}")
    return "\n".join([*lines, TEST_LABELS])


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan_downloads(layout, wanted, todo, names, places, cut=False, progress=True):
    """What is to be done: table step, files, there (already), GB (to come; None: the server doesn't say), minutes.

    The minutes are for 10 MB/s and, of cuts, for all cores of this machine.
    """
    boxes = [layout.get_proposals_path(split) for split in SPLITS]
    lacking = [path.name for path in boxes if not path.is_file()]
    cuts = [v for v in wanted if v in todo or layout.get_cut_range(layout.find_video(v))] if cut else []
    rows = [
        ("annotations, label maps", len(list_annotation_files(layout)), len(list_annotation_files(layout)), 0.0, 0.0),
        ("person boxes", len(boxes), len(boxes) - len(lacking), *_load(lacking, places["proposals"])),
        (
            "videos",
            len(wanted),
            len(wanted) - len(todo),
            *_load([names[v] for v in todo if v in names], places["videos"]),
        ),
    ]
    if cut:
        rows.append(("cuts", len(wanted), len(wanted) - len(cuts), None, len(cuts) * CUT_MINUTES / os.cpu_count()))
    return pd.DataFrame(rows, columns=["step", "files", "there", "GB", "minutes"]).round(3)


def _load(names, place):
    """(GB, minutes) of these files, asked of the server all at once; None where it doesn't say."""
    if not is_url(place):
        sizes = [p.stat().st_size for p in (Path(place) / name for name in names) if p.is_file()]
        return sum(sizes) / 1e9, 0.0
    with ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(get_download_size, [f"{place}/{name}" for name in names]))
    if None in sizes:
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) / 2:
            return None, None
        sizes = [sum(known) / len(known) if size is None else size for size in sizes]
    return sum(sizes) / 1e9, sum(sizes) / 1e6 / MB_PER_S / 60


# --- the steps --------------------------------------------------------------------------------------------------------


def list_annotation_files(layout):
    """What is needed of the annotations' zip: csv and exclusions of train and val, both label maps."""
    tables = [path(split) for split in ("train", "val") for path in (layout.get_csv_path, layout.get_exclusions_path)]
    return [*tables, layout.label_map_path, layout.evaluated_label_map_path]


def download_annotations(layout, server, get):
    """Fetch ava_v2.x.zip, check it (the CRC of every member) and unpack what is needed.

    Raises fetch.DownloadError that says what is wrong with the zip.
    """
    if all(path.is_file() for path in list_annotation_files(layout)):
        return
    archive = get(server, f"ava_{layout.version}.zip", layout.root / "downloads" / f"ava_{layout.version}.zip")
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {Path(member).name: member for member in opened.namelist()}
            if (size := sum(entry.file_size for entry in opened.infolist())) > MAX_TEXT_BYTES:
                limit = f"the limit (MAX_TEXT_BYTES) is {MAX_TEXT_BYTES:,}"
                raise zipfile.BadZipFile(f"it unpacks to {size:,} bytes; {limit}")
            if damaged := opened.testzip():
                raise zipfile.BadZipFile(f"{damaged} is damaged in it")
            if lacking := [path.name for path in list_annotation_files(layout) if path.name not in members]:
                raise zipfile.BadZipFile(f"it has no {', '.join(lacking)}")
            layout.annotations.mkdir(parents=True, exist_ok=True)
            for path in list_annotation_files(layout):
                write_bytes(path, opened.read(members[path.name]))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DownloadError(f"{archive}: {error}. Delete it and call again, or give another mirror.") from error


def load_video_file_names(layout, server, get):
    """{video_id: file name} of the official list: it alone says which video is mp4, mkv or webm."""
    path = layout.annotations / NAMES
    if not path.is_file():
        get(server, NAMES, path)
    names = path.read_text(encoding="utf-8").split()
    if odd := [name for name in names if Path(name).suffix not in VIDEO_SUFFIXES or "/" in name]:
        raise DownloadError(f"{path}: {odd[0]!r} is not a video's file name; delete the list and call again")
    return {Path(name).stem: name for name in names}


def download_proposals(layout, server, get):
    """The person boxes of train, val and test, one pickle each, read once (no code in it runs) before it counts.

    Raises fetch.DownloadError for one that holds something else.
    """
    for split in SPLITS:
        path = layout.get_proposals_path(split)
        if path.is_file():
            continue
        got = get(server, path.name, path.with_name(path.name + ".unchecked"))
        try:
            read_proposals(got)
        except ValueError as error:
            raise DownloadError(f"{error}. Delete the file and call again, or give another mirror.") from error
        os.replace(got, path)


def list_required_videos(layout, max_videos=None):
    """The video ids of train and val, in the csv's order."""
    tables = [read_ava_csv(layout.get_csv_path(split), "ground_truth") for split in ("train", "val")]
    return list(dict.fromkeys(v for table in tables for v in table.video_id.unique()))[:max_videos]


def download_videos(layout, todo, names, server, workers=None, options=None, progress=True):
    """Download these videos, `workers` (4) at a time. -> {video_id: why it could not be had}.

    An interruption leaves the files under way as .part, from where the next call goes on.
    """
    stop, failed, pool = threading.Event(), {}, ThreadPoolExecutor(workers or 4)
    get = partial(_get, options=(options or {}) | {"progress": False, "stop": stop})
    with tqdm(total=len(todo), desc="videos", unit="video", disable=not progress) as bar:
        jobs = {pool.submit(_get_video, layout, v, names.get(v), server, get): v for v in todo}
        try:
            for job in as_completed(jobs):
                if isinstance(job.exception(), OSError):
                    failed[jobs[job]] = str(job.exception())
                else:
                    job.result()
                bar.update()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return {v: failed[v] for v in todo if v in failed}


def _get_video(layout, video_id, name, server, get):
    if name is None:
        raise DownloadError(f"{video_id}: not in {NAMES}, so its file name isn't known; put it into {layout.videos}")
    path = get(server, name, layout.videos / name, link=True)
    try:
        seconds = read_duration_s(path)
        if seconds <= layout.start_s:
            raise VideoError(f"{path}: {seconds:.0f} s long; what is annotated begins at {layout.start_s} s")
    except VideoError:
        os.replace(path, path.with_name(path.name + ".refused"))
        raise


def cut_videos(layout, video_ids, workers=None, progress=True):
    """Cut what counts out of the uncut videos, in processes. -> {video_id: why it failed}; what is there stays."""
    todo = [v for v in video_ids if layout.get_cut_range(layout.find_video(v))]
    failed, workers = {}, min(workers or os.cpu_count(), len(todo))
    with tqdm(total=len(todo), desc="cuts", unit="video", disable=not progress) as bar:
        for video_id, outcome in run_parallel(cut_video, workers, {v: (layout, v) for v in todo}):
            try:
                outcome()
            except VideoError as error:
                failed[video_id] = str(error)
            bar.update()
    return failed


def cut_video(layout, video_id, crf=18):
    """One cut: the AVA-numbered frames of the uncut video, in order, as 30 a second. -> its path."""
    path = join_inside(layout.cuts, f"{video_id}.mp4")
    with open_video(layout, video_id) as opened:
        return write_mp4(path, opened.iter_ava_frames(), 30, crf=crf, gop=30, threads=1)


# --- what is lost, and the record -------------------------------------------------------------------------------------


def find_missing_data(layout, failed):
    """What goes with these videos {video_id: reason}: table video_id, split, keyframes, boxes, labels, classes (how
    many actions occur in it), classes_lost (names of those that occur in no other video of its split), reason.
    """
    rows, names = [], read_label_map(layout.label_map_path)
    for split in ("train", "val"):
        table = read_ava_csv(layout.get_csv_path(split), "ground_truth")
        kept = set(table.action_id[~table.video_id.isin(failed)])
        for video_id, of_video in table[table.video_id.isin(failed)].groupby("video_id", sort=False):
            gone = sorted(set(of_video.action_id) - kept)
            boxes = of_video.drop_duplicates(["timestamp", "x1", "y1", "x2", "y2"])
            counts = (of_video.timestamp.nunique(), len(boxes), len(of_video), of_video.action_id.nunique())
            lost = ", ".join(names.get(a, str(a)) for a in gone)
            rows.append((video_id, split, *counts, lost, failed[video_id]))
    columns = ["video_id", "split", "keyframes", "boxes", "labels", "classes", "classes_lost", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _record(layout, places, wanted, lost, started):
    hashed = [*list_annotation_files(layout), *(layout.get_proposals_path(split) for split in SPLITS)]
    return {
        "dataset": f"AVA {layout.version}",
        "date": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "wall_s": round(time.time() - started, 1),
        "from": {k: place if is_url(place) else "a folder" for k, place in places.items()},
        "videos_wanted": len(wanted),
        "videos": len(wanted) - lost.video_id.nunique(),
        "not_had": lost.to_dict("records"),
        "hashes": {path.name: compute_sha256(path) for path in hashed},
        "test_split": TEST_LABELS,
    }


def _there(layout, video_id):
    try:
        return bool(layout.find_video(video_id))
    except FileNotFoundError:
        return False


def _get(server, name, path, options, link=False):
    """The file `name` of a server or a mirror's folder, at `path`. link: only point to a folder's file (big ones)."""
    found = Path(server) / name
    if is_url(server):
        found = download_file(f"{server}/{name}", path=path, **options)
        if found == path:
            return path  # else it lies in the folder that AVALIB_MIRROR names
    if not found.is_file():
        raise DownloadError(f"{found}: not in this mirror; put it there or leave the mirror out")
    return link_or_copy(found, path) if link else copy_file(found, path)
