"""Check a data set: is it complete and right? One report.

    avalib.check("ava2.1")          # or a DatasetLayout; also a section of notebook 01

Every video is opened and some of its frames (or all) are decoded, every annotation is checked, person boxes are
compared with the ground truth, counts with the official ones. Nothing is changed or downloaded.
"""

from dataclasses import replace
from pathlib import Path

from avalib.data.catalog import find_dataset
from avalib.data.check_report import NOTE, OK, WRONG, CheckReport, Finding
from avalib.data.dataset_checks import (
    FIRST_SECOND,
    LAST_SECOND,
    check_annotations,
    check_counts,
    check_frame_list,
    check_label_maps,
    check_proposals,
    check_splits,
)
from avalib.data.layout import SPLITS, DatasetLayout
from avalib.data.lenient_csv import read_leniently
from avalib.data.lint import DEFAULT_SECONDS, find_row_problems
from avalib.data.row_checks import describe_name_fault
from avalib.data.video_survey import survey_videos
from avalib.utils.plurals import format_count
from avalib.video.dataset_frames import MAX_MISSING_SHARE


def check(
    dataset: str | DatasetLayout,
    root: str | Path | None = None,
    decode: str = "some",
    workers: int | None = None,
    progress: bool = True,
) -> CheckReport:
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
    CheckReport

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
    # every csv is read once, rows that can't be read become findings
    tables = {}
    row_problems = {}
    for split in SPLITS:
        tables[split], row_problems[split] = _read_annotations(layout, split)
    # open every video: most of the time goes here
    videos = survey_videos(layout, tables, decode, workers, progress)
    findings = list(_check_videos(videos))
    for split, table in tables.items():
        findings += check_counts(layout, split, table)
        findings += check_annotations(layout, split, table, row_problems[split])
        findings += check_proposals(layout, split, table)
        findings += check_frame_list(layout, split, videos)
    findings += check_label_maps(layout)
    findings += check_splits(layout, tables)
    if layout.is_real_ava:
        has_boxes = layout.get_proposals_path("test").is_file()
        value = "person boxes are there" if has_boxes else "no person boxes"
        findings.append(Finding("test", "test", value, "its labels were never published", NOTE))
    return CheckReport(findings, _format_verdict(findings, videos), videos)


def _read_annotations(layout, split):
    """The rows of a split's csv that can be read, and the findings about its rows."""
    path = layout.get_csv_path(split)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no annotations; prepare or import the data set first")
    # which timestamps the data set may have
    seconds = DEFAULT_SECONDS
    if layout.has_kinetics:
        seconds = (0, float("inf"))  # clips have any second of a YouTube video: see `check_annotations`
    elif layout.is_real_ava:
        seconds = (FIRST_SECOND, LAST_SECOND)
    elif layout.is_own:
        seconds = (layout.start_s, float("inf"))  # videos end at different times: see "keyframes without frames"
    lenient = read_leniently(path, "ground_truth")
    problems = find_row_problems(
        lenient, "ground_truth", layout.load_label_map(), seconds, whole_seconds=not layout.is_own
    )
    table = lenient.table
    # without names that would lead out of the folder of the videos
    names = table.video_id.cat.categories
    table = table[table.video_id.isin([name for name in names if not describe_name_fault(name)])]
    return table.astype({"video_id": str}), [replace(problem, split=split) for problem in problems]


def _format_verdict(findings, videos):
    """One sentence: all right, or which checks failed."""
    wrong = [finding for finding in findings if finding.status == WRONG]
    if wrong:
        failed = "; ".join(f"{finding.check} ({finding.split}): {finding.value}" for finding in wrong)
        return f"{len(wrong)} of {len(findings)} checks failed: {failed}"
    verdict = (
        f"All right: {format_count(len(videos), 'video')}, {format_count(int(videos.keyframes.sum()), 'keyframe')}."
    )
    if n_unreadable := int(videos.unreadable.sum()):
        verdict += f" {n_unreadable} keyframes have no readable frame; training continues without them."
    return verdict


def _check_videos(videos):
    """Yield the checks of the videos of each split. videos: table of `survey_videos`."""
    for split, of_split in videos.groupby("split", sort=False):
        readable = of_split[of_split.frames > 0]
        is_complete = len(readable) == len(of_split)
        yield Finding(
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
        yield Finding(
            check="keyframes without frames",
            split=split,
            value=f"{n_unreadable} ({unreadable_share:.2%})",
            expected=f"at most {MAX_MISSING_SHARE:.0%}",
            status=status,
        )
        yield Finding("size and rate", split, _describe_sizes(readable))


def _list_video_problems(videos, split):
    """The check that names the videos with a problem."""
    # name the first five
    faulty = videos[videos.problem != ""]
    listed = "; ".join(f"{video.video_id}: {video.problem}" for video in faulty[:5].itertuples())
    if len(faulty) > 5:
        listed += f"; and {len(faulty) - 5} more"
    status = NOTE if len(faulty) else OK
    if videos.misnumbered.any():
        status = WRONG
    return Finding("videos with a problem", split, listed or "none", "none", status)


def _describe_sizes(videos):
    """The range of short sides and the frame rates of videos."""
    if len(videos) == 0:
        return "-"
    rates = ", ".join(f"{fps:g}" for fps in sorted(videos.fps.unique())[:8])
    short_sides = videos[["width", "height"]].min(axis=1)
    return f"short side {short_sides.min()} to {short_sides.max()}, {rates} fps"
