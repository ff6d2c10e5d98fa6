"""Inference on the CPU beside onnxruntime and OpenVINO, which run the exported file of the same model.

    pip install onnxruntime openvino
    python benchmarks/bench_runtimes.py [--repeats 5] [--models slowonly_r50 slowfast_r50 videomae_vit_b_ak]

One clip at 256x340 with three boxes, in float32; every runtime has a process of its own with all threads, and they take
turns. The logits of all must agree within 1e-3. The baseline is the faster of the two runtimes.
"""

import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from bench_models import build_random_model
from common import build_parser, compare, record

from avalib import zoo
from avalib.models.export import export_model
from avalib.models.fused import FusedDetector
from avalib.utils.workers import disable_malloc_trim

AIM = 1.0  # not slower than the faster of the two
MAX_DIFFERENCE = 1e-3  # of the logits
PAUSE_S = 0.3  # before a call, until the other processes rest
SPAWN = multiprocessing.get_context("spawn")
MODELS = ["slowonly_r50", "slowfast_r50", "videomae_vit_b_ak"]


def main():
    parser = build_parser("runtimes", __doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=340)
    options = parser.parse_args()
    rows = [row for name in options.models for row in measure_model(name, options)]
    record("runtimes", rows, options, clip=[options.height, options.width])


def measure_model(name, options):
    """Rows: ours beside the faster runtime."""
    height, width = options.height, options.width
    model = build_random_model(zoo.get(name))
    clip, rois = build_sample(model.entry, height, width)
    with torch.inference_mode():
        expected = model(clip, rois).numpy()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as exit_stack:
        path = Path(folder) / f"{name}.onnx"
        export_model(model, path, size=(height, width), verbose=False)
        # a process for each, as its threads go on spinning for a while after a call
        runs = {}
        for runtime, build in BUILDERS.items():
            arguments = (build, name, path, height, width)
            pool = exit_stack.enter_context(ProcessPoolExecutor(1, SPAWN, prepare_process, arguments))
            runs[runtime] = lambda pool=pool: pool.submit(run_once).result()
        for runtime, run in runs.items():
            difference = np.abs(run()[1] - expected).max()
            if difference > MAX_DIFFERENCE:
                raise SystemExit(f"{name}: {runtime}'s logits are {difference:.1e} from the plain definition's")
        seconds = time_in_turns(runs, options.repeats)
    fastest = min(("onnxruntime", "OpenVINO"), key=seconds.get)
    note = ", ".join(f"{runtime} {value:.3g} s" for runtime, value in seconds.items() if runtime != "ours")
    what = f"inference beside {fastest}, {name}, float32"
    return [compare(what, seconds["ours"], seconds[fastest], "s", AIM, note=note)]


def build_sample(entry, height, width):
    """One clip of noise, the same at each call, and three boxes."""
    clip = torch.randn(1, 3, entry.clip_len, height, width, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor(
        [
            [0, 0, 0, width, height],
            [0, width / 8, height / 8, width / 2, height * 0.9],
            [0, width * 0.6, height / 4, width * 0.9, height * 0.8],
        ]
    )
    return clip, rois


def time_in_turns(runs, repeats):
    """Median seconds of each of `runs` {name: function that returns (seconds, …)}; every other turn goes backwards."""
    seconds = {name: [] for name in runs}
    for turn in range(1 + repeats):
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            time.sleep(PAUSE_S)
            seconds[name].append(runs[name]()[0])
    # the first turn isn't counted
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def prepare_process(build, name, path, height, width):
    """Set this process's function that computes the logits."""
    global compute_logits
    disable_malloc_trim()
    model = build_random_model(zoo.get(name))
    compute_logits = build(model, path, *build_sample(model.entry, height, width))


def run_once():
    """The seconds of one call, and its logits."""
    started_s = time.perf_counter()
    logits = compute_logits()
    return time.perf_counter() - started_s, logits


def build_ours(model, path, clip, rois):
    """A function that runs the inference form."""
    fused = FusedDetector(model, torch.float32)

    @torch.inference_mode()
    def compute():
        return fused(clip, rois).numpy()

    return compute


def build_onnxruntime(model, path, clip, rois):
    """A function that runs the exported file with onnxruntime on all cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {"clips": clip.numpy(), "rois": rois.numpy()}
    return lambda: session.run(None, inputs)[0]


def build_openvino(model, path, clip, rois):
    """A function that runs the exported file with OpenVINO on all cores, in float32 where it would take bfloat16."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": os.cpu_count(),
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    inputs = {"clips": clip.numpy(), "rois": rois.numpy()}
    return lambda: compiled(inputs)[0]


BUILDERS = {"ours": build_ours, "onnxruntime": build_onnxruntime, "OpenVINO": build_openvino}


if __name__ == "__main__":
    main()
