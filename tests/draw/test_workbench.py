"""The workbench shows what its controls say, and finds mistakes and examples."""

import base64
import io

import fake_predictions
import numpy as np
import pytest
from figures import has_color
from PIL import Image

from avalib import draw, zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.data.labels import shorten_action_name
from avalib.data.row_checks import BOX_COLUMNS
from avalib.draw.box_styles import UNSURE
from avalib.draw.person_timeline import build_person_strips, render_person_html
from avalib.evaluation.annotated_scores import list_annotated_scores
from avalib.evaluation.error_analysis import analyze_errors


@pytest.fixture(scope="module")
def truth(tiny):
    return read_ava_csv(tiny.get_csv_path("val"), "ground_truth")


@pytest.fixture(scope="module")
def predictions(truth):
    return {name: fake_predictions.detections(truth, seed) for seed, name in enumerate(zoo.DEFAULT_MODELS)}


@pytest.fixture
def bench(tiny, truth, predictions):
    return draw.open_workbench(tiny, truth, predictions, seconds=4, fps=5, label_map=tiny.evaluated_label_map_path)


@pytest.fixture
def bench_of_one(bench):
    """The workbench with the first model only."""
    for name in list(bench.controls.model_toggles)[1:]:
        bench.controls.model_toggles[name].value = False
    return bench


def get_picture(bench):
    """What the workbench shows, as it is before the JPEG that the browser gets."""
    picture = bench.render_frame(bench.controls.time.value)
    with Image.open(io.BytesIO(bench.controls.image.value)) as jpeg:
        assert jpeg.size == picture.shape[1::-1]
        assert np.abs(np.asarray(jpeg) - picture.astype(int)).mean() < 8
    return picture


def find_option(bench, beginning):
    """The action_id whose text in the menu begins so."""
    return next(action for text, action in bench.controls.action.options if text.startswith(beginning))


def get_time_s(bench):
    return float(bench.scene.times_s[bench.controls.time.value])


def test_the_slider_shows_its_frame_with_all_seven_models(bench):
    for i in (2, 7):
        bench.controls.time.value = i
        picture = get_picture(bench)
        assert np.array_equal(picture, bench.render_frame(i))
        assert not np.array_equal(picture, bench.render_frame(i + 3))
    assert picture.shape[1] <= 1000
    assert bench.controls.clock.value == f"{bench.scene.times_s[7]:.1f} s"


def test_a_model_is_switched_off(bench):
    eight_panels = get_picture(bench)
    for name in list(bench.controls.model_toggles)[1:]:
        bench.controls.model_toggles[name].value = False
    two_panels = get_picture(bench)
    assert two_panels.shape[0] < eight_panels.shape[0] * 1.2
    assert has_color(two_panels, draw.GREEN.line)


def test_the_annotation_is_beside_under_or_off(bench_of_one):
    beside = get_picture(bench_of_one)
    bench_of_one.controls.annotation.value = "off"
    assert get_picture(bench_of_one).shape[1] < 0.6 * beside.shape[1]
    bench_of_one.controls.annotation.value = "under"
    assert has_color(get_picture(bench_of_one), draw.BLUE.line)
    assert has_color(get_picture(bench_of_one), draw.GREEN.line)


def test_the_threshold_hides_lower_scores(bench_of_one):
    bench_of_one.controls.threshold.value = 1.0
    assert not has_color(get_picture(bench_of_one), draw.GREEN.line)


def test_the_action_filter_changes_the_picture(bench_of_one):
    before = bench_of_one.controls.image.value
    bench_of_one.controls.action.value = find_option(bench_of_one, "stand (")
    assert bench_of_one.controls.image.value != before


def test_a_person_below_the_threshold_keeps_a_gray_box_with_its_best_action(bench_of_one):
    bench_of_one.controls.threshold.value = 1.0
    assert has_color(get_picture(bench_of_one), UNSURE.tags[0], at_least=500)
    bench_of_one.controls.threshold.value = 0.0
    assert not has_color(get_picture(bench_of_one), UNSURE.tags[0], at_least=500)


