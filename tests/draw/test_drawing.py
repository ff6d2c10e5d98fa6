"""Pictures say what the tables say: boxes follow people, tags stay legible and apart, plots carry the numbers."""

import base64
import json
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from avalib import draw
from avalib.data.layout import DatasetLayout
from avalib.data.row_checks import BOX_COLUMNS
from avalib.draw.annotate import _arrange, annotate_frame
from avalib.draw.colors import GROUP_COLORS, PERSON_COLORS, to_rgb
from avalib.draw.label_layout import (
    WHITE,
    arrange_stacks,
    build_line,
    build_model_stack,
    build_person_stack,
    build_stack,
    compute_extent,
    compute_overlap,
    measure_text,
)
from avalib.draw.people import Person, interpolate_people, select_people
from avalib.draw.plots import _best_proposals
from avalib.evaluation.evaluator import evaluate
from avalib.utils import experiment
from avalib.video.clip_stream import find_cuts
from avalib.video.reader import Video
from avalib.video.writer import write_mp4

SIZE = (160, 120)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def rows(video_id, timestamp, box, actions, **columns):
    base = {"video_id": video_id, "timestamp": float(timestamp), **dict(zip(BOX_COLUMNS, box, strict=True))}
    return [base | {"action_id": action} | {k: v[i] for k, v in columns.items()} for i, action in enumerate(actions)]


