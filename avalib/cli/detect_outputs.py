"""The files of `avalib detect VIDEO`: table, video with boxes, web page, files for other tools."""

from dataclasses import dataclass
from pathlib import Path

from avalib.detection.detections_export import export_detections, get_export_path
from avalib.detection.detections_file import check_table_path, write_detections_file
from avalib.draw.video_overlay import check_overlay_path, write_overlay_video
from avalib.draw.video_page import get_page_path, write_video_page
from avalib.utils.files import check_not_input


@dataclass(frozen=True)
class DetectOutputs:
    """Where the files go; None for those that aren't written."""

    table: Path | None
    overlay: Path | None
    page: Path | None
    exports: list[Path]


def list_outputs(options, video, checkpoint):
    """The DetectOutputs of the options.

    Raises ValueError for a suffix that no format has, for one of the files that are read, and for one name given twice.
    """
    outputs = DetectOutputs(
        table=check_table_path(options.csv) if options.csv else None,
        overlay=check_overlay_path(options.out) if options.out else None,
        page=get_page_path(options.html) if options.html else None,
        exports=[get_export_path(path) for path in options.export],
    )
    paths = [path for path in (outputs.table, outputs.overlay, outputs.page, *outputs.exports) if path]
    for path in paths:
        check_not_input(path, video, options.boxes, checkpoint)
        if paths.count(path) > 1:
            raise ValueError(f"{path}: two outputs have this name")
    return outputs


def write_outputs(outputs, video, table, options):
    """Write the files, and print their names."""
    if outputs.table:
        write_detections_file(table, outputs.table)
        print(f"written: {outputs.table}")
    if outputs.overlay:
        write_overlay_video(
            outputs.overlay,
            video,
            table,
            start=options.start,
            stop=options.stop,
            width=options.width,
            score_threshold=options.draw_threshold,
            top_k=options.top_k,
            quality=options.quality,
        )
        print(f"written: {outputs.overlay}")
    if outputs.page:
        write_video_page(outputs.page, video, table, options.draw_threshold, options.top_k)
        print(f"written: {outputs.page}")
    for path in outputs.exports:
        export_detections(table, video, path, options.draw_threshold)
        print(f"written: {path}")
