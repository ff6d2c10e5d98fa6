"""One video of many: its names, and the work on it in one process."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pandas as pd

from avalib.detection.detect_settings import DetectSettings
from avalib.detection.detect_video import build_detections, choose_times, describe_video, load_video_detector
from avalib.detection.detections_file import read_detections, write_detections_file
from avalib.detection.manifest import DONE, FAILED, ManifestRow
from avalib.detection.video_detector import VideoDetector
from avalib.detection.video_list import DOWNLOADS, OVERLAY_MARK
from avalib.detection.video_location import locate_video
from avalib.utils.credentials import hide_credentials
from avalib.utils.disk_space import DiskFullError
from avalib.utils.download import download_file, is_url
from avalib.utils.errors import AvalibError
from avalib.video.reader import Video


@dataclass(frozen=True)
class RunPlan:
    """What all videos of a run have in common; sent to every process once."""

    folder: Path  # where the outputs go
    suffix: str  # of the tables: .parquet or .csv
    settings: DetectSettings
    recorded: dict  # from `describe_settings`
    write_overlay: Callable | None = None  # (path, video, detections), for a video with boxes beside each table
    overlay_suffix: str = ".mp4"


@dataclass(frozen=True)
class VideoItem:
    """One video, and where its table goes."""

    source: str = field(repr=False)  # path or URL, with its credentials
    output: str  # relative to the run's folder

    @property
    def video(self) -> str:
        """The source as manifests and messages show it."""
        return hide_credentials(self.source)


def choose_outputs(videos: list[str], suffix: str, rows: dict[str, ManifestRow]) -> list[VideoItem]:
    """Choose the name of each video's table: that of the video; with a hash of its path if several have one name.

    Parameters
    ----------
    videos : list of str
        From `list_videos`.
    suffix : str
        .parquet or .csv.
    rows : dict
        {video: ManifestRow} of earlier runs in the folder, whose names stay.

    Returns
    -------
    list of VideoItem
    """
    stems = {video: _get_stem(video) for video in videos}
    # Names count without their case: some disks do not tell it.
    counts = {}
    for stem in stems.values():
        counts[stem.lower()] = counts.get(stem.lower(), 0) + 1
    owners = {row.output.lower(): video for video, row in rows.items() if row.output}
    # An earlier name, else the video's own, else one with a hash.
    items = []
    for source, stem in stems.items():
        video = hide_credentials(source)
        output = rows[video].output if video in rows else ""
        if not output.endswith(suffix):
            output = f"{stem}{suffix}"
            if counts[stem.lower()] > 1 or owners.get(output.lower(), video) != video:
                output = f"{stem}-{sha256(video.encode()).hexdigest()[:8]}{suffix}"
        items.append(VideoItem(source, output))
    return items


def _get_stem(video):
    """A video's file name without its suffix and without what a file's name can't have, at most 120 letters."""
    name = hide_credentials(video).partition("?")[0] if is_url(video) else video
    stem = Path(name).stem or "video"
    return "".join("_" if letter in '<>:"|?*\\' or ord(letter) < 32 else letter for letter in stem)[:120]


def get_file_size(source: str) -> int | None:
    """The size of a video's file in bytes; None of a URL, and of a file that is gone."""
    try:
        return None if is_url(source) else Path(source).stat().st_size
    except OSError:
        return None


class VideoWorker:
    """Everything that a process loads once for many videos.

    Parameters
    ----------
    plan : RunPlan
    detector : VideoDetector, optional
        Loaded with the plan's settings already.
    progress : bool
        Whether to show a bar for each video.
    """

    def __init__(self, plan: RunPlan, detector: VideoDetector | None = None, progress: bool = False):
        self.plan = plan
        self.detector = detector or load_video_detector(plan.settings, progress=False)
        self.progress = progress

    def run(self, item: VideoItem) -> ManifestRow:
        """Detect in one video and write its files.

        Returns its row, also if it failed. Raises DiskFullError, as every other video would meet it too.
        """
        started_s = time.perf_counter()
        row = ManifestRow(item.video, DONE, item.output, get_file_size(item.source))
        try:
            # A table that is there already was written just before its process was killed.
            with open_source(item.source, self.plan.folder / DOWNLOADS, self.plan.settings.mirror) as path:
                table = read_finished(self.plan, item)
                if table is None:
                    table = self._detect(path)
                    write_detections_file(table, self.plan.folder / item.output, self.plan.recorded)
                draw_overlay(self.plan, item, path, table)
        except DiskFullError:
            raise
        except Exception as error:
            return replace(
                row, state=FAILED, error=describe_error(error, item), work_s=round(time.perf_counter() - started_s, 3)
            )
        return replace(
            row,
            video_s=round(table.attrs["duration_s"], 3),
            work_s=round(time.perf_counter() - started_s, 3),
            rows=len(table),
        )

    def _detect(self, path):
        """The table of a video file, as `detect` returns it."""
        settings = self.plan.settings
        with Video(path) as reader:
            times_s = choose_times(reader, None, settings.step, settings.start, settings.stop)
            result = self.detector.run(reader, times_s, self.progress, return_partial=False)
            return build_detections(result, describe_video(reader), self.detector.loaded.label_map, settings)


def read_finished(plan: RunPlan, item: VideoItem) -> pd.DataFrame | None:
    """The table of a run that was killed after it had written it; None if there is none of these settings."""
    path = plan.folder / item.output
    if path.suffix != ".parquet" or not path.exists():
        return None
    table = read_detections(path)
    return table if table.attrs["settings"] == plan.recorded else None


def draw_overlay(plan: RunPlan, item: VideoItem, video: Path, table: pd.DataFrame) -> None:
    """Write the video with boxes, if the plan has one and it does not exist yet."""
    path = get_overlay_path(plan, item)
    if plan.write_overlay is not None and not path.exists():
        plan.write_overlay(path, video, table)


def get_overlay_path(plan: RunPlan, item: VideoItem) -> Path:
    """Where a video with boxes goes: not under the video's own name, as the folder may be the video's."""
    return plan.folder / f"{Path(item.output).stem}{OVERLAY_MARK}{plan.overlay_suffix}"


def describe_error(error: Exception, item: VideoItem) -> str:
    """An error as one line that names the video, without credentials; an unexpected one with its class."""
    text = " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
    is_expected = isinstance(error, (AvalibError, OSError, ValueError))
    text = hide_credentials(text if is_expected and text else f"{type(error).__name__}: {text}")
    return text if item.video in text else f"{item.video}: {text}"


@contextlib.contextmanager
def open_source(source: str, folder: Path, mirror: str | Path | None = None) -> Iterator[Path]:
    """The path of a video's file inside the context. A URL is downloaded into a folder, and removed at the end.

    A download that was interrupted resumes.
    """
    if not is_url(source):
        yield locate_video(source)
        return
    # A folder for each address, so that equal names do not meet.
    name = hide_credentials(source)
    own_folder = folder / sha256(name.encode()).hexdigest()[:16]
    path = own_folder / f"{_get_stem(name)}{Path(name.partition('?')[0]).suffix}"
    local = download_file(source, path=path, mirror=mirror, progress=False)
    try:
        yield local
    finally:
        if local == path:  # not a mirror's
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                own_folder.rmdir()
