"""Draw the same seconds as every model has detected them, side by side, as one GIF.

    python tools/draw_zoo_gif.py --dataset mini

The GIF, an mp4 and a record go to the runs that it shows; files under outputs/figures are copied by hand.
"""

import argparse

from avalib.data.ava_csv import read_ava_csv
from avalib.data.catalog import DATASETS, prepare
from avalib.draw.predictions import load_predictions
from avalib.draw.render import RenderOptions
from avalib.draw.zoo_gif import write_zoo_gif
from avalib.utils.console import allow_any_text, show_log_messages
from avalib.utils.experiment import ExperimentRecord
from avalib.utils.files import compute_sha256
from avalib.utils.run_folder import get_run_folder


def parse_options(arguments=None):
    """The options of the command line, with the default of --out filled in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mini", choices=DATASETS)
    parser.add_argument("--data-seed", type=int, default=0, help="seed of the rendered mini-AVA")
    parser.add_argument("--output-dir", default="outputs/runs", help="folder of all runs")
    parser.add_argument("--tag", default="", help="suffix of the runs' folders, as in notebook 03")
    parser.add_argument("--out", help="the GIF (default: grid/zoo.gif among the runs)")
    parser.add_argument("--video", default="", help="a val video's id (default: the one with the most actions)")
    parser.add_argument("--start", type=float, help="first second, 902 … (default: where most happens)")
    parser.add_argument("--seconds", type=float, default=10, help="duration")
    parser.add_argument("--fps", type=float, default=3, help="pictures per second")
    parser.add_argument("--width", type=int, default=200, help="of each panel, in pixels")
    parser.add_argument("--score-threshold", type=float, default=0.3, help="lower scores are not drawn")
    parser.add_argument("--top-k", type=int, default=1, help="labels per person")
    options = parser.parse_args(arguments)
    if not options.out:
        options.out = str(get_run_folder(options.output_dir, options.dataset, "grid", options.tag) / "zoo.gif")
    return options


def main(arguments=None):
    """Write the GIF, an mp4 and the record of what is shown."""
    options = parse_options(arguments)
    record = ExperimentRecord("zoo_gif", vars(options))
    try:
        predictions = load_predictions(options.output_dir, options.dataset, tag=options.tag)
        layout = prepare(options.dataset, options.data_seed)
        path, scene = write_zoo_gif(
            layout,
            read_ava_csv(layout.get_csv_path("val"), "ground_truth"),
            predictions,
            options.out,
            RenderOptions(score_threshold=options.score_threshold, top_k=options.top_k),
            video=options.video,
            start=options.start,
            seconds=options.seconds,
            fps=options.fps,
            width=options.width,
        )
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    # The record names the detections that the GIF shows.
    for model in predictions:
        folder = get_run_folder(options.output_dir, options.dataset, model, options.tag)
        detections = folder / "evaluate" / "detections.csv"
        record.hashes[f"{model}/evaluate/detections.csv"] = compute_sha256(detections)
    record.finish(
        path.with_suffix(".json"),
        written=[path, path.with_suffix(".mp4")],
        video=scene.video_id,
        seconds=[scene.start, scene.stop],
        models=list(predictions),
    )


if __name__ == "__main__":
    allow_any_text()
    show_log_messages()
    main()
