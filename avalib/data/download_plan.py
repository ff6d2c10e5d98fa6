"""What a download of AVA will take: files, gigabytes, minutes."""

import os
from dataclasses import dataclass

import pandas as pd

from avalib.data.ava_source import AvaSource
from avalib.data.layout import DatasetLayout
from avalib.utils.disk_space import check_free_space

PROPOSAL_SPLITS = ("train", "val", "test")  # that person boxes are published for
MEGABYTES_PER_S = 10  # of the network, assumed
CUT_MINUTES = 4  # of one core for one cut, assumed


@dataclass(frozen=True)
class RequiredVideos:
    """The videos of a data set."""

    ids: list[str]  # in the csv's order
    pending: list[str]  # those that are not on disk
    file_names: dict[str, str]  # {video_id: name on the server}; may lack some


def plan_downloads(layout: DatasetLayout, videos: RequiredVideos, source: AvaSource, cut: bool = False) -> pd.DataFrame:
    """Estimate the downloads.

    Returns
    -------
    DataFrame
        One row per step: step, files, present (already on disk), GB (to download; None if the server doesn't say),
        minutes (at 10 MB/s; of cuts, on all cores of this machine).
    """
    annotation_files = layout.list_annotation_files()
    boxes = [layout.get_proposals_path(split) for split in PROPOSAL_SPLITS]
    pending_boxes = [path.name for path in boxes if not path.is_file()]
    # videos that aren't in the official list have no size to ask for
    pending_names = [videos.file_names[video_id] for video_id in videos.pending if video_id in videos.file_names]
    rows = [
        ("annotations, label maps", len(annotation_files), len(annotation_files), 0.0, 0.0),
        (
            "person boxes",
            len(boxes),
            len(boxes) - len(pending_boxes),
            *estimate_download(source, "proposals", pending_boxes),
        ),
        (
            "videos",
            len(videos.ids),
            len(videos.ids) - len(videos.pending),
            *estimate_download(source, "videos", pending_names),
        ),
    ]
    if cut:
        # a cut is to be made of every video that isn't here yet, or is here uncut
        n_cuts = sum(
            video_id in videos.pending or layout.get_cut_range(layout.find_video(video_id)) is not None
            for video_id in videos.ids
        )
        rows.append(("cuts", len(videos.ids), len(videos.ids) - n_cuts, None, n_cuts * CUT_MINUTES / os.cpu_count()))
    return pd.DataFrame(rows, columns=["step", "files", "present", "GB", "minutes"]).round(3)


def check_planned_space(layout: DatasetLayout, plan: pd.DataFrame, source: AvaSource) -> None:
    """Raise DiskFullError if the files that servers send don't fit on the disk; those of a folder are linked."""
    kind_of_step = {"person boxes": "proposals", "videos": "videos", "clips of Kinetics": "kinetics"}
    is_sent = [step in kind_of_step and source.is_remote(kind_of_step[step]) for step in plan.step]
    needed_bytes = int(plan.GB[is_sent].fillna(0).sum() * 1e9)
    check_free_space(layout.root, needed_bytes, "for the downloads")


def estimate_download(source: AvaSource, kind: str, names: list[str]) -> tuple[float | None, float | None]:
    """(GB, minutes) of some files; (None, None) if the server doesn't tell their sizes."""
    n_bytes = source.measure_bytes(kind, names)
    if n_bytes is None:
        return None, None
    minutes = n_bytes / 1e6 / MEGABYTES_PER_S / 60 if source.is_remote(kind) else 0.0
    return n_bytes / 1e9, minutes
