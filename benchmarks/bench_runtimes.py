"""Inference on the CPU beside onnxruntime and OpenVINO, which run the exported file of the same model.

    pip install onnxruntime openvino
    python benchmarks/bench_runtimes.py [--repeats 5] [--models slowonly_r50 slowfast_r50 videomae_vit_b_ak]

One clip at 256x340 with three boxes, in float32; every runtime has all threads. The logits of all must agree within
1e-3. The baseline is the faster of the two runtimes.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from bench_models import build_random_model
from common import build_parser, compare, record, run_apart, time_alternately

from avalib import zoo
from avalib.models.export import export_model
from avalib.models.fused import FusedDetector
from avalib.utils.workers import disable_malloc_trim

AIM = 1.0  # not slower than the faster of the two
MAX_DIFFERENCE = 1e-3  # of the logits
MODELS = ["slowonly_r50", "slowfast_r50", "videomae_vit_b_ak"]


def main():
    parser = build_parser("runtimes", __doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=340)
    options = parser.parse_args()
    rows = [row for name in options.models for row in run_apart(disable_malloc_trim, measure_model, name, options)]
    record("runtimes", rows, options, clip=[options.height, options.width])


@torch.inference_mode()
def measure_model(name, options):
    """Rows: ours beside the faster runtime."""
    model = build_random_model(zoo.get(name))
    height, width = options.height, options.width
    clip = torch.randn(1, 3, model.entry.clip_len, height, width)
    rois = torch.tensor(
        [
            [0, 0, 0, width, height],
            [0, width / 8, height / 8, width / 2, height * 0.9],
            [0, width * 0.6, height / 4, width * 0.9, height * 0.8],
        ]
    )
    fused = FusedDetector(model, torch.float32)
    functions = {"ours": lambda: fused(clip, rois).numpy()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        export_model(model, path, size=(height, width), verbose=False)
        inputs = {"clips": clip.numpy(), "rois": rois.numpy()}
        functions |= {"onnxruntime": build_onnxruntime(path, inputs), "OpenVINO": build_openvino(path, inputs)}
    expected = model(clip, rois).numpy()
    for runtime, function in functions.items():
        difference = np.abs(function() - expected).max()
        if difference > MAX_DIFFERENCE:
            raise SystemExit(f"{name}: {runtime}'s logits are {difference:.1e} from the plain definition's")
    seconds = time_alternately(functions, options.repeats)
    fastest = min(("onnxruntime", "OpenVINO"), key=seconds.get)
    note = ", ".join(f"{runtime} {value:.3g} s" for runtime, value in seconds.items() if runtime != "ours")
    what = f"inference beside {fastest}, {name}, float32"
    return [compare(what, seconds["ours"], seconds[fastest], "s", AIM, note=note)]


def build_onnxruntime(path, inputs):
    """A function that runs an exported file with onnxruntime on all cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)[0]


def build_openvino(path, inputs):
    """A function that runs an exported file with OpenVINO on all cores, in float32 where it would take bfloat16."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": os.cpu_count(),
    }
    model = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda: model(inputs)[0]


if __name__ == "__main__":
    main()
