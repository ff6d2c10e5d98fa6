"""Pictures that fit into others."""

import numpy as np
import pytest

from avalib.video.resize import fit_picture


@pytest.mark.parametrize(
    ("size", "filled"),
    [((20, 40), (30, 60)), ((40, 20), (60, 30)), ((30, 30), (60, 60))],  # a wide, a high and a square picture
)
def test_another_shape_gets_black_bars(size, filled):
    fitted = fit_picture(np.full((*size, 3), 200, np.uint8), 60, 60)
    assert fitted.shape == (60, 60, 3)
    rows = np.flatnonzero(fitted[:, 30, 0])
    columns = np.flatnonzero(fitted[30, :, 0])
    assert (len(rows), len(columns)) == filled
    # in the middle
    assert rows[0] == 59 - rows[-1]
    assert columns[0] == 59 - columns[-1]


def test_the_same_size_is_the_same_array():
    frame = np.zeros((4, 6, 3), np.uint8)
    assert fit_picture(frame, 4, 6) is frame
