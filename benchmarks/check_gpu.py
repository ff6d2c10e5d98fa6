"""Everything about an NVIDIA GPU in one call: the numbers are right, trainings run, how fast, and what limits them.

    python benchmarks/check_gpu.py [--sections a b c d e] [--minutes 7.5] [--models slowonly_r50 slowfast_r50 …]
    python benchmarks/check_gpu.py --device cpu --small      # the whole script with small networks, without a GPU

Sections, in order of value:

a  every network against its recorded outputs; the gradients of a training step against the CPU's
b  short trainings on the rendered data set `tiny`: resumed, under torchrun with nccl, float16, recompute, compile
c  training: clips a second, memory, share of the matrix product's rate, the largest batch, the forms of the kernels
d  inference: one clip and eight, folded, bfloat16, compiled, as a CUDA graph; `detect`; the person detectors
e  the most expensive kernels of a training step, and how long it waits for data

Every check has a limit on its time. Every figure is written into --json as soon as it is known, failures with their
traceback. The checks run in a process of its own, which is started again behind a check that hangs or breaks the GPU.
Needs a checkout of the repository and the packages of REQUIRED; neither PyAV nor Jupyter nor a network.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REQUIRED = ("torch", "torchvision", "numpy", "pandas", "pyarrow", "scipy", "PIL", "tqdm", "safetensors", "psutil")
SECONDS = {"a": 120, "b": 105, "c": 135, "d": 60, "e": 40}  # a section's share of the time
MAX_STARTS = 8  # of the process
GRACE_S = 10  # beyond its limit, for a check to end by itself
RESTART_STATUS = 3  # of a process whose GPU can't be used any more


def main():
    options = parse_options()
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    print(f"check_gpu: needs {' '.join(REQUIRED)}; missing: {' '.join(missing) or 'none'}", flush=True)
    if missing:
        raise SystemExit(2)
    use_checkout()
    from gpu_report import Report, get_default_path  # needs the packages

    from avalib.utils.device import choose_device

    try:
        choose_device(options.device)
    except ValueError as error:
        raise SystemExit(f"check_gpu: nothing was measured. {error}") from None
    options.json = options.json or get_default_path(options.small)
    report = Report(options.json, small=options.small)
    with tempfile.TemporaryDirectory() as folder:
        run_sections(options, report, folder, time.monotonic() + 60 * options.minutes)
    report.load()
    print(f"\n{report.summarize()}\nwritten: {options.json}")
    raise SystemExit(1 if report.list_failures() else 0)


def use_checkout():
    """Let this process and those that it starts import the checkout's avalib, installed or not, and tests' helpers.

    And let cuBLAS be deterministic, as one of the trainings is.
    """
    root = Path(__file__).resolve().parents[1]
    folders = [str(root), str(root / "tests" / "helpers")]
    sys.path[:0] = folders
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, at cuBLAS's first use
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH")]))


def parse_options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sections", nargs="+", choices=list(SECONDS), default=list(SECONDS))
    arguments.add_argument("--minutes", type=float, default=7.5, help="for everything")
    arguments.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    arguments.add_argument("--small", action="store_true", help="small networks and pictures, to try the script itself")
    arguments.add_argument("--models", nargs="+", default=["slowonly_r50", "slowfast_r50", "videomae_vit_b_ak"])
    arguments.add_argument("--batch", type=int, default=16, help="clips in a training step")
    arguments.add_argument("--repeats", type=int, default=3, help="of every measurement; the median counts")
    arguments.add_argument("--json", type=Path, help="where the figures go; default in outputs/benchmarks")
    return arguments.parse_args()


def run_sections(options, report, folder, deadline_s):
    """Run the sections in a process, again where that ended too early: it goes on behind the check that ended it."""
    for _ in range(MAX_STARTS):
        n_begun = len(report.content["checks"])
        command = [sys.executable, str(Path(__file__).with_name("gpu_sections.py")), *options.sections]
        command += ["--seconds", str(deadline_s - time.monotonic()), "--folder", folder, "--json", str(options.json)]
        command += ["--device", options.device, "--batch", str(options.batch), "--repeats", str(options.repeats)]
        command += ["--models", *options.models, *(["--small"] if options.small else [])]
        status = watch(subprocess.Popen(command), report, deadline_s)
        report.load()
        if status == 0:
            return
        if len(report.content["checks"]) == n_begun:
            error = f"the process ended with status {status} before any check"
            report.finish(report.start("-", "start", GRACE_S), 0.0, "failed", errors=[error])
            return
        reason = "the GPU failed" if status == RESTART_STATUS else f"the process ended with status {status}"
        print(f"{reason}; the rest in a new one", flush=True)


def watch(process, report, deadline_s):
    """Wait for the process, and kill it if a check, or all of it, does not end. Returns its status."""
    while process.poll() is None:
        time.sleep(0.5)
        report.load()
        if report.is_overdue(GRACE_S) or time.monotonic() > deadline_s + 2 * GRACE_S:
            print("a check does not end; its process is killed", flush=True)
            process.kill()
            process.wait()
    return process.returncode


if __name__ == "__main__":
    main()
