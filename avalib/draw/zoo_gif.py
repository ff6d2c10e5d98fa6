"""All rows that have detections over the same seconds, as one GIF.

python -m avalib.draw.zoo_gif --dataset mini

It lands among the runs that it shows; what is committed under outputs/figures is put there by hand or by publish.
"""

import argparse
from pathlib import Path

from avalib import zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.data.catalog import DATASETS, prepare
from avalib.draw.model_detections import find_model_detections
from avalib.draw.render import render_side_by_side, save_gif, save_mp4
from avalib.draw.scene import load_scene
from avalib.draw.sheets import add_caption
from avalib.utils.console import allow_any_text
from avalib.utils.experiment import ExperimentRecord
from avalib.utils.files import compute_sha256
from avalib.utils.run_folder import get_run_folder

ORDER = "annotated, then the rows of the zoo; green: what they say, its score"


def write_zoo_gif(layout, truth, rows, out, video="", start=None, seconds=10, fps=3, width=200, **look):
    """Write the GIF and an mp4 beside it; -> (path of the GIF, Scene).

    rows: {name: detections}; video, start: None and "" take what is liveliest; fps: pictures a second; width: of each
    panel, in pixels; look: see side_by_side.
    """
    cut = load_scene(layout, truth, rows, video, start, seconds, fps, label_map=None)
    words = (
        f"{cut.video_id}, {cut.start:.0f} to {cut.stop:.0f} s, {len(rows)} of {len(zoo.list_models())} rows: {ORDER}"
    )
    frames = [add_caption(frame, words) for frame in render_side_by_side(cut, width, **look)]
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_mp4(Path(out).with_suffix(".mp4"), frames, fps)
    return save_gif(out, frames, fps, colours=64), cut  # under 2 MB, small enough for git


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mini", choices=DATASETS)
    parser.add_argument("--data-seed", type=int, default=0, help="what the mini is rendered from")
    parser.add_argument("--output-dir", default="outputs/runs", help="where the rows' runs are")
    parser.add_argument("--tag", default="", help="the runs' tag, as in notebook 03")
    parser.add_argument("--out", help="the GIF, an mp4 and a record beside it (default: grid/rows.gif among the runs)")
    parser.add_argument("--video", default="", help="a val video's id; default: the one with the most actions")
    parser.add_argument("--start", type=float, help="second to begin at (902 …); default: the liveliest")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--fps", type=float, default=3, help="pictures a second")
    parser.add_argument("--width", type=int, default=200, help="of each panel, in pixels")
    parser.add_argument("--score-threshold", type=float, default=0.3)
    parser.add_argument("--top-k", type=int, default=1, help="labels a person")
    told = vars(parser.parse_args(arguments))
    told["out"] = told["out"] or str(
        get_run_folder(told["output_dir"], told["dataset"], "grid", told["tag"]) / "rows.gif"
    )
    record = ExperimentRecord("rows_gif", dict(told))
    try:
        rows = find_model_detections(told["output_dir"], told["dataset"], tag=told["tag"])
        layout = prepare(told["dataset"], told["data_seed"])
        truth = read_ava_csv(layout.get_csv_path("val"), "ground_truth")
        options = {k: told[k] for k in ("out", "video", "start", "seconds", "fps", "width", "score_threshold", "top_k")}
        path, cut = write_zoo_gif(layout, truth, rows, **options)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    for name in rows:
        folder = get_run_folder(told["output_dir"], told["dataset"], name, told["tag"])
        record.hashes[f"{name}/evaluate/detections.csv"] = compute_sha256(folder / "evaluate" / "detections.csv")
    missing = [name for name in zoo.list_models() if name not in rows]
    facts = {"video": cut.video_id, "seconds": [cut.start, cut.stop], "rows": list(rows), "rows_missing": missing}
    record.finish(path.with_suffix(".json"), written=[path, path.with_suffix(".mp4")], **facts)


if __name__ == "__main__":
    allow_any_text()
    main()
