"""Training: from settings to a finished run and its record; in one process or as many as torchrun starts.

    python -m avalib.training --model slowonly_r50 --dataset mini
    torchrun --nproc-per-node 8 -m avalib.training --model slowfast_r50 --dataset ava2.1

The loop itself is in `loop.py`.
"""

import signal
import sys
from dataclasses import replace

from avalib import zoo
from avalib.data.catalog import prepare
from avalib.training.checkpointing import TrainConfig
from avalib.training.command_line import build_parser, parse_recipe
from avalib.training.engine import train_model
from avalib.training.existing_run import resolve_existing_run
from avalib.training.logger import build_epoch_table, build_log_table, summarize_log
from avalib.training.one_batch_check import OverfitError, overfit_one_batch
from avalib.training.planner import estimate_cost, limit_epochs
from avalib.training.step import NonFiniteError, find_compiler_problem
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.distributed import SINGLE_PROCESS, cleanup_distributed, init_distributed, is_distributed_launch
from avalib.utils.errors import AvalibError
from avalib.utils.experiment import ExperimentRecord
from avalib.utils.files import atomic_path, write_table
from avalib.utils.interrupts import Stopped
from avalib.utils.run_folder import get_run_folder


def configure_training(
    entry, recipe, layout, device="auto", precision="auto", workers=None, checkpoint=None, accumulate=1,
    channels_last=False, recompute=False, compile=False, deterministic=False, quiet=False, minutes=None,
):  # fmt: skip
    """A Setup with device and precision chosen (see infer.choose_device, infer.choose_precision).

    workers: None takes 4 a GPU, as published, and 1 on a CPU; checkpoint: None (what the recipe says), "random",
    "pretrained", "published", a path or a URL; accumulate: shares of a step that each process does. compile is left
    off, and the reason said, where torch.compile can't work.
    """
    device = choose_device(device)
    dtype = choose_precision(precision, device)
    workers = (4 if device.type == "cuda" else 1) if workers is None else workers
    checkpoint = recipe.initial if checkpoint is None else checkpoint
    if accumulate < 1:
        raise ValueError(f"accumulate={accumulate}: at least 1")
    if compile and recompute:
        raise ValueError("compile and recompute don't go together: the compiler decides itself what it keeps")
    if compile and (problem := find_compiler_problem(device)):
        compile = False
        if not quiet:
            print(f"torch.compile is off: {problem}")
    return TrainConfig(
        entry, recipe, layout, device, dtype, workers, None if checkpoint in ("", "random") else checkpoint,
        accumulate, channels_last, recompute, compile, deterministic, minutes,
    )  # fmt: skip


def get_run_subdir(overfit=False, plan_only=False):
    """The folder of a run's training inside the run's own: what is tried does not lie among what is trained."""
    return "plan" if plan_only else "overfit" if overfit else "train"


def run_training(setup, folder, plan_only=False, overfit=False, **options):
    """`train`, or the one-batch check, or nothing (the plan was all). -> the log as a DataFrame."""
    if plan_only:
        print("plan_only: nothing is trained")
        return build_log_table([])
    if overfit:
        return overfit_one_batch(setup, folder, progress=options["progress"], on_log=options.get("on_log"))
    return train_model(setup, folder, **options)


def finish_training(record, folder, log, setup, base, plan, context=SINGLE_PROCESS):
    """Draw the curves, write epochs.csv and run.json (with every number that differs from the recipe's)."""
    from avalib import draw  # only the process that draws pays for loading it

    title = f"{setup.entry.alias}: loss falls, validation mAP rises"
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "curves.png") as path:
        draw.plot_training_curves(log, title=title).savefig(path)
    write_table(build_epoch_table(log), folder / "epochs.csv")
    ended = summarize_log(log)
    print("last validations:", ended["last_epochs"] or "none")
    record.hash(setup.layout.get_csv_path("train"), setup.layout.get_proposals_path("train"), *folder.glob("best.pth"))
    record.finish(
        folder / "run.json",
        written=sorted(folder.glob("*.*")),
        headline={"best validation mAP@0.5": ended["best_mAP"], "minutes of training": ended["minutes"]},
        **ended,
        **collect_run_metadata(setup, base, plan, context),
    )


def collect_run_metadata(setup, base, plan, context=SINGLE_PROCESS):
    """What a run.json tells of a training beside its results."""
    names = ("accumulate", "channels_last", "recompute", "compile", "deterministic", "workers")
    return {
        "plan": plan,
        "model": setup.entry.alias,
        "recipe": setup.recipe.name,
        "changed": zoo.compare_fields(base, setup.recipe),
        "options": {name: getattr(setup, name) for name in names},
        "processes": context.size,
        "clips_per_step": setup.clips_per_step(context),
        "lr": setup.lr(context),
        "protocol": setup.layout.protocol,
    }


def main(words=None):
    """The command line; -> an exit status, 128 + signal where it was asked to stop."""
    try:
        return _run(build_parser().parse_args(words))
    except Stopped as stopped:
        print(stopped, flush=True)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        print("stopped before a step of training; what was prepared stays: call again to go on", flush=True)
        return 128 + signal.SIGINT
    except (AvalibError, ValueError, OSError, NonFiniteError, OverfitError) as error:
        if is_distributed_launch():
            raise  # torchrun shows it, with the process it came from
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1


def _run(given):
    try:
        entry, base, recipe = parse_recipe(given)
    except (KeyError, TypeError) as error:
        raise ValueError(error.args[0]) from error
    context, device = init_distributed(choose_device(given.device))
    with context.main_process_first():
        layout = prepare(given.dataset, given.data_seed, progress=context.main and not given.quiet)
    made = configure_training(
        entry, recipe, layout, device, given.precision, given.workers, given.checkpoint, given.accumulate,
        given.channels_last, given.recompute, given.compile, given.deterministic, not context.main, given.fitted_minutes,
    )  # fmt: skip
    folder = get_run_folder(given.output_dir, given.dataset, entry.alias, given.tag)
    folder = folder / get_run_subdir(given.overfit, given.plan_only)
    record, plan = ExperimentRecord("train", vars(given)), None
    made = resolve_existing_run(made, folder, given.existing, given.minutes, context)
    if context.main:
        print("changed (recipe, now):", zoo.compare_fields(base, made.recipe) or "nothing")
        plan = estimate_cost(made, context=context)
        print("\n".join(f"  {name:<34} {value}" for name, value in plan.items()), flush=True)
        made = limit_epochs(made, plan, given.minutes, folder, given.existing)
    made = replace(made, **context.broadcast({"recipe": made.recipe, "minutes": made.minutes}))
    options = {"progress": not given.quiet}
    if not (given.plan_only or given.overfit):
        options |= dict(save_minutes=given.save_minutes, tensorboard=given.tensorboard, context=context)
        options |= dict(existing=given.existing)
    log = run_training(made, folder, given.plan_only, given.overfit, **options)
    if context.main:
        finish_training(record, folder, log, made, base, plan, context)
    context.barrier()
    cleanup_distributed()
    return 0
