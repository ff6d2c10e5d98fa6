"""A step of the workbench's slider beside the same picture made without what it keeps: milliseconds and the ratio.

    python benchmarks/bench_workbench.py [--dataset mini] [--repeats 5]

Seven models beside the annotation (the annotation itself, scored at random: no model is needed), the first val video.
Baseline, in the same run: decode the frame from the video, scale, draw, encode. Medians over the steps of each repeat.
"""

import io
import statistics
import time

import numpy as np
from common import build_parser, compare, record
from PIL import Image

from avalib import draw, zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.data.catalog import prepare
from avalib.video.frame_numbers import to_frame_number
from avalib.video.reader import Video
from avalib.video.resize import resize_to_width

STEPS = 30


def build_random_detections(truth):
    """{model: detections}: every annotated box with every action of the split, scored at random."""
    boxes = truth.drop(columns=["person_id", "action_id"]).drop_duplicates()
    every = boxes.merge(truth[["action_id"]].drop_duplicates(), how="cross")
    return {
        m: every.assign(score=np.random.default_rng(i).random(len(every))) for i, m in enumerate(zoo.DEFAULT_MODELS)
    }


def measure_median_ms(run, steps):
    """Median milliseconds of do(i) over some steps."""
    times = []
    for i in steps:
        started = time.perf_counter()
        run(i)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def main():
    parser = build_parser("workbench", __doc__)
    parser.add_argument("--dataset", default="mini")
    options = parser.parse_args()
    layout = prepare(options.dataset)
    truth = read_ava_csv(layout.get_csv_path("val"), "ground_truth")
    bench = draw.open_workbench(layout, truth, build_random_detections(truth))
    scene = bench.scene
    reader = Video(layout.find_video(scene.video_id))
    width = bench.render_frame(0).shape[1] // 4

    def step(i):
        bench.controls.time.value = i

    def plain(i):
        number = to_frame_number(scene.times_s[i], layout.start_s)
        frame = resize_to_width(reader.read_ava_frames([number])[0], width)
        picture = draw.SceneRenderer(scene).render(i, frame)
        Image.fromarray(picture).save(io.BytesIO(), "JPEG", quality=88)

    steps = np.linspace(0, len(scene.frames) - 1, STEPS).astype(int).tolist()
    measure_median_ms(step, steps), measure_median_ms(plain, steps[:3])  # fonts and frames are loaded
    ours, theirs = [], []
    for _ in range(options.repeats):
        ours.append(measure_median_ms(step, steps[::-1] if len(ours) % 2 else steps))
        theirs.append(measure_median_ms(plain, steps))
    a, b = statistics.median(ours), statistics.median(theirs)
    what = f"a step of the workbench's slider with {len(scene.predictions)} models, decoded and drawn again"
    record("workbench", [compare(what, a, b, "ms")], options)


if __name__ == "__main__":
    main()
