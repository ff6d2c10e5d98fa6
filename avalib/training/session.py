"""A whole training session: plan, train, record; in one process or in those that torchrun started.

    avalib train --model slowonly_r50 --dataset mini
    torchrun --nproc-per-node 8 -m avalib train --model slowfast_r50 --dataset ava2.1

The training loop itself is in `engine.py`.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from avalib import zoo
from avalib.data.catalog import prepare
from avalib.evaluation.protocols import choose_protocol
from avalib.training.engine import train_model
from avalib.training.existing_run import resolve_existing_run
from avalib.training.logger import build_epoch_table, build_log_table, describe_spread, summarize_log
from avalib.training.planner import CostEstimate, estimate_cost
from avalib.training.sanity_checks import overfit_one_batch
from avalib.training.time_limit import limit_epochs
from avalib.training.train_config import TrainConfig, configure_training
from avalib.utils.device import choose_device
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext, close_distributed, init_distributed
from avalib.utils.experiment import ExperimentRecord
from avalib.utils.files import write_table
from avalib.utils.run_folder import get_run_folder

logger = logging.getLogger(__name__)

RECORDED_OPTIONS = (
    "accumulate",
    "channels_last",
    "recompute",
    "compile",
    "deterministic",
    "resize_on_device",
    "workers",
)


def get_run_subdir(overfit: bool = False, plan_only: bool = False) -> str:
    """The folder inside a run's folder: trials do not lie among the files of the training."""
    if plan_only:
        return "plan"
    return "overfit" if overfit else "train"


def run_training(
    config: TrainConfig,
    folder: str | Path,
    *,
    plan_only: bool = False,
    overfit: bool = False,
    progress: bool = True,
    on_log: Callable[[list[dict]], None] | None = None,
    **saving: object,
) -> pd.DataFrame:
    """Train, or do the one-batch check, or stop after the plan.

    Parameters
    ----------
    config : TrainConfig
    folder : str or Path
        The folder of the training.
    plan_only : bool
        Train nothing.
    overfit : bool
        Do the one-batch check instead.
    progress, on_log, **saving
        See `train_model`.

    Returns
    -------
    DataFrame
        The log.
    """
    if plan_only:
        logger.info("plan_only: nothing is trained")
        return build_log_table([])
    if overfit:
        return overfit_one_batch(config, folder, progress=progress, on_log=on_log)
    return train_model(config, folder, progress=progress, on_log=on_log, **saving)


def record_training(
    record: ExperimentRecord,
    folder: Path,
    log: pd.DataFrame,
    config: TrainConfig,
    base_recipe: zoo.Recipe,
    estimate: CostEstimate,
    context: DistributedContext = SINGLE_PROCESS,
) -> pd.DataFrame:
    """Write epochs.csv and run.json.

    Parameters
    ----------
    record : ExperimentRecord
    folder : Path
        The folder of the training.
    log : DataFrame
    config : TrainConfig
    base_recipe : zoo.Recipe
        The data set's own; run.json lists what differs from it.
    estimate : CostEstimate
    context : DistributedContext
        The processes that trained.

    Returns
    -------
    DataFrame
        The log by epoch, see `build_epoch_table`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    epochs = build_epoch_table(log)
    write_table(epochs, folder / "epochs.csv")
    summary = summarize_log(log)
    logger.info(describe_spread(summary["last_epochs"]))
    # hashes of what the run read and wrote, then run.json
    layout = config.layout
    record.hash(layout.get_csv_path("train"), layout.get_proposals_path("train"), *folder.glob("best.pth"))
    record.finish(
        folder / "run.json",
        written=sorted(folder.glob("*.*")),
        headline={"best validation mAP@0.5": summary["best_mAP"], "minutes of training": summary["minutes"]},
        **summary,
        plan=asdict(estimate),
        model=config.entry.alias,
        recipe=config.recipe.name,
        changed=zoo.compare_fields(base_recipe, config.recipe),
        options={name: getattr(config, name) for name in RECORDED_OPTIONS},
        processes=context.size,
        clips_per_step=config.count_clips_per_step(context),
        lr=config.compute_base_lr(context),
        protocol=choose_protocol(layout, config.entry),
    )
    return epochs


def train_from_options(
    options, entry: zoo.ZooEntry, base_recipe: zoo.Recipe, recipe: zoo.Recipe
) -> tuple[Path, pd.DataFrame | None]:
    """Train as the `avalib train` command says, in this process or as one of those that torchrun started.

    Parameters
    ----------
    options : avalib.cli.options.TrainOptions
        Everything but the recipe.
    entry : zoo.ZooEntry
    base_recipe, recipe : zoo.Recipe
        The recipe of the model on the data set, and the one to train with.

    Returns
    -------
    folder : Path
        The folder of the training.
    log : DataFrame or None
        None in other processes than the main one.
    """
    # 1. Processes, data, settings
    context, device = init_distributed(choose_device(options.device))
    with context.main_process_first():
        layout = prepare(options.dataset, options.data_seed, progress=context.is_main and not options.quiet)
    config = _configure_from_options(options, entry, recipe, layout, device)
    folder = get_run_folder(options.output_dir, options.dataset, entry.alias, options.tag)
    folder = folder / get_run_subdir(options.overfit, options.plan_only)
    changed = zoo.compare_fields(base_recipe, recipe)
    record = ExperimentRecord("train", asdict(options) | {name: value for name, (_, value) in changed.items()})

    # 2. Plan: the main process measures and decides, the others take over its number of epochs
    config = resolve_existing_run(config, folder, options.existing, options.minutes, context)
    estimate = None
    if context.is_main:
        logger.info(f"changed (recipe, now): {zoo.compare_fields(base_recipe, config.recipe) or 'nothing'}")
        estimate = _log_estimate(config, context)
        config = limit_epochs(config, options.minutes, estimate.minutes_per_epoch, folder, options.existing)
    recipe, minutes = context.broadcast((config.recipe, config.minutes))
    config = replace(config, recipe=recipe, minutes=minutes)

    # 3. Train and record
    log = run_training(
        config,
        folder,
        plan_only=options.plan_only,
        overfit=options.overfit,
        progress=not options.quiet,
        save_minutes=options.save_minutes,
        tensorboard=options.tensorboard,
        context=context,
        existing=options.existing,
    )
    if context.is_main:
        record_training(record, folder, log, config, base_recipe, estimate, context)
    context.barrier()
    close_distributed()
    return folder, log if context.is_main else None


def _configure_from_options(options, entry, recipe, layout, device):
    """The TrainConfig of the command's options."""
    return configure_training(
        entry,
        recipe,
        layout,
        device,
        options.precision,
        workers=options.workers,
        checkpoint=options.checkpoint,
        accumulate=options.accumulate,
        channels_last=options.channels_last,
        recompute=options.recompute,
        compile=options.compile,
        deterministic=options.deterministic,
        resize_on_device=options.resize_on_device,
        minutes=options.fitted_minutes,
    )


def _log_estimate(config, context):
    """Measure what the training takes and log it. Returns CostEstimate."""
    estimate = estimate_cost(config, context=context)
    for label, value in estimate.describe().items():
        logger.info(f"  {label:<34} {value}")
    return estimate
