"""Rendering the synthetic data set to disk: videos in parallel, then annotations, with a manifest to resume from."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.ava_csv import write_ava_csv
from avalib.data.exclusions import write_exclusions
from avalib.data.label_map import write_label_map
from avalib.data.labels import get_action_names
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import write_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.data.synthetic.action_ids import ACTIONS
from avalib.data.synthetic.camera import Take
from avalib.data.synthetic.ground_truth import PlacedTake, build_annotations
from avalib.data.synthetic.render_manifest import SPLITS, RenderManifest
from avalib.data.synthetic.scenes import plan_video
from avalib.data.synthetic.video_specs import VideoSpec, list_videos
from avalib.utils.disk_space import DiskFullError, check_free_space
from avalib.utils.files import is_writable
from avalib.utils.process import ignore_interrupts
from avalib.utils.progress import show_progress
from avalib.utils.temporary_files import clear_abandoned_parts, remove_abandoned_parts
from avalib.utils.workers import run_parallel
from avalib.video.writer import write_mp4

CRF = 24
KEYFRAME_INTERVAL = 48
PRESET = "superfast"
VIDEO_BYTES_PER_SECOND = 100_000  # generously, for the check of free space
ANNOTATION_BYTES = 5_000_000
MIN_PARALLEL_FRAMES = 1500  # less work than this is done in the calling process

# Streams of random numbers of one video, added to its seed.
PLAN_STREAM = 1
NOISE_STREAM = 2
ANNOTATION_STREAM = 3


def build_takes(spec):
    """The shots of one video, as a list of PlacedTakes."""
    takes = []
    first_frame = 0
    start_s = 0.0
    # Shots follow each other without a gap; the last one ends with the video.
    for shot in plan_video(spec.build_rng(PLAN_STREAM), spec.duration_s, spec.kinds):
        end_frame = min(round((start_s + shot.duration) * spec.fps), spec.n_frames)
        times_s = np.arange(first_frame, end_frame) / float(spec.fps) - start_s
        takes.append(PlacedTake(first_frame, Take(shot, times_s)))
        first_frame = end_frame
        start_s += shot.duration
    return takes


def iter_frames(spec: VideoSpec, takes: list[PlacedTake] | None = None) -> Iterator[np.ndarray]:
    """Yield one video's frames, (240,320,3) uint8 RGB, as they are before encoding; takes: None, or its PlacedTakes."""
    rng = spec.build_rng(NOISE_STREAM)
    for placed in takes or build_takes(spec):
        for frame in range(len(placed.take.times_s)):
            yield placed.take.draw_frame(frame, rng)


def make_video(spec, folder):
    """Write one video.

    Returns
    -------
    entry : dict
        Of the manifest.
    annotations : VideoAnnotations
    """
    # The hash is of the pixels before encoding, which do not depend on the encoder's version.
    digest = hashlib.sha256()
    takes = build_takes(spec)

    def iter_hashed_frames():
        for frame in iter_frames(spec, takes):
            digest.update(frame)
            yield frame

    path = write_mp4(
        folder / spec.file_name,
        iter_hashed_frames(),
        spec.fps,
        CRF,
        KEYFRAME_INTERVAL,
        preset=PRESET,
        threads=1,
        quality="data",
    )
    entry = {
        "file": spec.file_name,
        "split": spec.split,
        "fps": str(spec.fps),
        "frames": spec.n_frames,
        "bytes": path.stat().st_size,
        "pixels_sha256": digest.hexdigest(),
    }
    return entry, annotate_video(spec, takes)


def annotate_video(spec, takes=None):
    """The VideoAnnotations of one video, without drawing it; takes: None, or its PlacedTakes."""
    return build_annotations(
        takes or build_takes(spec), float(spec.fps), spec.n_frames, spec.build_rng(ANNOTATION_STREAM)
    )


