"""`avalib detect VIDEOS… --out-dir DIR`: many videos to tables."""

from functools import partial
from pathlib import Path

from avalib.cli.commands import find_run


def run_detect_folder(options):
    """Detect in many videos; print the failed ones. Returns 1 if there are any."""
    # The videos, and the folder of the run, before torch is loaded.
    from avalib.detection.video_list import list_videos

    list_videos(options.videos, out_dir=options.out_dir)
    _, checkpoint = find_run(options)
    from avalib.detection.detect_many import detect_many
    from avalib.draw.video_overlay import write_overlay_video

    write_overlay = partial(
        write_overlay_video,
        start=options.start,
        stop=options.stop,
        width=options.width,
        score_threshold=options.draw_threshold,
        top_k=options.top_k,
        quality=options.quality,
    )
    manifest = detect_many(
        options.videos,
        options.out_dir,
        options.model,
        checkpoint,
        format=options.format,
        engine=options.engine,
        workers=options.workers,
        cores=options.cores,
        shard=options.shard,
        write_overlay=write_overlay if options.overlay else None,
        overlay_suffix=f".{options.overlay or 'mp4'}",
        step=options.step,
        start=options.start,
        stop=options.stop,
        detector=options.detector,
        detector_weights=options.detector_weights,
        detector_step=options.detector_step,
        person_score=options.person_score,
        smooth=options.smooth,
        score_threshold=options.score_threshold,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
    )
    return report_manifest(manifest, Path(options.out_dir))


def report_manifest(manifest, folder):
    """Print what has become of the videos. Returns the exit status."""
    failed = manifest[manifest["state"] == "failed"]
    hours = manifest["video_s"].sum() / 3600
    print(f"{len(manifest) - len(failed)} of {len(manifest)} videos, {hours:.2f} hours; {len(failed)} failed")
    for row in failed.itertuples():
        print(f"  {row.error}")
    print(f"written: {folder}")
    return 1 if len(failed) else 0
