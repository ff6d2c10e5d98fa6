"""Section b of check_gpu.py: short trainings on the rendered data set `tiny`, with each option that a GPU changes."""

import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

from common import compare
from gpu_report import require
from gpu_settings import COMPILING_TAKES_LONG, Settings, prepare_pictures

from avalib import zoo
from avalib.models.checkpoint_file import read_checkpoint_file
from avalib.training.engine import train_model
from avalib.training.launch import build_torchrun_command
from avalib.training.train_config import configure_training

MODEL = "slowonly_r50"
LOSS_AIM = 0.05  # relative, of a training's mean loss beside float32's
EPOCHS = 2


class InterruptedOnPurpose(Exception):
    """The training is stopped here, as if its machine had failed."""


def build_config(settings: Settings, precision: str, **options):
    """The config of a short training: no dropout, so that only the arithmetic differs between two of them."""
    entry = settings.get_entry(MODEL)
    recipe = zoo.build_mini_recipe(zoo.get(MODEL))
    side = 32 if settings.small else 128
    recipe = zoo.update_recipe(recipe, short_side=side, batch_size=2 if settings.small else 4, epochs=EPOCHS)
    recipe = replace(recipe, cache_short_side=None, validate_every=1, dropout=0.0)
    layout = prepare_pictures(settings)
    return configure_training(entry, recipe, layout, settings.device, precision, workers=0, **options)


def train(settings: Settings, config, name: str, **options) -> float:
    """Train in a folder of the run; a second call resumes. Returns the mean loss of all steps."""
    log = train_model(config, settings.folder / "runs" / name, progress=False, **options)
    return float(log["loss"].dropna().mean())


def load_weights(settings: Settings, name: str) -> dict:
    """The final weights of a training."""
    return read_checkpoint_file(settings.folder / "runs" / name / "final.pth").state_dict


def measure_weight_difference(settings: Settings, first: str, second: str) -> float:
    """The largest difference between the final weights of two trainings."""
    weights = load_weights(settings, first)
    others = load_weights(settings, second)
    return max((others[key].double() - value.double()).abs().max().item() for key, value in weights.items())


def get_reference_loss(settings: Settings) -> float:
    """The mean loss of the float32 training; it runs once."""
    return train(settings, build_config(settings, "float32"), "float32")


def compare_loss(settings: Settings, what: str, loss: float):
    """A row: how far a training's mean loss is from float32's."""
    reference = get_reference_loss(settings)
    return require(what, abs(loss - reference) / reference, LOSS_AIM, note=f"loss {loss:.4f}, float32 {reference:.4f}")


# --- checks -----------------------------------------------------------------------------------------------------------


def check_resuming(settings: Settings):
    """Rows: a deterministic training that is interrupted and resumed ends bit for bit as the uninterrupted one."""

    def stop_after_validation(rows):
        if rows[-1]["mode"] == "val" and rows[-1]["epoch"] < EPOCHS:
            raise InterruptedOnPurpose

    config = build_config(settings, settings.low_name, deterministic=True)
    train(settings, config, "whole")
    try:
        train(settings, config, "resumed", on_log=stop_after_validation)
    except InterruptedOnPurpose:
        pass
    train(settings, config, "resumed")
    difference = measure_weight_difference(settings, "whole", "resumed")
    yield require(f"training in {settings.low_name}, deterministic, resumed: weights", difference, 0)


def check_low_precision(settings: Settings):
    """Rows: the training in bfloat16 beside float32, and how far two runs of it are apart."""
    config = build_config(settings, settings.low_name)
    loss = train(settings, config, "low")
    yield compare_loss(settings, f"training in {settings.low_name}: loss beside float32's", loss)
    train(settings, config, "low again")
    difference = measure_weight_difference(settings, "low", "low again")
    yield compare("two equal trainings, not deterministic: weights", difference, None, "")


def check_torchrun(settings: Settings):
    """Rows: a training that torchrun started, and gradients that went through nccl (gloo on a CPU)."""
    folder = settings.folder / "torchrun"
    folder.mkdir(exist_ok=True)
    prepare_pictures(settings)
    script = Path(__file__).with_name("gpu_torchrun.py")
    words = ["--standalone", "--nproc-per-node", "1", str(script), str(folder), settings.device.type]
    command = build_torchrun_command([*words, *(["--small"] if settings.small else [])])
    run_to_end(command)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    backend = results["backend"]
    yield require(f"torchrun, {backend}: gradients beside one process alone", results["gradients"], 1e-4)
    yield require(f"torchrun, {backend}: sum over the processes", abs(results["sum"] - 3.5), 0)
    yield compare_loss(settings, f"torchrun, {backend}: loss beside float32's", results["loss"])


def run_to_end(command: list[str]) -> None:
    """Run a command in a session of its own, which is killed whole if this one is interrupted; raise if it fails."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    process = subprocess.Popen(command, start_new_session=True, **pipes)
    try:
        output, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode:
        raise RuntimeError(f"torchrun ended with status {process.returncode}:\n{output[-2000:]}")


def check_float16(settings: Settings):
    """Rows: float16 with its scaler."""
    if settings.device.type == "cpu":
        yield compare("training in float16", None, None, "", note="a CPU emulates float16")
        return
    config = build_config(settings, "float16")
    log = train_model(config, settings.folder / "runs" / "float16", progress=False)
    note = f"scale {log['loss_scale'].dropna().iloc[-1]:g}"
    yield compare_loss(settings, "training in float16: loss beside float32's", float(log["loss"].dropna().mean()))
    finite = sum(not value.isfinite().all() for value in load_weights(settings, "float16").values())
    yield require("training in float16: weights that are not finite", finite, 0, note=note)


def check_recompute(settings: Settings):
    """A row: activations that are computed again in backward give the same training."""
    precision = settings.low_name
    loss = train(settings, build_config(settings, precision, recompute=True), "recompute")
    yield compare_loss(settings, "training with recompute: loss beside float32's", loss)


def check_compile(settings: Settings):
    """A row: the compiled backbone trains alike."""
    if settings.small:
        yield compare("training with compile", None, None, "", note=COMPILING_TAKES_LONG)
        return
    config = build_config(settings, settings.low_name, compile=True)
    if not config.compile:
        yield compare("training with compile", None, None, "", note="torch.compile does not work on this machine")
        return
    yield compare_loss(settings, "training with compile: loss beside float32's", train(settings, config, "compile"))


CHECKS = {
    "resumed training": (check_resuming, 45),
    "low precision": (check_low_precision, 40),
    "torchrun": (check_torchrun, 60),
    "float16": (check_float16, 30),
    "recompute": (check_recompute, 30),
    "compile": (check_compile, 80),
}
