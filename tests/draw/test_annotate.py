"""Boxes and labels are drawn on a copy, in their colors; no tag is painted over; crowds are bounded and counted."""

import numpy as np
import pytest
from figures import has_color

from avalib import draw
from avalib.draw import annotate
from avalib.draw.annotate import MAX_LABELED, FrameAnnotator, annotate_frame
from avalib.draw.box_styles import WHITE, build_person_style
from avalib.draw.people import Person

FRAME = np.full((240, 320, 3), 128, np.uint8)
PERSON = Person(np.array([0.3, 0.1, 0.9, 0.95]), ((12, 0.93), (80, 0.5)))


def build_crowd(count):
    """People side by side in lines; the last one has the highest score."""
    corners = np.stack(np.divmod(np.arange(count), 100), axis=1) / 101
    return [Person(np.r_[corner, corner + 0.02], ((12, n / count),), n) for n, corner in enumerate(corners)]


@pytest.mark.parametrize("style", [draw.BLUE, draw.GREEN])
def test_box_and_labels_have_the_colors_of_their_style(style):
    picture = annotate_frame(FRAME, [PERSON], style)
    assert picture.shape == FRAME.shape
    for part in (style.line, *style.tags[:2], WHITE):
        assert has_color(picture, part, at_least=50), part


def test_the_frame_is_not_changed():
    annotate_frame(FRAME, [PERSON])
    assert (FRAME == 128).all()


def test_the_box_is_where_the_person_is():
    y, x = np.nonzero((annotate_frame(FRAME, [PERSON]) == draw.BLUE.line).all(-1))
    assert abs(x.min() - 96) <= 1
    assert abs(x.max() - 288) <= 1
    assert abs(y.max() - 228) <= 1


def test_nothing_is_painted_over_tags():
    """Down every stack's edge is its own color alone."""
    rng = np.random.default_rng(1)
    for _ in range(10):
        corners = rng.uniform(0, 0.7, (5, 2))
        people = [Person(np.r_[c, c + 0.25], ((12, 0.9), (80, 0.4)), i) for i, c in enumerate(corners)]
        picture = annotate_frame(FRAME, people, "person", "a title")
        layout = FrameAnnotator().arrange(people, (320, 240), "person", "a title")
        for person, stack in zip(people, layout.stacks, strict=True):
            x, y, _, bottom = stack.rect
            assert (picture[y:bottom, x + 1] == build_person_style(person.person_id).line).all()


def test_labels_stay_at_their_position_from_frame_to_frame():
    """Half a pixel would change the cheapest position of a frame alone; the annotator of a video keeps the last one."""
    rng = np.random.default_rng(0)
    annotator = FrameAnnotator(keep_positions=True)
    corners = rng.uniform(0, 0.7, (6, 2))
    changes_alone, changes_kept, before = 0, 0, None
    for n in range(20):
        people = [Person(np.r_[c, c + 0.25] + 0.004 * n, ((12, 0.9),), i) for i, c in enumerate(corners)]
        alone = [stack.position for stack in FrameAnnotator().arrange(people, (320, 240)).stacks]
        kept = [stack.position for stack in annotator.arrange(people, (320, 240)).stacks]
        annotator.annotate(FRAME, people)
        if before:
            changes_alone += sum(a != b for a, b in zip(before[0], alone, strict=True))
            changes_kept += sum(a != b for a, b in zip(before[1], kept, strict=True))
        before = alone, kept
    assert changes_kept < changes_alone


def test_labels_without_room_are_counted_in_the_title():
    crowd = [Person(np.array([0.1, 0.1, 0.9, 0.9]), tuple((a, 0.5) for a in range(1, 9)), i) for i in range(9)]
    title = FrameAnnotator().arrange(crowd, (120, 60), title="at").title
    assert title.startswith("at +")
    assert title.endswith(" labels")


def test_a_title_is_drawn():
    assert (annotate_frame(FRAME, [PERSON], title="at") != annotate_frame(FRAME, [PERSON])).any()


@pytest.mark.slow
def test_only_the_surest_people_of_a_crowd_are_labeled():
    layout = FrameAnnotator().arrange(build_crowd(5000), (320, 240), "person", "1.0 s")
    assert len(layout.stacks) == MAX_LABELED
    assert min(stack.key[0] for stack in layout.stacks) == 5000 - MAX_LABELED


@pytest.mark.slow
def test_the_labels_of_all_others_of_a_crowd_are_counted():
    layout = FrameAnnotator().arrange(build_crowd(5000), (320, 240), "person", "1.0 s")
    n_shown = sum(stack.rect is not None for stack in layout.stacks)
    assert 0 < n_shown <= MAX_LABELED
    assert layout.title == f"1.0 s +{5000 - n_shown} labels"


def test_boxes_of_a_crowd_are_all_drawn():
    people = [Person(np.array([x, 0.5, x + 0.002, 0.6]), ()) for x in np.linspace(0, 0.99, 300)]
    black = np.zeros_like(FRAME)
    assert (annotate_frame(black, people)[120:144] > 0).any(axis=(0, 2)).mean() > 0.9


def test_annotated_people_are_labeled_before_detected_ones(monkeypatch):
    monkeypatch.setattr(annotate, "MAX_LABELED", 2)
    people = [Person(np.array([0, 0, 1, 1.0]), ((1, score),), i) for i, score in enumerate((0.2, None, 0.9, 0.95))]
    layout = FrameAnnotator().arrange(people, (320, 240))
    assert [stack.key[0] for stack in layout.stacks] == [1, 3]
