"""Person detectors as ONNX files: the layouts of public detectors, their inputs, and files that do not fit."""

import sys

import numpy as np
import pytest
import torch
from onnx_detectors import build_query_outputs, build_yolox_rows, write_onnx

from avalib.detection.onnx_detector import OnnxDetector
from avalib.detection.onnx_error import OnnxDetectorError
from avalib.detection.onnx_input import prepare_picture
from avalib.detection.person_detector import load_person_detector

FRAMES = np.full((2, 48, 96, 3), 80, np.uint8)  # 96 wide, 48 high
# Letterboxed in 96x96 it fills 96x48, stretched to 64x64 all.
CENTER = (0.5, 0.5, 0.25, 0.5)  # x, y, width, height
CORNERS = [0.375, 0.25, 0.625, 0.75]


def write_yolox(path, decoded):
    """A person in the middle of the frame, which fills the upper half of the input."""
    return write_onnx(path, {"output": build_yolox_rows((48, 24), (24, 24), decoded)}, (1, 3, 96, 96))


def write_queries(path, person_class, n_classes, names, **options):
    logits, boxes = build_query_outputs(CENTER, person_class, n_classes)
    return write_onnx(path, dict(zip(names, (boxes, logits), strict=True)), **options)


def write_labels(path, person_class, batched, **options):
    """Two boxes in pixels of the input, 64x64, the first of a person."""
    boxes = np.array([[24, 16, 40, 48], [0, 0, 20, 20]], np.float32)
    outputs = {"labels": np.array([person_class, 7]), "boxes": boxes, "scores": np.array([0.9, 0.8], np.float32)}
    return write_onnx(path, {name: array[None] if batched else array for name, array in outputs.items()}, **options)