def test_actions_that_occur_are_listed_once_each_with_their_counts(bench_of_one):
    options = dict(bench_of_one.controls.action.options)
    tables = [bench_of_one.scene.to_table(source) for source in bench_of_one.scene.people_by_time]
    occurring = {action for table in tables for action in table.action_id[table.score >= 0.3]}
    assert set(options.values()) == {0, *occurring}
    assert bench_of_one.controls.action.label == "all actions"
    n_annotated = (bench_of_one.scene.to_table().action_id == 12).sum()
    assert f"stand ({n_annotated} annotated, " in " ".join(options)
    text = bench_of_one.controls.action.options[1][0]
    bench_of_one.controls.threshold.value = 1.0
    assert bench_of_one.controls.action.options[1][0] == text.replace(text.split()[-2], "0")


@pytest.mark.parametrize("control", ["video", "action", "threshold"])
def test_messages_and_selections_end_with_the_search_that_made_them(bench, control):
    bench = draw.Workbench(lambda *_: bench.scene, [bench.scene.video_id, "other"], bench.navigator)
    bench.controls.mistake_button.click()
    assert bench.selected_person is not None
    others = {"video": "other", "action": find_option(bench, "stand ("), "threshold": 0.75}
    getattr(bench.controls, control).value = others[control]
    assert bench.controls.message.value == ""
    assert bench.selected_person is None
    assert not any(button.icon for button in bench.controls.person_buttons.values())


def test_the_executed_copy_has_the_picture_beside_the_widget(bench):
    bundle = bench._repr_mimebundle_()
    assert base64.b64decode(bundle["image/jpeg"]) == bench.controls.image.value
    assert "VBox" not in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_color_per_person_replaces_green(bench_of_one):
    bench_of_one.controls.by_person.value = True
    assert not has_color(get_picture(bench_of_one), draw.GREEN.line)


def test_a_clicked_person_is_selected_and_clicked_again_is_not(bench):
    person = bench.scene.annotated[0][0].person_id
    bench.controls.person_buttons[person].click()
    assert bench.selected_person == person
    assert bench.controls.person_buttons[person].icon == "check"
    assert f"person {person}" in bench.controls.person_panel.value
    bench.controls.person_buttons[person].click()
    assert bench.selected_person is None
    assert bench.controls.person_panel.value == ""


def test_a_selected_person_has_strips_of_the_annotation_and_all_models(bench):
    person = bench.scene.annotated[0][0].person_id
    strips = build_person_strips(bench.scene, person, bench.controls.threshold.value)
    annotated = bench.scene.to_table()
    annotated = set(annotated[annotated.person_id == person].action_id)
    assert {strip.action_id for strip in strips if strip.source == "annotated"} <= annotated
    assert {strip.source for strip in strips} == {"annotated", *bench.controls.model_toggles}


def test_the_panel_leaves_out_models_that_are_off(bench):
    bench.select_person(bench.scene.annotated[0][0].person_id)
    bench.controls.model_toggles["slowfast_r50"].value = False
    assert ">slowfast_r50<" not in bench.controls.person_panel.value
    assert ">slowfast_r50_8x8<" in bench.controls.person_panel.value


def test_actions_without_a_name_in_the_label_map_have_avas(tiny, truth, predictions):
    scene = draw.load_scene(tiny, truth, predictions, seconds=2, label_map={12: "upright"})
    person = scene.annotated[0][0].person_id
    strips = build_person_strips(scene, person, 0.0, top_k=80)
    other_action = next(strip.action_id for strip in strips if strip.action_id != 12)
    assert shorten_action_name(other_action) in render_person_html(scene, person, strips, 0)
    assert other_action in dict(draw.open_scrubber(scene, score_threshold=0.0).controls.action.options).values()


