"""Training: from settings to a finished run and its record; in one process or as many as torchrun starts.

    avalib train --model slowonly_r50 --dataset mini
    torchrun --nproc-per-node 8 -m avalib train --model slowfast_r50 --dataset ava2.1

The loop itself is in `engine.py`.
"""

from dataclasses import asdict, replace

from avalib import zoo
from avalib.data.catalog import prepare
from avalib.training.checkpointing import TrainConfig
from avalib.training.engine import train_model
from avalib.training.existing_run import resolve_existing_run
from avalib.training.logger import build_epoch_table, build_log_table, summarize_log
from avalib.training.one_batch_check import overfit_one_batch
from avalib.training.planner import estimate_cost, limit_epochs
from avalib.training.step import find_compiler_problem
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.distributed import SINGLE_PROCESS, cleanup_distributed, init_distributed
from avalib.utils.experiment import ExperimentRecord
from avalib.utils.files import write_table
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
    """Write epochs.csv and run.json (with every number that differs from the recipe's)."""
    folder.mkdir(parents=True, exist_ok=True)
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


def train_from_options(options, entry, base, recipe):
    """Train as the `avalib train` command says, in this process or as one of those that torchrun has started.

    Parameters
    ----------
    options : avalib.cli.options.TrainOptions
        Everything but the recipe.
    entry : zoo.ZooEntry
    base, recipe : zoo.Recipe
        The recipe of the model on the data set, and the one to train with.

    Returns
    -------
    folder : Path
        Of the training.
    log : DataFrame or None
        The training log; None in other processes than the main one.
    """
    context, device = init_distributed(choose_device(options.device))
    with context.main_process_first():
        layout = prepare(options.dataset, options.data_seed, progress=context.main and not options.quiet)
    config = configure_training(
        entry,
        recipe,
        layout,
        device,
        options.precision,
        options.workers,
        options.checkpoint,
        options.accumulate,
        options.channels_last,
        options.recompute,
        options.compile,
        options.deterministic,
        quiet=not context.main,
        minutes=options.fitted_minutes,
    )
    folder = get_run_folder(options.output_dir, options.dataset, entry.alias, options.tag)
    folder = folder / get_run_subdir(options.overfit, options.plan_only)
    record, plan = ExperimentRecord("train", asdict(options)), None
    config = resolve_existing_run(config, folder, options.existing, options.minutes, context)
    if context.main:
        print("changed (recipe, now):", zoo.compare_fields(base, config.recipe) or "nothing")
        plan = estimate_cost(config, context=context)
        print("\n".join(f"  {name:<34} {value}" for name, value in plan.items()), flush=True)
        config = limit_epochs(config, plan, options.minutes, folder, options.existing)
    config = replace(config, **context.broadcast({"recipe": config.recipe, "minutes": config.minutes}))
    settings = {"progress": not options.quiet}
    if not (options.plan_only or options.overfit):
        settings |= {
            "save_minutes": options.save_minutes,
            "tensorboard": options.tensorboard,
            "context": context,
            "existing": options.existing,
        }
    log = run_training(config, folder, options.plan_only, options.overfit, **settings)
    if context.main:
        finish_training(record, folder, log, config, base, plan, context)
    context.barrier()
    cleanup_distributed()
    return folder, log if context.main else None
