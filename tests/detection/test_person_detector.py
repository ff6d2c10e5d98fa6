"""Person detectors of any kind: a callable's output is checked, people are selected, memory may run out."""

import numpy as np
import pytest
import torch

from avalib.detection.detected_people import select_people
from avalib.detection.detector_output import DetectorOutputError
from avalib.detection.person_detector import DetectorMemoryError, PersonDetector, load_person_detector

PICTURE = np.zeros((100, 200, 3), np.uint8)
BOX_PX = [20, 10, 60, 90]
BOX_NORM = [0.1, 0.1, 0.3, 0.9]


def return_always(output):
    """A detector that returns `output` whatever the frames are."""
    return lambda frames: output


# --- a callable -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "of_frame",
    [
        ([BOX_PX], [0.9]),
        (np.array([BOX_NORM]), np.array([0.9])),
        (torch.tensor([BOX_PX]), torch.tensor([0.9])),
        {"boxes": [BOX_PX], "scores": [0.9], "labels": ["person"]},
    ],
    ids=["lists in pixels", "arrays in fractions", "tensors", "dict"],
)
def test_boxes_come_in_many_forms(of_frame):
    (people,) = load_person_detector(return_always([of_frame]))([PICTURE])
    assert np.allclose(people.boxes_norm, [BOX_NORM])
    assert people.scores.tolist() == pytest.approx([0.9])


def test_a_callable_gets_frames_of_one_size_at_once():
    shapes = []

    def detect(frames):
        shapes.append((frames.shape, frames.dtype))
        return [([], [])] * len(frames)

    people = load_person_detector(detect)([PICTURE, PICTURE, PICTURE[:50]])
    assert shapes == [((2, 100, 200, 3), np.uint8), ((1, 50, 200, 3), np.uint8)]
    assert [len(of_picture.boxes_norm) for of_picture in people] == [0, 0, 0]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "detector returned None; expected for each frame a pair"),
        ([], "detector returned list of 0 for 1 frames; expected a list of 1"),
        ({"boxes": [], "scores": []}, "detector returned dict of 2 for 1 frames"),
        ([[BOX_PX]], "frame 0: list of 1; expected"),
        ([{"pred_boxes": []}], "frame 0: boxes are None, no numbers"),
        ([(["a"], [0.9])], "frame 0: boxes are list of 1, no numbers"),
        ([([BOX_PX[:3]], [0.9])], r"frame 0: boxes \(1, 3\), scores \(1,\)"),
        ([([BOX_PX], [0.9, 0.8])], r"frame 0: boxes \(1, 4\), scores \(2,\)"),
        ([([BOX_PX], [float("nan")])], "frame 0: scores are not all finite"),
        ([([BOX_PX], [93.0])], r"frame 0: score 93; expected 0..1 \(percent"),
        ([([BOX_PX, BOX_PX], [2.0, -1.0])], r"expected 0..1 \(logits"),
        ([([[60, 10, 20, 90]], [0.9])], "box 60, 10, 20, 90; expected x1 <= x2"),
        ([([[200, 100, 1900, 1000]], [0.9])], "expected pixels of the frame as it was given, 200x100"),
    ],
)
def test_nonsense_is_named(output, message):
    with pytest.raises(DetectorOutputError, match=message):
        load_person_detector(return_always(output))([PICTURE])


def test_what_is_no_detector_is_refused():
    with pytest.raises(ValueError, match="detector=3: expected a name, an ONNX file or a callable, not int"):
        load_person_detector(3)


def test_threshold_is_the_callers_else_the_detectors_own():
    class Detector:
        person_score = 0.2
        description = "mine"

        def __call__(self, frames):
            return [([BOX_PX], [0.3])] * len(frames)

    assert len(load_person_detector(Detector())([PICTURE])[0].scores) == 1
    assert len(load_person_detector(Detector(), person_score=0.4)([PICTURE])[0].scores) == 0
    assert load_person_detector(Detector()).description == "mine"
    assert load_person_detector(return_always([])).person_score == 0.7


# --- people are selected ----------------------------------------------------------------------------------------------


def test_a_person_is_selected_once_and_inside_the_frame():
    boxes = [
        [-0.1, 0.1, 0.3, 0.9],
        [-0.09, 0.1, 0.3, 0.9],
        [0.5, 0.1, 0.7, 0.9],
        [1.1, 0, 1.2, 1],
        [0.2, 0.2, 0.4, 0.4],
    ]
    people = select_people(boxes, [0.8, 0.9, 0.95, 0.9, 0.1], min_score=0.5)
    assert np.allclose(people.boxes_norm, [[0.5, 0.1, 0.7, 0.9], [0, 0.1, 0.3, 0.9]])
    assert people.scores.tolist() == pytest.approx([0.95, 0.9])


# --- memory -----------------------------------------------------------------------------------------------------------


def build_hungry_detector(limit, error):
    """A detector that has memory for `limit` frames at once."""

    def detect(frames):
        if len(frames) > limit:
            raise error
        return [([BOX_NORM], [frame[0, 0, 0] / 255]) for frame in frames]

    return detect


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_out_of_memory_halves_the_batch_and_keeps_the_order(error, capsys):
    pictures = [np.full((8, 8, 3), level, np.uint8) for level in range(200, 207)]
    people = PersonDetector(build_hungry_detector(2, error))(pictures)
    assert [round(of_picture.scores[0] * 255) for of_picture in people] == list(range(200, 207))
    assert "out of memory with 7 pictures at once; now 3" in capsys.readouterr().out


def test_out_of_memory_with_one_picture_says_what_to_do():
    detector = PersonDetector(build_hungry_detector(0, RuntimeError("DefaultCPUAllocator: can't allocate memory")))
    with pytest.raises(DetectorMemoryError, match=r"one picture of 200x100; use a smaller one .*device='cpu'.*boxes="):
        detector([PICTURE])


def test_another_error_of_a_detector_is_not_hidden():
    with pytest.raises(RuntimeError, match="no such layer"):
        PersonDetector(build_hungry_detector(0, RuntimeError("no such layer")))([PICTURE, PICTURE])