WRITERS = {
    "yolox": lambda path: write_yolox(path, decoded=False),
    "yolox_decoded": lambda path: write_yolox(path, decoded=True),
    "rtdetr": lambda path: write_queries(path, 0, 80, ("pred_boxes", "logits"), input_name="pixel_values"),
    "rfdetr": lambda path: write_queries(path, 1, 91, ("dets", "labels"), input_name="input"),
    "detr": lambda path: write_queries(
        path,
        1,
        92,
        ("pred_boxes", "logits"),
        extra_inputs=[("pixel_mask", ("n", "h", "w"))],
        input_shape=("n", 3, "h", "w"),
    ),
    "rtdetr_postprocessed": lambda path: write_labels(
        path, 0, batched=True, extra_inputs=[("orig_target_sizes", ("n", 2))], input_shape=("n", 3, 64, 64)
    ),
    "torchvision": lambda path: write_labels(path, 1, batched=False, input_shape=(3, 64, 64)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_layout_is_recognized_and_gives_fractions_of_the_frame(name, tmp_path):
    detector = OnnxDetector(WRITERS[name](tmp_path / "d.onnx"))
    assert detector.layout.name == name.removesuffix("_decoded")
    people = load_person_detector(tmp_path / "d.onnx")(list(FRAMES))
    assert len(people) == 2
    for of_frame in people:
        assert np.allclose(of_frame.boxes_norm, [CORNERS], atol=1e-5)
        assert 0.8 < of_frame.scores[0] < 1


def test_yolox_input_is_the_letterboxed_frame_in_bgr(tmp_path):
    form = OnnxDetector(write_yolox(tmp_path / "d.onnx", decoded=False)).input_form
    frame = np.full((48, 96, 3), (10, 20, 30), np.uint8)
    picture, content_shape = prepare_picture(frame, form, [1, 3, 96, 96])
    assert content_shape == (48, 96)
    assert picture[:, :48].mean(axis=(1, 2)).tolist() == [30, 20, 10]
    assert (picture[:, 48:] == 114).all()


def test_detr_input_keeps_the_aspect_ratio_and_is_normalized(tmp_path):
    form = OnnxDetector(WRITERS["detr"](tmp_path / "d.onnx"), size=320).input_form
    picture, content_shape = prepare_picture(np.full((48, 96, 3), 255, np.uint8), form, ["n", 3, "h", "w"])
    assert picture.shape == (3, 320, 640)
    assert content_shape == (320, 640)
    assert picture[:, 0, 0] == pytest.approx((1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], abs=1e-4)


def test_options_replace_the_layouts_input(tmp_path):
    path = write_yolox(tmp_path / "d.onnx", decoded=False)
    detector = OnnxDetector(path, layout="yolox", person_score=0.1, resize="stretch", channels="rgb", scale=1 / 255)
    (boxes, scores), _ = detector(FRAMES)
    # Stretched, the input's upper half is the frame's upper half.
    assert np.allclose(boxes, [[0.375, 0.125, 0.625, 0.375]])
    assert scores[0] == pytest.approx(0.81)
    assert load_person_detector(detector).person_score == 0.1


def test_boxes_follow_the_picture_in_a_file_exported_by_torch(tmp_path):

    class Detector(torch.nn.Module):
        def forward(self, picture):
            # The brightest column and row as a box: the output depends on the picture.
            column = picture.mean((0, 1)).argmax().float()
            row = picture.mean((0, 2)).argmax().float()
            box = torch.stack([column - 5, row - 5, column + 6, row + 6])[None]
            return box, torch.ones(1, dtype=torch.int64), picture.max()[None]

    path = tmp_path / "d.onnx"
    names = ["boxes", "labels", "scores"]
    torch.onnx.export(Detector(), (torch.rand(3, 48, 96),), path, output_names=names, dynamo=True, verbose=False)
    frame = np.zeros((48, 96, 3), np.uint8)
    frame[20, 70] = 204
    ((boxes, scores),) = OnnxDetector(path)(frame[None])
    assert np.allclose(boxes * [96, 48, 96, 48], [[65, 15, 76, 26]])
    assert scores == pytest.approx(0.8)


# --- files that do not fit --------------------------------------------------------------------------------------------


def test_outputs_of_no_known_layout_are_listed(tmp_path):
    path = write_onnx(tmp_path / "d.onnx", {"heat": np.zeros((1, 80, 16, 16), np.float32)})
    with pytest.raises(OnnxDetectorError, match=r"(?s)outputs are heat float32 \(1, 80, 16, 16\); no known.*yolox:"):
        OnnxDetector(path)


def test_rows_of_another_yolo_are_refused(tmp_path):
    """YOLOv5 has three rows a cell, YOLOv8 its classes first."""
    path = write_onnx(tmp_path / "v5.onnx", {"output": np.zeros((1, 567, 85), np.float32)}, (1, 3, 96, 96))
    with pytest.raises(OnnxDetectorError, match=r"567 rows for an input of 96x96; YOLOX .* has 189 \(other YOLO"):
        OnnxDetector(path)
    path = write_onnx(tmp_path / "v8.onnx", {"output0": np.zeros((1, 84, 8400), np.float32)})
    with pytest.raises(OnnxDetectorError, match="no known layout"):
        OnnxDetector(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "yolo"}, "layout='yolo': expected one of yolox, .*Did you mean 'yolox'"),
        ({"layout": "torchvision"}, r"outputs are output .*; layout 'torchvision' has boxes"),
        ({"person_class": 80}, "person_class=80: the file has 80 classes"),
        ({"resize": "crop"}, "resize='crop': expected one of stretch"),
        ({"channels": "rbg"}, "channels='rbg': expected one of rgb, bgr"),
        ({"mean": (0.5,)}, r"mean=\(0.5,\): expected three numbers"),
    ],
)
def test_a_wrong_option_is_named(options, message, tmp_path):
    path = write_yolox(tmp_path / "d.onnx", decoded=False)
    with pytest.raises(OnnxDetectorError, match=message):
        OnnxDetector(path, **options)


def test_a_file_without_a_picture_input_is_refused(tmp_path):
    path = write_onnx(tmp_path / "d.onnx", {"output": np.zeros((1, 2), np.float32)}, input_shape=(1, 10))
    with pytest.raises(OnnxDetectorError, match=r"the inputs are images .*\[1, 10\]; expected pictures"):
        OnnxDetector(path)


def test_a_file_that_is_not_there_or_no_onnx_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: no such file"):
        load_person_detector(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no graph", encoding="utf-8")
    with pytest.raises(OnnxDetectorError, match=r"text\.onnx: onnxruntime cannot read it"):
        load_person_detector(str(tmp_path / "text.onnx"))


def test_missing_onnxruntime_says_how_to_install_it(tmp_path, monkeypatch):
    path = write_yolox(tmp_path / "d.onnx", decoded=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        load_person_detector(path)
