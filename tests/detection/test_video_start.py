"""The timestamp of a video's first frame: 900 by AVA's clock, 0 in data of one's own."""

import pytest

from avalib.detection.video_start import infer_start_from_timestamps


def test_timestamps_are_those_by_which_all_lie_inside_the_video():
    assert infer_start_from_timestamps([902, 1798], 901, "p") == 900
    assert infer_start_from_timestamps([2, 898], 901, "p") == 0


def test_ambiguous_timestamps_are_refused():
    with pytest.raises(ValueError, match="p: timestamps 902 to 1798 may count from 0 or from 900.*boxes_start=0"):
        infer_start_from_timestamps([902, 1798], 3600, "p")
