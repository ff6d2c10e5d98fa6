"""The sections of check_gpu.py in a process: their checks in order, each with a time limit; what fails is noted.

A check is a generator of rows (`common.compare`, `gpu_report.require`). Those of a section are in its module's CHECKS:
{name: (function of the settings, seconds that it may take at most)}, the most valuable first.
"""

import argparse
import gc
import importlib
import logging
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

import torch
from check_gpu import RESTART_STATUS, SECONDS
from common import describe_platform
from gpu_report import Report
from gpu_settings import Settings

from avalib.utils.device import choose_device

MODULES = {
    "a": ("gpu_numbers",),
    "b": ("gpu_trainings",),
    "c": ("gpu_training_speed", "gpu_kernels"),
    "d": ("gpu_inference_speed",),
    "e": ("gpu_profile",),
}
MIN_SECONDS = 3  # a check is not begun with less time left


class TimeIsUp(BaseException):
    """A check has used its time; no library code that catches Exception keeps it."""


def main():
    options = parse_options()
    deadline_s = time.monotonic() + options.seconds
    logging.getLogger("avalib").setLevel(logging.WARNING)
    report = Report(options.json)
    settings = Settings(
        device=choose_device(options.device),
        small=options.small,
        folder=options.folder,
        report=report,
        models=tuple(options.models),
        batch=options.batch,
        repeats=options.repeats,
    )
    report.set_facts(machine=describe_platform(), repeats=options.repeats)
    done = report.close_dead_checks()
    checks = {section: list_checks(section, done, report) for section in options.sections}
    sections = [section for section in options.sections if checks[section]]
    for number, section in enumerate(sections):
        # what earlier sections left over is shared by the later ones
        shares = [SECONDS[name] for name in sections[number:]]
        seconds = (deadline_s - time.monotonic()) * shares[0] / sum(shares)
        section_deadline_s = time.monotonic() + seconds
        print(f"section {section}: {len(checks[section])} checks in {seconds:.0f} s", flush=True)
        for name, (check, limit_s) in checks[section].items():
            run_check(name, check, min(limit_s, section_deadline_s - time.monotonic()), section, settings)


def list_checks(section, done, report):
    """{name: (check, seconds)} of a section, without those that are done: a set of (section, name)."""
    checks = {}
    for name in MODULES[section]:
        try:
            checks |= importlib.import_module(name).CHECKS
        except Exception:  # the other modules' checks can still run
            if (section, name) not in done:
                entry = report.start(section, name, 0.0)
                report.finish(entry, 0.0, "failed", errors=["not imported"], traceback=traceback.format_exc())
            traceback.print_exc()
    return {name: check for name, check in checks.items() if (section, name) not in done}


def parse_options():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("sections", nargs="+", choices=list(MODULES))
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--folder", type=Path, required=True, help="for data sets and runs")
    arguments.add_argument("--json", type=Path, required=True)
    arguments.add_argument("--device", required=True)
    arguments.add_argument("--models", nargs="+", required=True)
    arguments.add_argument("--batch", type=int, required=True)
    arguments.add_argument("--repeats", type=int, required=True)
    arguments.add_argument("--small", action="store_true")
    return arguments.parse_args()


def run_check(name, check, limit_s, section, settings):
    """Run one check and note its rows and its end; leaves the process where the GPU can't be used any more."""
    report = settings.report
    entry = report.start(section, name, limit_s)
    if limit_s < MIN_SECONDS:
        report.finish(entry, 0.0, "no time")
        print(f"{section}, {name}: no time left", flush=True)
        return
    print(f"{section}, {name}", flush=True)
    started_s = time.monotonic()
    try:
        with limit_time(limit_s):
            for row in check(settings):
                report.add_row(entry, row)
        report.finish(entry, time.monotonic() - started_s)
    except TimeIsUp:
        report.finish(entry, time.monotonic() - started_s, "no time", errors=[f"cut off after {limit_s:.0f} s"])
        print(f"  cut off after {limit_s:.0f} s", flush=True)
    except Exception as error:
        errors = [f"{type(error).__name__}: {error}"[:1000]]
        report.finish(entry, time.monotonic() - started_s, "failed", errors=errors, traceback=traceback.format_exc())
        traceback.print_exc()
        traceback.clear_frames(error.__traceback__)
    if not is_usable(settings.device):
        sys.exit(RESTART_STATUS)


@contextmanager
def limit_time(seconds):
    """Raise TimeIsUp after this many seconds in the block, where the system has alarms (not on Windows)."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number, frame):
        raise TimeIsUp

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def is_usable(device):
    """Whether the GPU still computes: after an illegal access every call fails. Frees what the check has left."""
    gc.collect()
    if device.type != "cuda":
        return True
    try:
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.ones(8, device=device).sum().item()
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    main()
