"""`avalib detect VIDEO`: people and actions in one video."""

from pathlib import Path

from avalib.cli.commands import find_run
from avalib.utils.credentials import hide_credentials
from avalib.utils.download import is_url


def run_detect_single(options):
    """Detect in one video; print the likeliest actions, write the files. Returns the exit status."""
    if len(options.videos) != 1:
        raise ValueError("expected one video; many need --out-dir FOLDER, a camera --live 0")
    (video,) = options.videos
    if not is_url(video) and not Path(video).is_file():
        raise FileNotFoundError(f"{hide_credentials(video)}: no such video; folders, globs and lists need --out-dir")
    _, checkpoint = find_run(options)
    from avalib.cli.detect_outputs import list_outputs, write_outputs
    from avalib.detection.detect_video import detect

    # A wrong name is an error before the work begins.
    outputs = list_outputs(options, video, checkpoint)
    table = detect(
        video,
        options.model,
        checkpoint,
        options.boxes,
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
        boxes_start=options.boxes_start,
    )
    # For the console: the likeliest action of each person at each time, the first twenty.
    best = table.sort_values("score", ascending=False).drop_duplicates(["time_s", "person_id"]).sort_values("time_s")
    print(best.head(20).to_string(index=False, float_format="%.2f"))
    write_outputs(outputs, video, table, options)
    return 0
