"""The frames of a clip in three orders: the same pictures, each in its place."""

import numpy as np

from avalib import draw, zoo

WIDTH, GAP = 120, 4


def test_the_second_line_is_the_first_backwards_and_the_third_has_all_frames(square):
    examples = square.truth[square.truth.timestamp == 903]
    entry = zoo.get("slowonly_r50")
    sheet = draw.draw_frame_orders(square.layout, entry, examples, width=WIDTH, seed=1, caption=None)
    sheet = np.asarray(sheet)
    # Three lines of four pictures, with a gap between them.
    height = (sheet.shape[0] + GAP) // 3
    lines = [
        [sheet[y : y + height - GAP, x : x + WIDTH] for x in range(0, 4 * (WIDTH + GAP), WIDTH + GAP)]
        for y in range(0, 3 * height, height)
    ]
    first, second, third = lines
    assert not np.array_equal(first[0], first[3])
    assert all(np.array_equal(a, b) for a, b in zip(first, second[::-1], strict=True))
    assert sorted(tile.tobytes() for tile in third) == sorted(tile.tobytes() for tile in first)
