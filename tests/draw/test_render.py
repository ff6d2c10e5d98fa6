"""Scenes as panels side by side, as GIF and as mp4: the pixels show what the options say."""

import base64

import numpy as np
import pytest
from figures import has_color
from PIL import Image

from avalib import draw
from avalib.draw.box_styles import GRAY, UNSURE, build_person_style
from avalib.draw.render import SceneRenderer
from avalib.video.reader import Video


@pytest.fixture(scope="module")
def scene(square):
    """One second, two models."""
    predictions = {"slowonly_r50": square.detections, "slowfast_r50": square.detections}
    return draw.load_scene(square.layout, square.truth, predictions, start=902, seconds=1)


@pytest.fixture(scope="module")
def frames(square):
    """One second, one model, 404x150 pixels."""
    scene = draw.load_scene(square.layout, square.truth, square.detections, start=902, seconds=1, fps=10)
    return draw.render_side_by_side(scene, width=200)


def render_first(scene, **options):
    return draw.render_side_by_side(scene, draw.RenderOptions(**options), width=200)[0]


def test_annotated_in_blue_beside_predicted_in_green(frames):
    assert len(frames) == 10
    assert frames[0].shape == (150, 404, 3)
    left, right = frames[0][:, :200], frames[0][:, 204:]
    assert has_color(left, draw.BLUE.line)
    assert not has_color(left, draw.GREEN.line)
    assert has_color(right, draw.GREEN.line)


def test_scores_below_the_threshold_are_not_drawn(scene):
    assert not has_color(render_first(scene, score_threshold=0.95), draw.GREEN.line)


def test_a_person_below_the_threshold_is_gray_with_its_best_action(scene):
    picture = render_first(scene, score_threshold=0.95)
    assert has_color(picture[:, 204:404], UNSURE.line)
    assert not has_color(picture[:, 204:404], draw.GREEN.line)
    assert has_color(render_first(scene, score_threshold=0.1)[:, 204:404], draw.GREEN.line)


def test_a_person_has_one_number_in_all_panels(scene):
    options = draw.RenderOptions()
    renderer = SceneRenderer(scene, options)
    assert {style.prefix for panel in renderer.list_panels(0) for style in panel.styles} == {"7: "}


def test_a_panel_for_each_model(scene):
    assert render_first(scene).shape == (150, 608, 3)


def test_panels_are_in_lines_of_columns(scene):
    assert draw.render_side_by_side(scene, width=200, columns=2)[0].shape == (304, 404, 3)


def test_without_predictions_the_annotation_is_alone(square):
    scene = draw.load_scene(square.layout, square.truth, start=902, seconds=1)
    assert render_first(scene).shape == (150, 200, 3)


def test_the_annotation_can_lie_under_each_model(scene):
    picture = render_first(scene, annotation="under")
    assert picture.shape == (150, 404, 3)
    for half in (picture[:, :200], picture[:, 204:]):
        assert has_color(half, draw.BLUE.line, at_least=30)
        assert has_color(half, draw.GREEN.line, at_least=30)


def test_the_annotation_can_be_off(scene):
    picture = render_first(scene, annotation="off")
    assert picture.shape == (150, 404, 3)
    assert not has_color(picture, draw.BLUE.line)


def test_an_unknown_place_of_the_annotation_is_an_error():
    with pytest.raises(ValueError, match="annotation='above'"):
        draw.RenderOptions(annotation="above")


def test_scores_can_be_bars(scene):
    bars = render_first(scene, scores="bar")
    numbers = render_first(scene)
    assert bars.shape == numbers.shape
    assert (bars != numbers).any()


def test_a_person_has_one_color_in_all_panels(scene):
    picture = render_first(scene, by_person=True)
    color = build_person_style(7).line
    assert has_color(picture[:, :200], color)
    assert has_color(picture[:, 204:404], color)


def test_everybody_but_the_selected_person_is_gray_without_labels(scene):
    picture = render_first(scene, person_id=99)
    assert has_color(picture, GRAY)
    assert not has_color(picture, draw.BLUE.tags[0])


def test_a_gif_keeps_the_colors_of_boxes(frames, tmp_path):
    path = draw.save_gif(tmp_path / "a.gif", frames, 10)
    with Image.open(path) as opened:
        assert opened.n_frames == 10
        assert has_color(np.asarray(opened.convert("RGB")), draw.BLUE.line)


def test_a_gif_of_fewer_colors_is_smaller(frames, tmp_path):
    large = draw.save_gif(tmp_path / "a.gif", frames, 10)
    small = draw.save_gif(tmp_path / "b.gif", frames, 10, colors=48)
    assert small.stat().st_size < large.stat().st_size


def test_a_gif_of_too_few_colors_is_an_error(frames, tmp_path):
    with pytest.raises(ValueError, match="b.gif: expected .* to 256 colors, got 12"):
        draw.save_gif(tmp_path / "b.gif", frames, 10, colors=12)


def test_a_shown_gif_holds_its_bytes(frames, tmp_path):
    path = draw.save_gif(tmp_path / "a.gif", frames, 10)
    page = draw.show_gif(path).data
    assert page.startswith("<img")
    assert base64.b64decode(page.split("base64,")[1].split('"')[0]) == path.read_bytes()


def test_an_mp4_has_all_frames(frames, tmp_path):
    path = draw.save_mp4(tmp_path / "a.mp4", frames, 10)
    assert "<video" in draw.show_mp4(path).data
    with Video(path) as opened:
        assert opened.n_frames == 10
        assert opened.width == 404
