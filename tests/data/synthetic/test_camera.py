"""The camera: masks are where the drawn people are, and runners are faster than walkers."""

import numpy as np
import pytest

from avalib.data.synthetic.action_ids import RUN, WALK
from avalib.data.synthetic.generate import build_takes
from avalib.data.synthetic.video_specs import list_videos
from avalib.utils.boxes import compute_iou_matrix


def build_bounds(is_inside):
    """The box (1,4) around the true pixels of a mask."""
    rows, columns = np.nonzero(is_inside)
    return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])


def find_changed_pixels(take, frame, index):
    """Where the picture changes (240,320) when a performer is left out."""
    draw_order = take.draw_order
    complete = take.draw_frame(frame, np.random.default_rng(0)).astype(int)
    take.draw_order = [other for other in draw_order if other != index]
    without = take.draw_frame(frame, np.random.default_rng(0)).astype(int)
    take.draw_order = draw_order
    return np.abs(complete - without).sum(axis=2) > 12


def test_masks_hold_the_drawn_bodies():
    n_checked = 0
    for take in (placed.take for placed in build_takes(list_videos("mini")[1])):
        frame = len(take.times_s) // 2
        for index, performer in enumerate(take.shot.performers):
            mask = take.draw_mask(frame) == index + 1
            has_objects = performer.prop or performer.seat_color or take.tracks[index].has_phone[frame]
            if has_objects or mask.sum() < 5000:
                continue
            drawn = build_bounds(find_changed_pixels(take, frame, index))
            masked = build_bounds(mask[::2, ::2])
            assert compute_iou_matrix(drawn, masked)[0, 0] > 0.7, performer
            n_checked += 1
    assert n_checked >= 4


@pytest.mark.slow
def test_running_is_faster_than_walking():
    speeds = {WALK: [], RUN: []}
    for spec in list_videos("mini")[:8]:
        for track in (track for placed in build_takes(spec) for track in placed.take.tracks):
            # x is the part of the way across the picture; at most a third of it goes into the depth.
            across = np.maximum(np.abs(np.cos(np.radians(track.yaw))), 0.3)
            speed = np.abs(np.gradient(track.x) * float(spec.fps)) / across
            for action_id in speeds:
                speeds[action_id] += speed[[action_id in labels for labels in track.labels]].tolist()
    assert np.percentile(speeds[RUN], 20) > 1.3 * np.percentile(speeds[WALK], 80)
