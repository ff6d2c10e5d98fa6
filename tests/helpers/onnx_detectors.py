"""Small ONNX files with the inputs and outputs of public detectors, written with onnx's own helpers."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_onnx(path, outputs, input_shape=(1, 3, 64, 64), extra_inputs=(), input_name="images"):
    """Write a graph that returns constants, whatever the picture is.

    Parameters
    ----------
    path : Path
    outputs : dict
        {name: array}.
    input_shape : sequence
        Numbers, or names of free dimensions.
    extra_inputs : sequence of (name, shape)
        Of int64.
    """
    picture = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, input_shape)
    extra = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in extra_inputs]
    nodes = []
    values = []
    initializers = []
    for name, array in outputs.items():
        array = np.asarray(array)
        initializers.append(numpy_helper.from_array(array, f"{name}_constant"))
        nodes.append(helper.make_node("Identity", [f"{name}_constant"], [name]))
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        values.append(helper.make_tensor_value_info(name, dtype, array.shape))
    graph = helper.make_graph(nodes, "detector", [picture, *extra], values, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def build_query_outputs(box, person_class, n_classes, score_logit=3.0):
    """Logits (1,5,n_classes) and boxes (1,5,4): query 2 is a person with this box (cx,cy,w,h), the others nothing."""
    logits = np.full((1, 5, n_classes), -6, np.float32)
    logits[0, 2, person_class] = score_logit
    logits[0, 4, person_class + 1] = 5  # another class
    boxes = np.full((1, 5, 4), 0.1, np.float32)
    boxes[0, 2] = box
    return logits, boxes


def build_yolox_rows(center_px, size_px, decoded, side=96, n_classes=80):
    """YOLOX's rows (1,A,85) for an input of side x side with one person, in the stride-16 cell of the center."""
    rows = []
    for stride in (8, 16, 32):
        cells = [(x, y) for y in range(side // stride) for x in range(side // stride)]
        for x, y in cells:
            row = np.zeros(5 + n_classes)
            row[:4] = (0.4, 0.6, 0.1, 0.2)
            if stride == 16 and (x, y) == (center_px[0] // 16, center_px[1] // 16):
                row[:4] = [center_px[0] / 16 - x, center_px[1] / 16 - y, *np.log(np.array(size_px) / 16)]
                row[4] = row[5] = 0.9
            if decoded:
                row[:4] = [(row[0] + x) * stride, (row[1] + y) * stride, *(np.exp(row[2:4]) * stride)]
            rows.append(row)
    return np.array(rows, np.float32)[None]
