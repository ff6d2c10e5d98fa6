"""Detect people and their actions in many videos: a table for each, a manifest, and a run that can be resumed."""

import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import pandas as pd

from avalib.detection.detect_settings import DetectSettings
from avalib.detection.local_engine import LocalEngine
from avalib.detection.manifest import (
    DONE,
    FAILED,
    Manifest,
    ManifestRow,
    check_other_runs,
    get_lock_path,
    get_manifest_path,
    read_manifest,
    read_manifests,
)
from avalib.detection.run_settings import write_or_compare_settings
from avalib.detection.video_item import RunPlan, VideoItem, choose_outputs, get_file_size, get_overlay_path
from avalib.detection.video_list import list_videos, parse_shard, select_shard
from avalib.models.detector import Detector
from avalib.utils.locks import hold_lock
from avalib.utils.progress import show_progress

logger = logging.getLogger(__name__)

FORMATS = ("parquet", "csv")
ENGINES = ("local", "ray")


def detect_many(
    videos: str | Path | Iterable[str | Path],
    out_dir: str | Path,
    model: str | Detector | None = "slowonly_r50",
    checkpoint: str | Path = "published",
    *,
    format: Literal["parquet", "csv"] = "parquet",
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    cores: int | None = None,
    shard: str | tuple[int, int] | None = None,
    write_overlay: Callable[[Path, Path, pd.DataFrame], object] | None = None,
    overlay_suffix: str = ".mp4",
    progress: bool = True,
    **options: object,
) -> pd.DataFrame:
    """Detect people and their actions in many videos, each as `detect` does, to the bit.

    Every video gets a table in `out_dir`, and a line in manifest.jsonl there. However the run ends, the next call goes
    on: it repeats the videos that were in work, and those that failed. A video that fails stops no other.

    Parameters
    ----------
    videos : str, Path, or several of them
        Files, folders, globs, list files and URLs, see `list_videos`. URLs are downloaded one by one, and removed.
    out_dir : str or Path
        For one set of settings (settings.json); other settings in a later call raise SettingsError.
    model, checkpoint
        As for `detect`.
    format : "parquet" or "csv"
        Parquet is exact, and has units, label map, settings and versions inside; read it with `read_detections`.
    engine : "local" or "ray"
        This machine, or a Ray cluster (RAY_ADDRESS; without one, Ray on this machine). On a cluster all machines read
        the videos by the same paths, and long videos are cut into stretches.
    workers : int, optional
        Processes, with a share of the cores each. None: 1; with Ray, as many as the cluster has GPUs, or cores for.
    cores : int, optional
        With Ray: cores of each worker. None: four, or a share of the cores of a machine with GPUs.
    shard : str or (int, int), optional
        "3/16": the third of sixteen equal shares of the sorted list, for job arrays; shares may run at once.
    write_overlay : callable, optional
        (path, video, detections) writes a video with boxes: `avalib.draw.write_overlay_video`.
    overlay_suffix : str
        .mp4, .mkv or .gif, of these videos.
    progress : bool
        Whether to show progress bars.
    **options
        `detect`'s: step, start, stop, detector, detector_weights, person_score, smooth, score_threshold, batch_size,
        device, precision, mirror.

    Returns
    -------
    DataFrame
        The manifest: a row for each video with video, state ("done" or "failed"), output, bytes, video_s (seconds of
        video), work_s (seconds of work), rows, error.

    Raises
    ------
    VideoError
        There are no videos, or a path does not exist.
    SettingsError
        The folder has results of other settings.
    LockedError
        Another run uses the folder; the message names it.
    DiskFullError
        The disk is full. The finished tables stay, and the next call goes on.
    """
    # Arguments and paths first: an error appears before anything is written or loaded.
    settings = DetectSettings(model=model, checkpoint=checkpoint, **options)
    for name, value, allowed in (("format", format, FORMATS), ("engine", engine, ENGINES)):
        if value not in allowed:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(allowed)}")
    for name, value in (("workers", workers), ("cores", cores)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value!r}: expected a whole number from 1")
    share = None if shard is None else parse_shard(shard)
    folder = Path(out_dir).absolute()
    listed = list_videos(videos, out_dir=folder)
    plan = RunPlan(folder, f".{format}", settings, {}, write_overlay, overlay_suffix)
    # One run at a time, or several shares of one list.
    check_other_runs(folder, share)
    with hold_lock(get_lock_path(folder, share), "detection in many videos"):
        # The names are chosen for the whole list, so that all shares agree.
        items = choose_outputs(listed, plan.suffix, read_manifests(folder))
        if share is not None:
            items = select_shard(items, *share)
        with contextlib.closing(_open_engine(engine, plan, workers, cores, progress)) as open_engine:
            # The folder has results of these settings alone.
            recorded = {**open_engine.describe(), "format": format}
            write_or_compare_settings(folder, recorded)
            return _run_items(open_engine, plan, items, recorded, get_manifest_path(folder, share), progress)


def _open_engine(name, plan, workers, cores, progress):
    """The engine of this name, with the model loaded."""
    if name == "local":
        return LocalEngine(plan, workers or 1, progress)
    from avalib.detection.ray_engine import RayEngine

    return RayEngine(plan, workers, cores)


def _run_items(engine, plan, items, recorded, manifest_path, progress):
    """Run what is not done yet. Returns the rows of all items as a table."""
    # {video: row}: of earlier runs, else a new one.
    earlier = read_manifests(plan.folder)
    rows = {item.video: earlier.get(item.video) or ManifestRow(item.video, output=item.output) for item in items}
    waiting = [item for item in items if not _is_done(plan, item, rows[item.video])]
    rows |= {item.video: ManifestRow(item.video, output=item.output) for item in waiting}
    # Videos of earlier calls that are not in this list stay in the manifest.
    manifest = Manifest(manifest_path, {**read_manifest(manifest_path), **rows}.values())
    if progress and len(waiting) < len(items):
        logger.info("%d of %d videos are done already", len(items) - len(waiting), len(items))
    # Every row is on the disk before the next video counts.
    with contextlib.closing(engine.run(waiting, recorded)) as finished, _open_bar(waiting, progress) as bar:
        n_failed = 0
        for number, row in enumerate(finished, 1):
            manifest.set(row)
            n_failed += row.state == FAILED
            if row.state == FAILED:
                logger.warning("%s", row.error)
            bar.set_postfix_str(f"{number} of {len(waiting)} videos, {n_failed} failed")
            bar.update(row.bytes or 1)
    manifest.compact()
    table = manifest.to_table()
    return table[table["video"].isin(rows)].reset_index(drop=True)


def _is_done(plan: RunPlan, item: VideoItem, row: ManifestRow) -> bool:
    """Whether a video's files are there. Those of another video that had this path before are removed."""
    table_path = plan.folder / item.output
    overlay_path = get_overlay_path(plan, item)
    if row.bytes is not None and row.bytes != get_file_size(item.source):
        table_path.unlink(missing_ok=True)
        overlay_path.unlink(missing_ok=True)
    has_overlay = plan.write_overlay is None or overlay_path.exists()
    return row.state == DONE and row.output == item.output and table_path.exists() and has_overlay


def _open_bar(items, progress):
    """A bar over the bytes of all videos, which tell the time that is left better than their number."""
    total = sum(get_file_size(item.source) or 1 for item in items)
    return show_progress(total=total, unit="B", unit_scale=True, desc="all videos", disable=not progress)