def test_the_next_mistake_is_one(bench):
    for number in (1, 2, 3):
        bench.controls.mistake_button.click()
        assert bench.controls.message.value.startswith(f"{number}. slowonly_r50, {bench.controls.video.value}")
        second = float(bench.controls.message.value.split(f"{bench.controls.video.value} ")[1].split(" s:")[0])
        assert abs(get_time_s(bench) - second) < 0.11


def test_a_mistake_is_at_a_person(bench, truth):
    target = bench.navigator.find_next_mistake("slowfast_r50")
    people = truth[(truth.video_id == target.video_id) & (truth.timestamp == target.time_s)]
    assert np.abs(people[BOX_COLUMNS].to_numpy() - target.box).sum(1).min() < 0.2
    assert "0.97" in target.description


def test_mistakes_end_and_begin_again(bench):
    find = bench.navigator.find_next_mistake
    assert find("slowfast_r50", score_threshold=2) is None
    first = find("slowfast_r50", score_threshold=0.969)
    descriptions = []
    while (target := find("slowfast_r50", score_threshold=0.969)) is not None:
        descriptions.append(target.description)
    assert first.description not in descriptions
    assert find("slowfast_r50", score_threshold=0.969).description == first.description


def test_every_missed_action_is_visited_in_order_and_then_the_first_again(bench, truth, predictions):
    table = list_annotated_scores(analyze_errors(truth, predictions["slowonly_r50"], bench.navigator.label_map))
    assert len(table) == truth.action_id.isin(bench.navigator.label_map).sum()
    expected = table[~(table.score >= 0.9)][["video_id", "timestamp", "action_id"]].to_numpy().tolist()
    visited = [bench.navigator.find_next_missed("slowonly_r50", None, 0.9) for _ in range(len(expected) + 1)]
    assert [[t.video_id, t.time_s] for t in visited] == [place[:2] for place in [*expected, expected[0]]]
    assert len({target.description for target in visited}) == len(expected)


def test_the_next_missed_action_is_shown_with_its_person(bench):
    bench.controls.threshold.value = 0.9
    bench.controls.missed_button.click()
    assert ": missed " in bench.controls.message.value
    assert f"{get_time_s(bench):.0f} s" in bench.controls.message.value
    assert bench.selected_person is not None


def test_nothing_is_missed_with_a_threshold_of_0(bench):
    bench.controls.threshold.value = 0.0
    bench.controls.missed_button.click()
    assert bench.controls.message.value == "no (more) missed action with these settings"


def test_an_example_needs_an_action(bench):
    bench.controls.example_button.click()
    assert bench.controls.message.value == "choose an action first"


def test_examples_come_in_order_and_begin_again(bench, truth):
    action = truth.action_id.value_counts().index[0]
    bench.controls.action.value = action
    expected = truth[truth.action_id == action].drop_duplicates(["video_id", "timestamp"])
    expected = expected.sort_values(["video_id", "timestamp"])[["video_id", "timestamp"]].to_numpy().tolist()
    bench.go_to(expected[0][0], expected[0][1])
    visited = [[bench.controls.video.value, round(get_time_s(bench), 1)]]
    for _ in expected:
        bench.controls.example_button.click()
        visited.append([bench.controls.video.value, round(get_time_s(bench), 1)])
    assert visited == [*expected, expected[0]]


def test_the_static_snapshot_shows_the_same(bench):
    sheet = np.asarray(bench.static_snapshot(columns=1, every_s=1.0))
    first = bench.render_frame(0)
    assert (sheet[: first.shape[0], : first.shape[1]] == first).all()
    assert sheet.shape[0] == 4 * (first.shape[0] + 4) - 4


def test_one_scene_alone(tiny, truth, predictions):
    scene = draw.load_scene(tiny, truth, predictions["slowonly_r50"], seconds=1, fps=5)
    bench = draw.open_scrubber(scene)
    assert bench.controls.video.layout.display == "none"
    assert bench.navigator is None
    assert has_color(get_picture(bench), draw.GREEN.line)