def square_at(time_s):
    """The box (fractions) of the bright square that the test video shows at AVA's second `time_s`: right and down."""
    x, y = 0.1 + 0.1 * (time_s - 900), 0.2 + 0.05 * (time_s - 900)
    return np.array([x, y, x + 0.25, y + 0.4])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A layout with one video, seconds 900 to 906, its ground truth and detections: a square that moves."""
    layout = DatasetLayout(tmp_path_factory.mktemp("world"), "mini")
    frames = []
    for n in range(180):
        frame = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
        x1, y1, x2, y2 = (square_at(900 + n / 30) * [*SIZE, *SIZE]).round().astype(int)
        frame[y1:y2, x1:x2] = 230
        frames.append(frame)
    write_mp4(layout.videos / "AAAAAAAAAAA.mp4", frames, 30)
    truth, detections = [], []
    for t in range(901, 906):
        truth += rows("AAAAAAAAAAA", t, square_at(t), [12, 80], person_id=[7, 7])
        detections += rows("AAAAAAAAAAA", t, square_at(t) + 0.01, [12, 80, 14], score=[0.9, 0.4, 0.05])
    return layout, pd.DataFrame(truth), pd.DataFrame(detections)


def test_rows_become_people():
    table = rows("v", 902, (0.1, 0.1, 0.3, 0.9), [80, 12, 14], score=[0.4, 0.9, 0.1])
    table += rows("v", 902, (0.5, 0.1, 0.7, 0.9), [11], score=[0.2])
    first, second = select_people(pd.DataFrame(table))
    assert first.labels == ((12, 0.9), (80, 0.4), (14, 0.1)) and np.allclose(second.box, (0.5, 0.1, 0.7, 0.9))
    assert first.keeping(score_threshold=0.3).labels == ((12, 0.9), (80, 0.4))
    assert first.keeping(top_k=1).labels == ((12, 0.9),) and first.keeping(actions={14}).labels == ((14, 0.1),)
    known = select_people(pd.DataFrame(rows("v", 902, (0, 0, 1, 1), [12, 80], person_id=[3, 3])))
    assert known[0].person_id == 3 and known[0].labels == ((12, None), (80, None))


def test_between_keyframes_boxes_lie_on_the_line():
    box = np.array([0.1, 0.1, 0.2, 0.5])
    moments = {
        902.0: [Person(box, ((12, None),), 1), Person(box + 0.4, ((11, None),), 2)],
        903.0: [Person(box + 0.2, ((14, None),), 1)],
    }
    (person,) = interpolate_people(moments, 902.75)
    assert np.allclose(person.box, box + 0.15) and person.labels == ((14, None),)
    assert [p.person_id for p in interpolate_people(moments, 902.25)] == [1, 2]
    assert np.allclose(interpolate_people(moments, 902.25, cuts=[902.5])[0].box, box)  # the line ends at a cut
    assert interpolate_people(moments, 905.5) == []


def test_boxes_follow_the_square_in_every_frame(world):
    layout, truth, detections = world
    scene = draw.load_scene(layout, truth, detections, start=901, seconds=4, fps=10)
    assert (scene.video_id, len(scene.frames), scene.keyframes) == ("AAAAAAAAAAA", 40, (901.0, 902.0, 903.0, 904.0))
    for frame, told, seen in zip(scene.frames, scene.truth, scene.detections, strict=True):
        y, x = np.nonzero(frame[..., 0] > 130)
        shown = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / [*SIZE, *SIZE]
        assert np.abs(told[0].box - shown).max() < 0.02 and np.abs(seen[0].box - shown - 0.01).max() < 0.02
    assert len({person[0].person_id for person in scene.detections}) == 1


def test_a_cut_is_seen():
    frames = np.full((10, 60, 80, 3), 60, np.uint8)
    frames[6:] = 160
    assert find_cuts(frames, np.arange(10) / 10).tolist() == [0.6]


@pytest.mark.parametrize("size", [(320, 180), (320, 240), (1920, 1080)])
def test_tags_stay_in_the_frame_and_apart(size):
    """A property of any picture: however many people, wherever they are, whatever they do."""
    rng = np.random.default_rng(0)
    px = measure_text(size[1], size[0])
    for case in range(30):
        people_count = int(rng.integers(1, 25 if case % 3 else 5))
        corner = rng.uniform(-0.1, 1.0, (people_count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0, 0.6, (people_count, 2))], axis=1).clip(0, 1)
        boxes = list((boxes * [*size, *size]).astype(int))
        chosen = [rng.integers(1, 81, rng.integers(0, 7)) for _ in boxes]
        scores = ("number", "bar", "none")[case % 3]
        stacks = [[build_line(int(a), 0.5, None, px, size[0], scores) for a in labels] for labels in chosen]
        title = (0, 0, 12 * px, 2 * px)
        before = [int(n) for n in rng.integers(0, 50, people_count)] if case % 2 else None
        found, left_out = arrange_stacks(stacks, boxes, size, px, [title], before)
        areas = [title, *(spot[1] for spot in found if spot)]
        for i, (x1, y1, x2, y2) in enumerate(areas):
            assert 0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1]
            assert not any(compute_overlap(areas[i], other) for other in areas[:i])
        for spot in found:
            assert spot is None or compute_extent(spot[0], px) == (spot[1][2] - spot[1][0], spot[1][3] - spot[1][1])
        shown = sum(len(spot[0]) for spot in found if spot)
        assert shown + left_out == sum(map(len, stacks))
        if people_count <= 4 and size[0] == 1920:
            assert left_out == 0


def test_nobody_paints_over_tags():
    """What `arrange` promises is what `overlay` paints: down every stack's edge there is its own colour alone."""
    rng = np.random.default_rng(1)
    frame = np.full((240, 320, 3), 128, np.uint8)
    for _ in range(10):
        corner = rng.uniform(0, 0.7, (5, 2))
        crowd = [Person(np.r_[c, c + 0.25], ((12, 0.9), (80, 0.4)), i) for i, c in enumerate(corner)]
        picture = draw.annotate_frame(frame, crowd, "person", "a title")
        boxes = [np.clip(np.round(p.box * [320, 240, 320, 240]).astype(int), 0, [319, 239] * 2) for p in crowd]
        stacks = [build_stack(p.labels, None, 12, 320, prefix=f"{p.person_id}: ") for p in crowd]
        _, found = _arrange(stacks, boxes, (320, 240), 12, "a title", [None] * 5)
        for person, (_, (x, y, _, bottom), _) in zip(crowd, found, strict=True):
            assert (picture[y:bottom, x + 1] == build_person_stack(person.person_id)["line"]).all()


