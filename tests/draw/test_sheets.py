"""Sheets: frames in lines, keyframes with their labels, a caption with the notebook's run."""

import numpy as np
import pytest
from figures import has_color

from avalib import draw
from avalib.draw import sheets


def test_frames_are_in_lines_of_columns():
    frames = [np.full((30, 40, 3), value, np.uint8) for value in (10, 100, 200)]
    sheet = np.asarray(draw.draw_contact_sheet(frames, columns=2))
    assert sheet.shape == (64, 84, 3)
    assert sheet[10, 60, 0] == 100
    assert sheet[40, 10, 0] == 200


def test_frames_of_several_sizes_have_tiles_of_the_largest():
    frames = [np.full(shape, 10, np.uint8) for shape in ((30, 40, 3), (20, 50, 3))]
    assert np.asarray(draw.draw_contact_sheet(frames)).shape == (30, 104, 3)


def test_no_frames_are_an_error():
    with pytest.raises(ValueError, match="no frames"):
        draw.draw_contact_sheet([])


def test_keyframes_have_their_boxes(square):
    sheet = draw.draw_keyframe_sheet(square.layout, "val", square.truth, count=2, columns=2, width=160, caption=None)
    picture = np.asarray(sheet)
    assert picture.shape == (120, 324, 3)
    assert has_color(picture[:, :160], draw.BLUE.line)
    assert has_color(picture[:, 164:], draw.BLUE.line)


def test_a_caption_is_above_the_pictures(square):
    captioned = draw.draw_keyframe_sheet(square.layout, "val", square.truth, count=2, columns=2, width=160)
    plain = draw.draw_keyframe_sheet(square.layout, "val", square.truth, count=2, columns=2, width=160, caption=None)
    captioned, plain = np.asarray(captioned), np.asarray(plain)
    assert captioned.shape[0] > 120
    assert (captioned[-120:] == plain).all()


def test_a_captioned_sheet_names_its_run(monkeypatch):
    frames = [np.full((90, 120, 3), 200, np.uint8)] * 2
    without_run = draw.draw_contact_sheet(frames, caption="What one should see")
    monkeypatch.setattr(sheets, "get_run_caption", lambda: "04_evaluate: slowonly_r50 on mini, seed 0")
    with_run = draw.draw_contact_sheet(frames, caption="What one should see")
    assert with_run.width == without_run.width == 244
    assert with_run.height > without_run.height
    assert (np.asarray(with_run)[-90:] == np.asarray(without_run)[-90:]).all()