def render_dataset(
    root: str | Path, size: str = "mini", seed: int = 0, workers: int | None = None, progress: bool = True
) -> DatasetLayout:
    """Render a synthetic data set in AVA's shape.

    The same size and seed give the same annotations byte for byte and the same pixels before encoding, whatever the
    number of workers. An interrupted call resumes; a second one returns at once.

    Parameters
    ----------
    root : str or Path
        The folder to write into.
    size : str
        One of SIZES.
    seed : int
    workers : int, optional
        Processes. The default is one per core, or none for little work.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DatasetLayout
        Of version "mini".

    Raises
    ------
    ValueError
        For an unknown size or a folder that holds another one.
    OSError
        If there is not enough free space.
    """
    specs = list_videos(size, seed)
    layout = DatasetLayout(Path(root), "mini")
    manifest = RenderManifest(layout, size, seed)
    # Videos that an earlier call has finished are not rendered again.
    missing = [spec for spec in specs if not manifest.has_video(spec)]
    if not missing and manifest.has_tables():
        return layout
    _prepare_folder(layout, missing, n_videos=len(specs))
    progress_bar = show_progress(
        total=sum(spec.n_frames for spec in missing), unit=" frames", desc=f"render {size}", disable=not progress
    )
    annotations = {}
    arguments = {spec: (spec, layout.videos, spec in missing) for spec in specs}
    rendering = run_parallel(render_video, _choose_workers(workers, missing), arguments, initializer=ignore_interrupts)
    with progress_bar, contextlib.closing(rendering):
        try:
            for spec, get_result in rendering:
                entry, annotations[spec] = get_result()
                if entry is not None:
                    manifest.add_video(spec, entry)
                    progress_bar.update(spec.n_frames)
        except BaseException:
            # No partial file remains of the processes that are ended.
            rendering.close()
            remove_abandoned_parts(layout.videos)
            raise
        write_tables(layout, specs, annotations)
        manifest.finish(specs)
    return layout


def _choose_workers(workers, missing):
    """How many processes render the missing videos; 1: the calling one."""
    # Starting processes takes longer than rendering a few seconds of video.
    if workers is None and sum(spec.n_frames for spec in missing) < MIN_PARALLEL_FRAMES:
        return 1
    return min(workers or os.cpu_count() or 1, max(len(missing), 1))


def render_video(spec, folder, is_missing):
    """Write a missing video; of a finished one only the annotations are made again, which needs no drawing.

    Returns
    -------
    entry : dict or None
        Of the manifest, if the video was written.
    annotations : VideoAnnotations

    Raises
    ------
    OSError, RuntimeError
        Naming the video.
    """
    try:
        return make_video(spec, folder) if is_missing else (None, annotate_video(spec))
    except DiskFullError:
        raise  # names the file and what to do
    except OSError as error:
        raise OSError(error.errno, f"rendering video {spec.file_name} failed: {error.strerror or error}") from error
    except Exception as error:
        raise RuntimeError(
            f"rendering video {spec.file_name} ({spec.split}, seed {spec.seed}) failed: {error}"
        ) from error


def _prepare_folder(layout, missing, n_videos):
    """Check that the missing videos can be written, and clear what an interrupted call left."""
    if not is_writable(layout.videos):
        raise PermissionError(
            f"{layout.root} can't be written, and {len(missing)} of {n_videos} videos are missing. "
            "Choose another folder: root, or AVALIB_DATA."
        )
    clear_abandoned_parts(layout.root, layout.videos, layout.annotations, layout.get_proposals_path("train").parent)
    video_bytes = sum(spec.duration_s for spec in missing) * VIDEO_BYTES_PER_SECOND
    check_free_space(layout.root, int(video_bytes) + ANNOTATION_BYTES, "for the videos")


def write_tables(layout, specs, annotations):
    """Write csv files, exclusions, proposals and label maps; annotations: {VideoSpec: VideoAnnotations}."""
    layout.annotations.mkdir(parents=True, exist_ok=True)
    layout.get_proposals_path("train").parent.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        # Rows (video_id, second, …) of all videos of this split.
        truth = []
        excluded = []
        proposals = []
        for spec in specs:
            if spec.split == split:
                of_video = annotations[spec]
                truth += [(spec.video_id, *row) for row in of_video.truth]
                excluded += [(spec.video_id, second) for second in of_video.excluded]
                proposals += [(spec.video_id, *row) for row in of_video.proposals]
        frame_columns = ["video_id", "timestamp"]
        truth_table = _build_table(truth, [*frame_columns, *BOX_COLUMNS, "action_id", "person_id"])
        truth_table = truth_table.astype({"action_id": np.int64, "person_id": np.int64})
        write_ava_csv(truth_table, layout.get_csv_path(split))
        write_exclusions(_build_table(excluded, frame_columns), layout.get_exclusions_path(split))
        proposals_table = _build_table(proposals, [*frame_columns, *BOX_COLUMNS, "score"])
        write_proposals(proposals_table, layout.get_proposals_path(split))
    action_names = get_action_names()
    write_label_map(action_names, layout.label_map_path)
    # The metric counts the actions that the renderer shows.
    evaluated_names = {action_id: action_names[action_id] for action_id in ACTIONS}
    write_label_map(evaluated_names, layout.evaluated_label_map_path)


def _build_table(rows, columns):
    return pd.DataFrame(rows, columns=columns).astype({"video_id": str, "timestamp": np.float64})