def test_what_has_no_room_is_counted_in_the_title():
    frame = np.full((60, 120, 3), 128, np.uint8)
    crowd = [Person(np.array([0.1, 0.1, 0.9, 0.9]), tuple((a, 0.5) for a in range(1, 9)), i) for i in range(9)]
    found, left_out = arrange_stacks(
        [[("walk 0.50", None)] * 8] * 9, [np.array([12, 6, 108, 54])] * 9, (120, 60), 12, [(0, 0, 110, 18)]
    )
    assert left_out > 60 and sum(spot is not None for spot in found) >= 1
    title, _ = _arrange(
        [[("walk 0.50", None)] * 8] * 9, [np.array([12, 6, 108, 54])] * 9, (120, 60), 12, "at", [None] * 9
    )
    assert title.startswith("at +") and title.endswith(" labels")
    assert not (draw.annotate_frame(frame, crowd, title="at") == draw.annotate_frame(frame, crowd)).all()


def test_overlay_draws_on_a_copy_in_its_colours():
    frame = np.full((240, 320, 3), 128, np.uint8)
    person = Person(np.array([0.3, 0.1, 0.9, 0.95]), ((12, 0.93), (80, 0.5)))
    blue, green = (annotate_frame(frame, [person], colour) for colour in (draw.BLUE, draw.GREEN))
    assert (frame == 128).all() and blue.shape == frame.shape
    for picture, colour in ((blue, draw.BLUE), (green, draw.GREEN)):
        for part in (colour["line"], *colour["tags"][:2], WHITE):
            assert (picture == part).all(-1).sum() > 50, part
    assert not (blue == draw.GREEN["line"]).all(-1).any()
    y, x = np.nonzero((blue == draw.BLUE["line"]).all(-1))
    assert abs(x.min() - 96) <= 1 and abs(x.max() - 288) <= 1 and abs(y.max() - 228) <= 1


