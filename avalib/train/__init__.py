"""Training: from settings to a finished run and its record; in one process or as many as torchrun starts.

    python -m avalib.train --model slowonly_r50 --dataset mini
    torchrun --nproc-per-node 8 -m avalib.train --model slowfast_r50 --dataset ava2.1

The loop itself is in `loop.py`.
"""

import signal
import sys
from dataclasses import replace

from avalib import history, infer, parallel, run, sources, zoo
from avalib.parallel import ALONE
from avalib.train import budget, cli, step
from avalib.train import overfit as overfitting
from avalib.train.existing import settle
from avalib.train.loop import train
from avalib.train.state import Setup
from avalib.utils import files
from avalib.utils.errors import AvalibError
from avalib.utils.interrupts import Stopped

__all__ = ["facts", "finish", "main", "part", "settle", "setup", "start", "train"]


def setup(
    entry, recipe, layout, device="auto", precision="auto", workers=None, checkpoint=None, accumulate=1,
    channels_last=False, recompute=False, compile=False, deterministic=False, quiet=False, minutes=None,
):  # fmt: skip
    """A Setup with device and precision chosen (see infer.choose_device, infer.choose_precision).

    workers: None takes 4 a GPU, as published, and 1 on a CPU; checkpoint: None (what the recipe says), "random",
    "pretrained", "published", a path or a URL; accumulate: shares of a step that each process does. compile is left
    off, and the reason said, where torch.compile can't work.
    """
    device = infer.choose_device(device)
    dtype = infer.choose_precision(precision, device)
    workers = (4 if device.type == "cuda" else 1) if workers is None else workers
    checkpoint = recipe.initial if checkpoint is None else checkpoint
    if accumulate < 1:
        raise ValueError(f"accumulate={accumulate}: at least 1")
    if compile and recompute:
        raise ValueError("compile and recompute don't go together: the compiler decides itself what it keeps")
    if compile and (problem := step.compiler_problem(device)):
        compile = False
        if not quiet:
            print(f"torch.compile is off: {problem}")
    return Setup(
        entry, recipe, layout, device, dtype, workers, None if checkpoint in ("", "random") else checkpoint,
        accumulate, channels_last, recompute, compile, deterministic, minutes,
    )  # fmt: skip


def part(overfit=False, plan_only=False):
    """The folder of a run's training inside the run's own: what is tried does not lie among what is trained."""
    return "plan" if plan_only else "overfit" if overfit else "train"


def start(setup, folder, plan_only=False, overfit=False, **options):
    """`train`, or the one-batch check, or nothing (the plan was all). -> the log as a DataFrame."""
    if plan_only:
        print("plan_only: nothing is trained")
        return history.frame([])
    if overfit:
        return overfitting.overfit(setup, folder, progress=options["progress"], on_log=options.get("on_log"))
    return train(setup, folder, **options)


def finish(record, folder, log, setup, base, plan, world=ALONE):
    """Draw the curves, write epochs.csv and run.json (with every number that differs from the recipe's)."""
    from avalib import draw  # only the process that draws pays for loading it

    title = f"{setup.entry.alias}: loss falls, validation mAP rises"
    folder.mkdir(parents=True, exist_ok=True)
    with files.atomic_path(folder / "curves.png") as path:
        draw.training_curves(log, title=title).savefig(path)
    files.write_table(history.epoch_table(log), folder / "epochs.csv")
    ended = history.summary(log)
    print("last validations:", ended["last_epochs"] or "none")
    record.hash(setup.layout.csv("train"), setup.layout.proposals("train"), *folder.glob("best.pth"))
    record.finish(
        folder / "run.json",
        written=sorted(folder.glob("*.*")),
        headline={"best validation mAP@0.5": ended["best_mAP"], "minutes of training": ended["minutes"]},
        **ended,
        **facts(setup, base, plan, world),
    )


def facts(setup, base, plan, world=ALONE):
    """What a run.json tells of a training beside its results."""
    names = ("accumulate", "channels_last", "recompute", "compile", "deterministic", "workers")
    return {
        "plan": plan,
        "model": setup.entry.alias,
        "recipe": setup.recipe.name,
        "changed": zoo.difference(base, setup.recipe),
        "options": {name: getattr(setup, name) for name in names},
        "processes": world.size,
        "clips_per_step": setup.clips_per_step(world),
        "lr": setup.lr(world),
        "protocol": setup.layout.protocol,
    }


def main(words=None):
    """The command line; -> an exit status, 128 + signal where it was asked to stop."""
    try:
        return _run(cli.parser().parse_args(words))
    except Stopped as stopped:
        print(stopped, flush=True)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        print("stopped before a step of training; what was prepared stays: call again to go on", flush=True)
        return 128 + signal.SIGINT
    except (AvalibError, ValueError, OSError, step.NotFinite, overfitting.OverfitFailed) as error:
        if parallel.launched():
            raise  # torchrun shows it, with the process it came from
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1


def _run(given):
    try:
        entry, base, recipe = cli.recipe(given)
    except (KeyError, TypeError) as error:
        raise ValueError(error.args[0]) from error
    world, device = parallel.join(infer.choose_device(given.device))
    with world.in_turn():
        layout = sources.prepare(given.dataset, given.data_seed, progress=world.main and not given.quiet)
    made = setup(
        entry, recipe, layout, device, given.precision, given.workers, given.checkpoint, given.accumulate,
        given.channels_last, given.recompute, given.compile, given.deterministic, not world.main, given.fitted_minutes,
    )  # fmt: skip
    folder = run.folder(given.output_dir, given.dataset, entry.alias, given.tag)
    folder = folder / part(given.overfit, given.plan_only)
    record, plan = run.Run("train", vars(given)), None
    made = settle(made, folder, given.existing, given.minutes, world)
    if world.main:
        print("changed (recipe, now):", zoo.difference(base, made.recipe) or "nothing")
        plan = budget.plan(made, world=world)
        print("\n".join(f"  {name:<34} {value}" for name, value in plan.items()), flush=True)
        made = budget.fit(made, plan, given.minutes, folder, given.existing)
    made = replace(made, **world.broadcast({"recipe": made.recipe, "minutes": made.minutes}))
    options = {"progress": not given.quiet}
    if not (given.plan_only or given.overfit):
        options |= dict(save_minutes=given.save_minutes, tensorboard=given.tensorboard, world=world)
        options |= dict(existing=given.existing)
    log = start(made, folder, given.plan_only, given.overfit, **options)
    if world.main:
        finish(record, folder, log, made, base, plan, world)
    world.wait()
    parallel.leave()
    return 0
