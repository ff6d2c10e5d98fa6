"""Labels stay in the frame and apart, whatever is labeled; labels without a free place are counted."""

import numpy as np
import pytest

from avalib import draw
from avalib.draw import label_layout
from avalib.draw.label_layout import LabelStack, count_shared_pixels, place_stacks
from avalib.draw.label_tags import TagLine, build_tag_line, build_tag_lines, choose_font_size, measure_stack

LONG_NAME = {1: "an extraordinarily long name of an action that nobody can read"}


def build_random_stacks(rng, size, count, scores, has_positions):
    """Stacks of 0 to 6 labels at random boxes."""
    font_size = choose_font_size(size[1], size[0])
    corners = rng.uniform(-0.1, 1.0, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 0.6, (count, 2))], axis=1).clip(0, 1)
    boxes = (boxes * [*size, *size]).astype(int)
    actions = [rng.integers(1, 81, rng.integers(0, 7)) for _ in boxes]
    positions = [int(n) for n in rng.integers(0, 50, count)] if has_positions else [None] * count
    stacks = []
    for box, labels, position in zip(boxes, actions, positions, strict=True):
        lines = build_tag_lines([(int(a), 0.5) for a in labels], None, font_size, size[0], scores)
        stacks.append(LabelStack(lines, box, draw.BLUE, position=position))
    return stacks


@pytest.mark.parametrize("size", [(320, 180), (320, 240), (1920, 1080)])
def test_tags_stay_in_the_frame_and_apart(size):
    """A property of any picture: however many people, wherever they are, whatever they do."""
    rng = np.random.default_rng(0)
    font_size = choose_font_size(size[1], size[0])
    title_area = (0, 0, 12 * font_size, 2 * font_size)
    for case in range(30):
        count = int(rng.integers(1, 25 if case % 3 else 5))
        stacks = build_random_stacks(rng, size, count, ("number", "bar", "none")[case % 3], case % 2)
        placed, n_left_out = place_stacks(stacks, size, font_size, [title_area])
        areas = [title_area, *(stack.rect for stack in placed if stack.rect)]
        for i, (x1, y1, x2, y2) in enumerate(areas):
            assert 0 <= x1 < x2 <= size[0]
            assert 0 <= y1 < y2 <= size[1]
            assert not any(count_shared_pixels(areas[i], other) for other in areas[:i])
        for stack in placed:
            if stack.rect:
                x1, y1, x2, y2 = stack.rect
                assert measure_stack(stack.lines, font_size) == (x2 - x1, y2 - y1)
        n_shown = sum(len(stack.lines) for stack in placed if stack.rect)
        assert n_shown + n_left_out == sum(len(stack.lines) for stack in stacks)
        if count <= 4 and size[0] == 1920:
            assert n_left_out == 0


def test_a_picture_that_is_too_small_shows_some_labels_and_counts_the_others():
    lines = (TagLine("walk 0.50"),) * 8
    stacks = [LabelStack(lines, (12, 6, 108, 54), draw.BLUE)] * 9
    placed, n_left_out = place_stacks(stacks, (120, 60), 12, [(0, 0, 110, 18)])
    assert n_left_out > 60
    assert any(stack.rect for stack in placed)


def test_a_stack_that_loses_lines_says_how_many():
    lines = tuple(TagLine(f"label {i}") for i in range(9))
    (stack,), n_left_out = place_stacks([LabelStack(lines, (0, 0, 100, 100), draw.BLUE)], (200, 100), 12)
    assert stack.lines[-1].text.endswith(f" +{n_left_out}")
    assert n_left_out > 0


def test_a_stack_of_thousands_of_labels_is_tried_only_as_high_as_the_picture(monkeypatch):
    calls = []
    choose_position = label_layout.choose_position
    monkeypatch.setattr(label_layout, "choose_position", lambda *args: (calls.append(1), choose_position(*args))[1])
    lines = tuple(TagLine(f"label {i}") for i in range(10_000))
    place_stacks([LabelStack(lines, (32, 24, 96, 120), draw.BLUE)], (320, 240), 12)
    assert 0 < len(calls) < 100


@pytest.mark.parametrize(
    ("scores", "ending", "bar"), [("number", "… 0.50", None), ("bar", "…", 0.5), ("none", "…", None)]
)
def test_long_names_are_shortened_to_the_frame(scores, ending, bar):
    line = build_tag_line(1, 0.5, LONG_NAME, 12, 160, scores)
    assert line.text.endswith(ending)
    assert line.bar == bar
    assert measure_stack([line], 12)[0] <= 160


def test_an_unknown_format_of_scores_is_an_error():
    with pytest.raises(ValueError, match="scores='bars'"):
        build_tag_line(1, 0.5, LONG_NAME, 12, 160, "bars")
