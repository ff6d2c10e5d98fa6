"""The training engine: `train_epoch` runs the steps of an epoch, `train_model` all epochs with their validations.

`step.py` does one step, `epoch_validation.py` a validation; `checkpointing.py` keeps the run on disk, so that an
interrupted one resumes at the next call; `utils/distributed.py` is how processes that train together communicate.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import pandas as pd

from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_splits
from avalib.data.loader import ClipLoader, build_loader
from avalib.data.samplers import TrainBatchSampler
from avalib.training.checkpoint_sizes import check_checkpoint_space
from avalib.training.checkpointing import CheckpointSaver, describe_position
from avalib.training.epoch_validation import validate
from avalib.training.existing_run import load_checkpoint_to_resume, lock_run, resolve_existing_run
from avalib.training.full_memory import explain_full_memory
from avalib.training.initial_state import initialize_state, save_weights
from avalib.training.logger import TrainingLog, build_log_table, has_log_file
from avalib.training.optimizer import compute_lr
from avalib.training.profiling import measure_peak_memory_mb
from avalib.training.reproducibility import use_deterministic_algorithms
from avalib.training.step import LossNotFiniteError, describe_bad_batches, train_step
from avalib.training.train_config import TrainConfig
from avalib.training.train_state import TrainState
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext
from avalib.utils.files import write_json
from avalib.utils.plurals import format_count
from avalib.utils.progress import show_progress
from avalib.video.dataset_frames import open_frames

logger = logging.getLogger(__name__)


# --- the run ----------------------------------------------------------------------------------------------------------


def train_model(
    config: TrainConfig,
    output_dir: str | Path,
    *,
    save_minutes: float = 5,
    progress: bool = True,
    on_log: Callable[[list[dict]], None] | None = None,
    tensorboard: bool = False,
    context: DistributedContext = SINGLE_PROCESS,
    existing: str = "stop",
) -> pd.DataFrame:
    """Train a model and validate it every `recipe.validate_every` epochs.

    Writes into output_dir: log.jsonl (a line for each step and validation), last.pth (to resume from), best.pth and
    final.pth (weights with their metadata), tensorboard/ on request. A finished run is returned as it is; an
    interrupted one resumes from its last checkpoint. Ctrl-C and SIGTERM save, then raise Stopped.

    Parameters
    ----------
    config : TrainConfig
    output_dir : str or Path
    save_minutes : float
        The time between two checkpoints; there is one after each epoch, too.
    progress : bool
        Show progress bars.
    on_log : function, optional
        Called with the log's entries so far (a list of dict), every ten steps and after each validation.
    tensorboard : bool
        Also write event files.
    context : DistributedContext
        The processes that train together; the main one writes.
    existing : str
        If the folder holds a run of other settings: "stop" raises RunExistsError, "continue" resumes that run with
        its own settings, "new" renames its folder to train.1 (the next free number) and starts anew.

    Returns
    -------
    DataFrame
        The log.

    Raises
    ------
    RunExistsError
        The folder holds another run.
    LockedError
        Another process trains in this folder.
    DiskFullError
        Two checkpoints don't fit on the disk.
    LossNotFiniteError
        The loss is NaN or infinite; bad_batch.json then names the keyframes.
    GpuMemoryError
        A GPU has too little memory for a step; the message says which batch size fits.
    WorkerDiedError
        A process that reads frames has ended.
    Stopped
        Ctrl-C or SIGTERM arrived, and the state is saved.
    """
    output_dir = Path(output_dir)
    progress = progress and context.is_main
    with lock_run(output_dir) if context.is_main else nullcontext() as lock:
        # 1. Settings: as given, or with existing="continue" those of the run in the folder
        config = resolve_existing_run(config, output_dir, existing, config.minutes, context)
        # the main process reads last.pth for all
        checkpoint = None
        if context.is_main:
            checkpoint = load_checkpoint_to_resume(output_dir, config, context, existing)
        checkpoint = context.broadcast(checkpoint)

        # 2. Data: annotations, and frames from the videos or the cache
        keyframes = load_splits(config.layout, config.recipe)
        with context.main_process_first():
            frames = open_frames(config.layout, config.recipe, keyframes.values(), progress)

        with use_deterministic_algorithms(config.deterministic):
            # 3. State: step 0, or where the checkpoint stands
            state = initialize_state(config, keyframes["train"], checkpoint, context)
            is_trained = state.epoch >= config.recipe.epochs
            is_finished = is_trained and state.last_validated_epoch == config.recipe.epochs
            _report_start(state, config, output_dir, is_finished, context)
            if context.is_main and not is_finished:
                check_checkpoint_space(config, state.model, output_dir)
            state.log = _open_log(output_dir, checkpoint, is_finished, tensorboard, context)

            # 4. Epochs
            with CheckpointSaver(state, config, output_dir, save_minutes, context, lock) as saver:
                _run_epochs(state, config, keyframes, frames, saver, progress=progress, on_log=on_log)

            # 5. Final weights
            if context.is_main and not (is_finished and (output_dir / "final.pth").exists()):
                save_weights(state, config, output_dir / "final.pth")
    return build_log_table(state.log.rows)


def _report_start(state, config, output_dir, is_finished, context):
    if is_finished:
        logger.info(f"{output_dir}: this run is finished already (best mAP {state.best_mAP:.4f}); nothing to do")
        return
    recipe = config.recipe
    logger.info(
        f"{format_count(config.count_clips_per_step(context), 'clip')} in a step "
        f"({format_count(context.size, 'process', 'processes')} x "
        f"{format_count(config.accumulate, 'micro-batch', 'micro-batches')} x {recipe.videos_per_gpu}): "
        f"lr {config.compute_base_lr(context):g} by the linear rule "
        f"({recipe.lr:g} for {recipe.clips_per_step})"
    )
    if state.position != (0, 0):
        logger.info(f"{output_dir}: resuming after {describe_position(state.position)}")


def _open_log(output_dir, checkpoint, is_finished, tensorboard, context):
    """The log with the entries of the checkpoint; only the main process writes it, and only if it changes."""
    path = output_dir / "log.jsonl"
    rows = checkpoint["log"] if checkpoint else []
    if not context.is_main or (is_finished and has_log_file(path, rows)):  # a finished run's folder may be read-only
        return TrainingLog(rows=rows)
    return TrainingLog(path, rows, output_dir / "tensorboard" if tensorboard and not is_finished else None)


def _run_epochs(state, config, keyframes, frames, saver, *, progress, on_log):
    """Run the epochs and validations that are not done yet, with a checkpoint after each."""
    recipe = config.recipe
    context = saver.context
    # the training clips, in an order that depends on seed and epoch alone
    sampler = TrainBatchSampler(
        len(keyframes["train"]), recipe.videos_per_gpu, recipe.seed, config.accumulate, context.rank, context.size
    )
    clips = ClipDataset(
        keyframes["train"], config.entry, recipe, frames, training=True, resize_on_device=config.resize_on_device
    )
    loader = build_loader(clips, sampler, config.workers, config.device)
    saver.exit_stack.callback(loader.close)
    while True:
        # 1. Validation, if one is due after the last finished epoch
        is_due = state.epoch % recipe.validate_every == 0 or state.epoch == recipe.epochs
        if state.epoch > state.last_validated_epoch and is_due:
            with saver.allow_interrupts(all_saved=True):  # the epoch is on the disk
                validate(state, config, keyframes["val"], frames, saver.output_dir, progress=progress, context=context)
            saver.save()
            if on_log:
                on_log(state.log.rows)
        if state.epoch >= recipe.epochs:
            return
        # 2. The rest of the next epoch
        sampler.epoch = state.epoch
        sampler.skip = state.step
        try:
            with explain_full_memory(config, state):
                train_epoch(state, config, loader, sampler.steps, saver, progress=progress, on_log=on_log)
        except LossNotFiniteError as error:
            # name the keyframes in a file, for a look at them
            path = saver.output_dir / "bad_batch.json"
            position = {"epoch": state.epoch + 1, "iter": state.step + 1}
            if context.is_main:
                write_json(path, position | {"micro_batches": describe_bad_batches(error, keyframes["train"])})
            raise LossNotFiniteError(
                f"epoch {position['epoch']}, iter {position['iter']}: {error}, which {path} lists", error.batches
            ) from None
        # 3. A checkpoint
        state.epoch += 1
        state.step = 0
        saver.save()


# --- an epoch ---------------------------------------------------------------------------------------------------------


def train_epoch(
    state: TrainState,
    config: TrainConfig,
    loader: ClipLoader,
    steps_per_epoch: int,
    saver: CheckpointSaver,
    *,
    progress: bool = True,
    on_log: Callable[[list[dict]], None] | None = None,
) -> None:
    """Run the steps of one epoch that are not done yet; each adds an entry to the log.

    Parameters
    ----------
    state : TrainState
        Changed in place.
    config : TrainConfig
    loader : ClipLoader
        It gives the micro-batches of these steps.
    steps_per_epoch : int
        Of a whole epoch.
    saver : CheckpointSaver
    progress, on_log
        See `train_model`.
    """
    state.ddp_model.train()
    base_lr = config.compute_base_lr(saver.context)
    title = f"epoch {state.epoch + 1}/{config.recipe.epochs}"
    with show_progress(total=steps_per_epoch, initial=state.step, desc=title, disable=not progress) as bar:
        previous_end_s = time.perf_counter()
        for micro_batches in saver.wait_for_each(group_micro_batches(loader, config.accumulate)):
            data_time_s = time.perf_counter() - previous_end_s

            # 1. Step
            iteration = state.epoch * steps_per_epoch + state.step
            lr = compute_lr(config.recipe, base_lr, iteration, steps_per_epoch)
            result = train_step(state, micro_batches, config, lr, iteration, saver.context, saver)
            step_time_s = time.perf_counter() - previous_end_s
            previous_end_s += step_time_s
            state.seconds += step_time_s

            # 2. Log
            position = {"mode": "train", "epoch": state.epoch + 1, "iter": state.step + 1, "iteration": iteration + 1}
            progress_fields = {"lr": lr, "memory": measure_peak_memory_mb(config.device)}
            timing = {"clips": result.n_clips, "time": step_time_s, "data_time": data_time_s}
            state.log.append(position | progress_fields | result.metrics | timing)
            state.step += 1
            waiting = f"{data_time_s / step_time_s:.0%}"
            bar.set_postfix(loss=f"{result.metrics['loss']:.4f}", lr=f"{lr:.2g}", waiting=waiting)
            bar.update()

            # 3. Save if it is time, stop if a signal asks for it
            saver.save_if_due(result.stop_signal)
            if on_log and state.step % 10 == 0:
                on_log(state.log.rows)


def group_micro_batches(loader: Iterable[dict], accumulate: int) -> Iterator[list[dict]]:
    """Yield the loader's batches in lists of `accumulate`, one list for each step."""
    batches = iter(loader)
    while micro_batches := list(islice(batches, accumulate)):
        yield micro_batches
