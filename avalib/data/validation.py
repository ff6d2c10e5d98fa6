"""Check a data set: is it complete and right? One table, one verdict, one json.

    avalib.check("ava2.1")          # or a DatasetLayout; also a section of notebook 01

Every video is opened and some of its frames (or all) are decoded, every annotation is checked, person boxes are
compared with the ground truth, counts with the official ones. Nothing is changed or downloaded.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.catalog import find_dataset
from avalib.data.dataset_checks import (
    NOTE,
    OK,
    SPLITS,
    WRONG,
    CheckResult,
    check_annotations,
    check_counts,
    check_label_maps,
    check_proposals,
    check_splits,
    lint_split,
)
from avalib.data.layout import DatasetLayout
from avalib.data.video_survey import inspect_videos
from avalib.utils.files import write_json
from avalib.video.dataset_frames import MAX_MISSING_SHARE


@dataclass
class DatasetReport:
    """What `check` reports."""

    table: pd.DataFrame  # one row per check: check, split, value, expected, status ("ok", "note", "wrong")
    videos: pd.DataFrame  # one row per video, see `inspect_videos`
    findings: pd.DataFrame  # odd rows of the csv files, as lint_csv lists them
    verdict: str  # one sentence

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.table.status == WRONG).any()

    def save(self, path: str | Path) -> Path:
        """Write all of it as json. Returns the path."""
        tables = {name: getattr(self, name).to_dict("records") for name in ("table", "videos", "findings")}
        return write_json(path, {"verdict": self.verdict, "ok": self.ok, **tables}, default=str)

    def __repr__(self):
        return f"{self.table.to_string(index=False, max_colwidth=70)}\n\n{self.verdict}"

    def _repr_html_(self):
        return f"{self.table.to_html(index=False)}<p><b>{self.verdict}</b></p>"


def check(
    dataset: str | DatasetLayout,
    root: str | Path | None = None,
    decode: str = "some",
    workers: int | None = None,
    progress: bool = True,
) -> DatasetReport:
    """Check a data set.

    Parameters
    ----------
    dataset : str or DatasetLayout
        A name, see `prepare`, or a layout.
    root : str or Path, optional
        Its folder, if that isn't the usual one.
    decode : {"some", "all"}
        Five frames of each video, first and last among them, or every AVA-numbered frame: over an hour on one core for
        ten videos of AVA.
    workers : int, optional
        Processes that decode; by default one per core for 50 videos or more, else this one.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DatasetReport

    Raises
    ------
    FileNotFoundError
        Without annotations.
    ValueError
        For an unknown data set or `decode`.
    """
    if decode not in ("some", "all"):
        raise ValueError(f'decode {decode!r}: expected "some" or "all"')
    layout = find_dataset(dataset, root) if isinstance(dataset, str) else dataset
    for split in SPLITS:
        if not layout.get_csv_path(split).is_file():
            raise FileNotFoundError(
                f"{layout.get_csv_path(split)}: no annotations; prepare or import the data set first"
            )
    truth = {split: read_ava_csv(layout.get_csv_path(split), "ground_truth") for split in SPLITS}
    videos = inspect_videos(layout, truth, decode, workers, progress)
    results = list(_check_videos(videos))
    findings = []
    for split, table in truth.items():
        split_findings = lint_split(layout, split)
        findings.append(split_findings.assign(split=split))
        results += check_counts(layout, split, table)
        results += check_annotations(layout, split, table, split_findings)
        results += check_proposals(layout, split, table)
    results += check_label_maps(layout)
    results += check_splits(layout, truth)
    if layout.is_real_ava:
        has_boxes = layout.get_proposals_path("test").is_file()
        value = "person boxes are there" if has_boxes else "no person boxes"
        results.append(CheckResult("test", "test", value, "its labels were never published", NOTE))
    rows = [(r.check, r.split, r.value, r.expected, r.status) for r in results]
    table = pd.DataFrame(rows, columns=["check", "split", "value", "expected", "status"])
    return DatasetReport(table, videos, pd.concat(findings, ignore_index=True), _format_verdict(table, videos))


def _format_verdict(table, videos):
    """One sentence: all right, or which checks failed."""
    wrong = table[table.status == WRONG]
    if len(wrong):
        failed = "; ".join(f"{row.check} ({row.split}): {row.value}" for row in wrong.itertuples())
        return f"Not right, {len(wrong)} of {len(table)} checks: {failed}"
    verdict = f"All right: {len(videos)} videos, {int(videos.keyframes.sum()):,} keyframes."
    if n_unreadable := int(videos.unreadable.sum()):
        verdict += f" {n_unreadable} keyframes have no readable frame; training continues without them."
    return verdict


def _check_videos(videos):
    """Yield the checks of the videos of each split. videos: table of `inspect_videos`."""
    for split, of_split in videos.groupby("split", sort=False):
        readable = of_split[of_split.frames > 0]
        is_complete = len(readable) == len(of_split)
        yield CheckResult(
            check="videos that can be read",
            split=split,
            value=f"{len(readable)} of {len(of_split)}",
            expected=len(of_split),
            status=OK if is_complete else NOTE,
        )
        yield _list_video_problems(of_split, split)
        n_unreadable = int(of_split.unreadable.sum())
        unreadable_share = n_unreadable / max(of_split.keyframes.sum(), 1)
        status = NOTE if n_unreadable else OK
        if unreadable_share > MAX_MISSING_SHARE:
            status = WRONG
        yield CheckResult(
            check="keyframes without frames",
            split=split,
            value=f"{n_unreadable} ({unreadable_share:.2%})",
            expected=f"at most {MAX_MISSING_SHARE:.0%}",
            status=status,
        )
        yield CheckResult("size and rate", split, _describe_sizes(readable))


def _list_video_problems(videos, split):
    """The check that names the videos with a problem."""
    faulty = videos[videos.problem != ""]
    listed = "; ".join(f"{video.video_id}: {video.problem}" for video in faulty[:5].itertuples())
    if len(faulty) > 5:
        listed += f"; and {len(faulty) - 5} more"
    status = NOTE if len(faulty) else OK
    if videos.misnumbered.any():
        status = WRONG
    return CheckResult("videos with a problem", split, listed or "none", "none", status)


def _describe_sizes(videos):
    """The range of short sides and the frame rates of videos."""
    if len(videos) == 0:
        return "-"
    rates = ", ".join(f"{fps:g}" for fps in sorted(videos.fps.unique())[:8])
    short_sides = videos[["width", "height"]].min(axis=1)
    return f"short side {short_sides.min()} to {short_sides.max()}, {rates} fps"