def contrast(a, b):
    """WCAG 2's contrast of two colours, 1..21."""
    light = [np.where((c := np.array(v) / 255) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for v in (a, b)]
    high, low = sorted((float(v @ [0.2126, 0.7152, 0.0722]) for v in light), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_tags_are_legible_and_the_lines_differ_in_brightness():
    for colour in (draw.BLUE, draw.GREEN):
        assert min(contrast(tag, WHITE) for tag in colour["tags"]) >= 4.5
    others = [build_person_stack(i) for i in range(7)] + [build_model_stack(name) for name in draw.MODEL_COLORS]
    assert all(contrast(style["tags"][0], style["text"]) >= 4.5 for style in others)
    assert contrast(draw.BLUE["line"], draw.GREEN["line"]) > 1.7  # told apart without seeing colour


def test_people_are_told_apart_by_all_kinds_of_eyes():
    """Distances in CIELAB of the people's colours as seen without one kind of cones (Machado et al. 2009)."""
    eyes = {
        "all three": np.eye(3),
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    }
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    shown = np.array([to_rgb(colour) for colour in PERSON_COLORS]) / 255
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    for kind, seen in eyes.items():
        x, y, z = np.cbrt((linear @ np.transpose(seen)).clip(0, 1) @ xyz.T / [0.9505, 1, 1.089]).T
        lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(len(lab), 1)]
        assert apart.min() > 20, (kind, apart.min())


def test_long_names_are_shortened_to_the_frame():
    names = {1: "an extraordinarily long name of an action that nobody can read"}
    line, bar = build_line(1, 0.5, names, 12, 160)
    assert line.endswith("… 0.50") and bar is None and compute_extent([(line, bar)], 12)[0] <= 160
    line, bar = build_line(1, 0.5, names, 12, 160, "bar")
    assert line.endswith("…") and bar == 0.5 and compute_extent([(line, bar)], 12)[0] <= 160
    with pytest.raises(ValueError, match="scores='bars'"):
        build_line(1, 0.5, names, 12, 160, "bars")


def test_side_by_side_gif_and_mp4(world, tmp_path):
    layout, truth, detections = world
    scene = draw.load_scene(layout, truth, detections, start=902, seconds=1, fps=10)
    frames = draw.render_side_by_side(scene, width=200, score_threshold=0.3)
    left, right = frames[0][:, :200], frames[0][:, 204:]
    assert len(frames) == 10 and frames[0].shape == (150, 404, 3)
    assert (left == draw.BLUE["line"]).all(-1).any() and (right == draw.GREEN["line"]).all(-1).any()
    assert not (left == draw.GREEN["line"]).all(-1).any()
    nobody = draw.render_side_by_side(scene, width=200, score_threshold=0.95)
    assert not (nobody[0] == draw.GREEN["line"]).all(-1).any()
    alone = draw.render_side_by_side(draw.load_scene(layout, truth, start=902, seconds=1), width=200)
    assert alone[0].shape == (150, 200, 3)

    gif = draw.save_gif(tmp_path / "a.gif", frames, 10)
    with Image.open(gif) as opened:
        assert opened.n_frames == 10 and (np.asarray(opened.convert("RGB")) == draw.BLUE["line"]).all(-1).any()
    small = draw.save_gif(tmp_path / "b.gif", frames, 10, colours=48)
    assert small.stat().st_size < gif.stat().st_size
    with pytest.raises(ValueError, match="b.gif: expected .* to 256 colors, got 12"):
        draw.save_gif(tmp_path / "b.gif", frames, 10, colours=12)
    page = draw.show_gif(gif).data
    assert base64.b64decode(page.split("base64,")[1].split('"')[0]) == gif.read_bytes() and page.startswith("<img")
    movie = draw.save_mp4(tmp_path / "a.mp4", frames, 10)
    assert "<video" in draw.show_mp4(movie).data
    with Video(movie) as opened:
        assert (opened.n_frames, opened.width) == (10, 404)


def test_annotation_under_the_prediction_bars_and_one_person(world):
    layout, truth, detections = world
    scene = draw.load_scene(
        layout, truth, {"slowonly_r50": detections, "slowfast_r50": detections}, start=902, seconds=1
    )
    assert list(scene.rows) == ["slowonly_r50", "slowfast_r50"] and scene.detections is scene.rows["slowonly_r50"]
    assert {p.person_id for p in scene.detections[0]} == {7}  # the annotated person's id
    three = draw.render_side_by_side(scene, width=200)
    assert three[0].shape == (150, 608, 3) and draw.render_side_by_side(scene, 200, columns=2)[0].shape == (304, 404, 3)
    under = draw.render_side_by_side(scene, width=200, overlaid=True)[0]
    assert under.shape == (150, 404, 3)
    assert all((half == colour["line"]).all(-1).sum() > 30 for half in (under[:, :200], under[:, 204:])
               for colour in (draw.BLUE, draw.GREEN))  # fmt: skip
    bars = draw.render_side_by_side(scene, width=200, scores="bar")[0]
    assert (bars != three[0]).any() and bars.shape == three[0].shape
    owned = draw.render_side_by_side(scene, width=200, by_person=True)[0]
    mine = build_person_stack(7)["line"]
    assert (owned[:, :200] == mine).all(-1).any() and (owned[:, 204:404] == mine).all(-1).any()
    nobody = draw.render_side_by_side(scene, width=200, picked=99)[0]
    assert not (nobody == draw.BLUE["tags"][0]).all(-1).any()  # everybody else keeps a grey box without labels
    table = scene.table("slowonly_r50")
    assert set(table.person_id) == {7} and table.score.max() == 0.9 and set(scene.table().score) == {1.0}


def test_a_scene_of_any_video(world):
    layout, truth, detections = world
    table = detections.assign(time_s=detections.timestamp - 900, person_id=3).drop(columns=["video_id", "timestamp"])
    scene = draw.load_video_scene(layout.videos / "AAAAAAAAAAA.mp4", table, start=1, seconds=2, fps=5)
    assert len(scene.frames) == 10 and scene.keyframes == (1.0, 2.0) and np.allclose(scene.times_s[:3], [1, 1.2, 1.4])
    for frame, seen in zip(scene.frames, scene.detections, strict=True):
        y, x = np.nonzero(frame[..., 0] > 130)
        shown = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / [*SIZE, *SIZE]
        assert np.abs(seen[0].box - shown - 0.01).max() < 0.02 and seen[0].person_id == 3
    assert draw.render_side_by_side(scene, width=200)[0].shape == (150, 200, 3)
    with pytest.raises(ValueError, match="start 9 s: .*AAAAAAAAAAA.mp4 is 6.0 s long"):
        draw.load_video_scene(layout.videos / "AAAAAAAAAAA.mp4", table, start=9)


def test_scenes_that_are_not_there(world):
    layout, truth, _ = world
    with pytest.raises(ValueError, match="'nobody': not annotated here; there are AAAAAAAAAAA"):
        draw.load_scene(layout, truth, video="nobody")
    with pytest.raises(ValueError, match="start 990: video AAAAAAAAAAA has the seconds 900 to 906"):
        draw.load_scene(layout, truth, start=990)


def test_sheets(world):
    layout, truth, _ = world
    frames = [np.full((30, 40, 3), v, np.uint8) for v in (10, 100, 200)]
    sheet = np.asarray(draw.draw_contact_sheet(frames, columns=2))
    assert sheet.shape == (64, 84, 3) and sheet[40, 10, 0] == 200 and sheet[10, 60, 0] == 100
    with pytest.raises(ValueError, match="no frames"):
        draw.draw_contact_sheet([])
    keyframes = np.asarray(draw.draw_keyframe_sheet(layout, "val", truth, count=2, columns=2, width=160, caption=None))
    assert keyframes.shape == (120, 324, 3)
    titled = np.asarray(draw.draw_keyframe_sheet(layout, "val", truth, count=2, columns=2, width=160))
    assert titled.shape[0] > 120 and (titled[-120:] == keyframes).all()
    assert all((half == draw.BLUE["line"]).all(-1).any() for half in (keyframes[:, :160], keyframes[:, 164:]))


# --- plots ----------------------------------------------------------------------------------------------------------


def words(figure):
    """All that is written in a figure."""
    return " | ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@pytest.fixture(scope="module")
def report(world):
    _, truth, detections = world
    return evaluate(truth, detections, label_map={12: "stand", 80: "watch (a person)", 14: "walk"})


def test_training_curves_from_rows_and_from_the_file(tmp_path):
    log = [
        {"mode": "train", "epoch": 1, "iteration": i + 1, "lr": 0.1, "loss_action_cls": 1 / (i + 1)} for i in range(9)
    ]
    assert "no validation yet" in words(draw.plot_training_curves(log))
    log += [{"mode": "val", "epoch": e, "iteration": 9, "mAP@0.5IOU": m} for e, m in ((1, 0.2), (2, 0.375), (3, 0.3))]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    for given in (log, pd.DataFrame(log), path):
        figure = draw.plot_training_curves(given)
        loss, rate, score = figure.axes
        assert loss.lines[0].get_ydata().tolist() == [1 / (i + 1) for i in range(9)]
        assert score.lines[0].get_ydata().tolist() == [0.2, 0.375, 0.3] and "best 0.375" in words(figure)
        assert all(axis.get_xlabel() and axis.get_ylabel() and axis.get_title() for axis in figure.axes)


@pytest.mark.slow
def test_notebooks_show_every_figure():
    """A notebook turns matplotlib interactive at its first figure, whoever draws it; then a cell's figures show."""
    code = """
import nbformat, nbclient
cell = "import pandas; from avalib import draw; t = pandas.DataFrame({'action_id': [12]}); f = draw.class_counts(t, t)"
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for _ in range(2)])
nbclient.NotebookClient(notebook).execute()
assert all("image/png" in cell.outputs[0].data for cell in notebook.cells)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_live_curves_draw_now_and_then(capsys):
    row = {"mode": "train", "epoch": 1, "iteration": 1, "lr": 0.1, "loss_action_cls": 0.3}
    live = draw.LiveCurves(seconds=60)
    for n in range(1, 4):
        live([row] * n)
    assert capsys.readouterr().out.count("Figure") == 1
    assert not plt.get_fignums()


def test_actions_stand_at_their_boxes_and_precision(report):
    rows = report.per_class[["action", "group", "AP"]].dropna().head(6)
    table = rows.assign(training_boxes=[0, 3, 3, 40, 40, 900][: len(rows)])
    axis = draw.plot_ap_by_training(table).axes[0]
    points = axis.collections[0].get_offsets().data
    np.testing.assert_allclose(points[:, 0], table["training_boxes"].clip(lower=1))
    np.testing.assert_allclose(points[:, 1], table["AP"])
    places = [text.get_window_extent() for text in axis.texts]
    assert places and not any(a.overlaps(b) for i, a in enumerate(places) for b in places[:i])


def test_class_bars_are_the_average_precisions(report):
    figure = draw.plot_per_class(report, baseline=report)
    left, right = figure.axes
    table = report.per_class.dropna(subset=["AP"]).sort_values("AP", ascending=False, kind="stable")
    assert [bar.get_width() for bar in left.patches] == table["AP"].tolist()
    assert [bar.get_width() for bar in right.patches] == table["ground_truth"].tolist()
    assert [label.get_text() for label in left.get_yticklabels()] == [a.split(" (")[0] for a in table["action"]]
    assert f"mAP {report.mAP:.3f}" in words(figure) and "1 actions without boxes" in words(figure)
    assert left.patches[0].get_facecolor() == matplotlib.colors.to_rgba(GROUP_COLORS[table["group"].iloc[0]])


def test_figures_and_sheets_name_their_run(report, monkeypatch):
    monkeypatch.setattr(experiment, "get_run_caption", lambda: "04_evaluate: slowonly_r50 on mini, seed 0")
    assert "04_evaluate: slowonly_r50 on mini, seed 0" in words(draw.plot_pr_curves(report, [12]))
    frames = [np.full((90, 120, 3), 200, np.uint8)] * 2
    plain, told = draw.draw_contact_sheet(frames), draw.draw_contact_sheet(frames, caption="What one should see")
    assert told.width == plain.width == 244 and told.height > plain.height
    assert (np.asarray(told)[-90:] == np.asarray(plain)).all()


def test_precision_recall_curves(report):
    figure = draw.plot_pr_curves(report, [12, "watch (a person)"])
    assert "stand: AP 1.00, 5 boxes" in words(figure) and len(figure.axes[0].lines) == 4


def test_class_counts(world):
    _, truth, _ = world
    figure = draw.plot_class_counts(truth, truth[truth.timestamp < 903])
    axis = figure.axes[0]
    assert [bar.get_width() for bar in axis.patches] == [5, 5]
    assert axis.lines[0].get_xdata().tolist() == [2, 2] and "78 of 80 actions do not occur" in words(figure)


def test_proposal_recall_counts_people(world):
    _, truth, _ = world
    first = truth.drop_duplicates("timestamp")[["video_id", "timestamp", *BOX_COLUMNS]]
    proposals = first[first.timestamp < 904].assign(score=0.9)
    best, score, per_frame = _best_proposals(truth, proposals)
    assert best.tolist() == [1, 1, 1, 0, 0] and score.tolist() == [0.9, 0.9, 0.9, -1, -1]
    assert (per_frame(0), per_frame(0.95)) == (0.6, 0)
    figure = draw.plot_proposal_recall({"val": (truth, proposals)})
    assert "val: 0.600 at IoU 0.5, 5 people" in words(figure)


def test_the_network_in_blocks():
    rows = [
        ("clips", "frames", "3x4x64x64", 0),
        ("slow_path.conv1", "stem conv 1x7x7, stride 1x2x2", "64x4x32x32", 9536),
        ("fast_path.conv1", "stem conv 5x7x7", "8x32x32x32", 5896),
        ("slow_path.conv1_lateral", "lateral conv 5x1x1", "16x4x16x16", 640),
        ("logits", "linear 2304 -> 81", "81", 186705),
    ]
    figure = draw.plot_stage_shapes(pd.DataFrame(rows, columns=["stage", "what", "output", "parameters"]))
    text = words(figure)
    for part in ("64x4x32x32", "8x32x32x32", "+16 channels", "9,536 parameters", "(0.2 M parameters)", "fast pathway"):
        assert part in text
    assert len(figure.axes[0].patches) >= 4 + 4 + 32 + 1  # a sheet a frame


def test_features_and_rois():
    rng = np.random.default_rng(0)
    logits = np.full((2, 81), -5.0)
    logits[0, 12] = 5
    followed = {"clips": rng.random((1, 3, 4, 16, 16)), "backbone.conv1": rng.random((1, 8, 4, 8, 8)),
                "RoIAlign": rng.random((2, 8, 8, 8)), "logits": logits}  # fmt: skip
    figure = draw.plot_feature_maps(followed)
    assert "conv1\n8x4x8x8" in words(figure) and "stand" in words(figure)
    figure = draw.plot_roi_on_frame(np.zeros((64, 64, 3), np.uint8), (10, 10, 30, 60), followed["RoIAlign"][0])
    assert np.allclose(figure.axes[2].images[0].get_array(), followed["RoIAlign"][0].mean(0))
