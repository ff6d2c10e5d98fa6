"""The training loop, in two storeys: `train_epoch` owns the steps, `train` the epochs.

`step.py` does a step; `state.py` keeps the run on disk, so that an interrupted one goes on at the next call;
`parallel.py` is how processes that train together talk.
"""

import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from avalib.data.dataset import ClipDataset, build_loader, load_splits
from avalib.data.label_map import read_label_map
from avalib.data.samplers import TrainBatchSampler
from avalib.evaluation.evaluator import evaluate
from avalib.evaluation.inference import build_detections_table, score_keyframes
from avalib.models.build import build_model
from avalib.models.checkpoint import save_checkpoint
from avalib.models.detector import Detector
from avalib.training.checkpointing import CheckpointSaver, TrainState, check_space
from avalib.training.existing_run import lock_run, read_run_state, resolve_existing_run
from avalib.training.logger import MAP, TrainingLog, build_log_table, log_exists
from avalib.training.optimizer import build_optimizer, build_scaler, compute_lr
from avalib.training.sanity_checks import diagnose_zero_map
from avalib.training.step import (
    NonFiniteError,
    apply_model_options,
    seed_everything,
    train_step,
    use_deterministic_algorithms,
)
from avalib.utils.distributed import SINGLE_PROCESS
from avalib.utils.files import write_json
from avalib.utils.process import peak_memory_bytes
from avalib.video.dataset_frames import open_frames


def build_initial_model(setup, label_prior=None):
    """The model at step 0: random, or with a checkpoint's weights; its options not yet applied."""
    recipe = setup.recipe
    seed_everything(recipe.seed)
    if setup.checkpoint:
        label_map = read_label_map(setup.layout.label_map_path)
        model = build_model(setup.entry, setup.checkpoint, label_map=label_map, dropout=recipe.dropout)
    else:
        n_classes = setup.layout.n_columns - 1
        model = Detector(setup.entry, recipe.dropout, recipe.zero_init_residual, n_classes=n_classes)
    new_head = not setup.checkpoint or model.report.initialised
    if recipe.prior_bias and new_head:
        model.init_classifier(label_prior)
    return model.to(setup.device)


def compute_prior_bias(keyframes):
    """Classifier biases (81,) at which every action's score is its share of the training boxes."""
    share = keyframes.labels.mean(axis=0).clip(1e-4, 0.99)
    return torch.tensor(np.log(share / (1 - share)), dtype=torch.float32)


def initialize_state(setup, keyframes, saved=None, context=SINGLE_PROCESS):
    """The State to train from: step 0, or where `saved` (of state.read) stands."""
    with context.main_process_first():  # one downloads, the others find it
        model = apply_model_options(build_initial_model(setup, compute_prior_bias(keyframes)), setup)
    begun = TrainState(model, build_optimizer(model, setup.recipe), model, build_scaler(setup))
    if saved:
        begun.restore(saved, setup, context)
    begun.replica = context.wrap_ddp(model)
    return begun


def train_model(
    setup,
    output_dir,
    save_minutes=5,
    progress=True,
    on_log=None,
    tensorboard=False,
    context=SINGLE_PROCESS,
    existing="stop",
):
    """Train, validate every `recipe.validate_every` epochs, keep the best and the last. -> the log as a DataFrame.

    Writes into output_dir: log.jsonl (a line a step and a line a validation), last.pth (to go on from), best.pth and
    final.pth (weights with their metadata), tensorboard/ if asked for. A finished run is returned as it is; an
    interrupted one goes on from its last checkpoint (every epoch and every `save_minutes`). Ctrl-C and SIGTERM save,
    then raise Stopped. `on_log(log)` is called with the rows so far.
    context: the processes that train together; the main one writes and prints.
    existing: what to do where the folder holds a run of other settings: "stop", "continue" or "new", see
    existing.CHOICES.
    Raises existing.RunExistsError for such a folder, utils.locks.LockedError while another process trains in it,
    utils.files.DiskFullError where two checkpoints don't fit or the disk gets full, and step.NotFinite when the loss is
    no longer finite; bad_batch.json then names the keyframes.
    """
    output_dir = Path(output_dir)
    with lock_run(output_dir) if context.main else nullcontext() as lock:
        setup = resolve_existing_run(setup, output_dir, existing, setup.minutes, context)
        saved = context.broadcast(read_run_state(output_dir, setup, context, existing) if context.main else None)
        return _train(
            setup, output_dir, saved, lock, save_minutes, progress and context.main, on_log, tensorboard, context
        )


def _train(setup, output_dir, saved, lock, save_minutes, progress, on_log, tensorboard, context):
    recipe = setup.recipe
    keyframes = load_splits(setup.layout, recipe)
    with context.main_process_first():
        frames = open_frames(setup.layout, recipe, keyframes.values(), progress)
    with use_deterministic_algorithms(setup.deterministic):
        now = initialize_state(setup, keyframes["train"], saved, context)
        finished = now.epoch >= recipe.epochs == now.validated
        if context.main:
            _say_where(now, setup, output_dir, saved, finished, context)
        path = output_dir / "log.jsonl"
        if finished:  # in a folder that may be read-only
            written = not context.main or log_exists(path, saved["log"])
            now.log = TrainingLog(None if written else path, saved["log"])
        elif context.main:
            check_space(setup, now, output_dir)
            rows, events = saved["log"] if saved else (), output_dir / "tensorboard" if tensorboard else None
            now.log = TrainingLog(path, rows, events)
        with CheckpointSaver(now, setup, output_dir, save_minutes, context, lock) as saver:
            _epochs(now, setup, keyframes, frames, saver, progress, on_log)
        if context.main and not (finished and (output_dir / "final.pth").exists()):
            save_weights(now, setup, output_dir / "final.pth")
    return build_log_table(now.log)


def _say_where(now, setup, output_dir, saved, finished, context):
    if finished:
        print(f"{output_dir}: this run is finished already (best mAP {now.best_mAP:.4f}); nothing to do")
        return
    print(
        f"{setup.clips_per_step(context)} clips a step ({context.size} processes x {setup.accumulate} shares x "
        f"{setup.recipe.videos_per_gpu}): lr {setup.lr(context):g} by the linear rule "
        f"({setup.recipe.lr:g} for {setup.recipe.clips_per_step})"
    )
    if saved:
        print(f"{output_dir}: going on after epoch {now.epoch}, step {now.step}")


def _epochs(now, setup, keyframes, frames, saver, progress, on_log):
    """Epochs and validations that are not done yet, a checkpoint after each."""
    recipe, context = setup.recipe, saver.context
    order = TrainBatchSampler(
        len(keyframes["train"]), recipe.videos_per_gpu, recipe.seed, setup.accumulate, context.rank, context.size
    )
    clips = ClipDataset(keyframes["train"], setup.entry, recipe, frames, training=True)
    loader = build_loader(clips, order, setup.workers)
    saver.closed_last.callback(loader.close)
    while True:
        if now.epoch > now.validated and (now.epoch % recipe.validate_every == 0 or now.epoch == recipe.epochs):
            with saver.interruptible(saved=True):  # the epoch is: asked to stop, leave at once
                validate(now, setup, keyframes["val"], frames, saver.output_dir, progress, context)
            saver.save()
            if on_log:
                on_log(now.log)
        if now.epoch >= recipe.epochs:
            return
        order.epoch, order.skip = now.epoch, now.step
        try:
            train_epoch(now, setup, loader, order.steps, saver, progress, on_log)
        except NonFiniteError as error:
            raise _with_keys(error, keyframes["train"], now, saver) from None
        now.epoch, now.step = now.epoch + 1, 0
        saver.save()


def train_epoch(now, setup, loader, steps, saver, progress=True, on_log=None):
    """The steps of one epoch that are not done yet; a line in the log for each."""
    now.replica.train()
    lr = setup.lr(saver.context)
    place = f"epoch {now.epoch + 1}/{setup.recipe.epochs}"
    with tqdm(total=steps, initial=now.step, desc=place, disable=not progress) as bar:
        ended = time.perf_counter()
        for shares in saver.waited(zip(*[iter(loader)] * setup.accumulate, strict=True)):
            started = time.perf_counter()
            iteration = now.epoch * steps + now.step
            row = {"mode": "train", "epoch": now.epoch + 1, "iter": now.step + 1, "iteration": iteration + 1}
            row |= {"lr": compute_lr(setup.recipe, lr, iteration, steps), "memory": _memory_MB(setup.device)}
            numbers, asked = train_step(now, shares, setup, row["lr"], iteration, saver.context, saver)
            done = time.perf_counter()
            now.log.append(row | numbers | {"time": done - ended, "data_time": started - ended})
            now.seconds += done - ended
            ended = done
            now.step += 1
            bar.set_postfix(loss=f"{numbers['loss']:.4f}", lr=f"{row['lr']:.4f}")
            bar.update()
            saver.tick(asked)
            if on_log and now.step % 10 == 0:
                on_log(now.log)


def _memory_MB(device):
    """The most memory so far: of this process's GPU, elsewhere of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    return (peak_memory_bytes() or 0) // 2**20


def _with_keys(error, keyframes, now, saver):
    """The error, once the keyframes it came from are in bad_batch.json."""
    for share in error.found:
        share["keyframes"] = [
            {"video_id": str(keyframes.video_ids[k]), "timestamp": float(keyframes.timestamps[k])}
            for k in share.pop("index")
        ]
    path = saver.output_dir / "bad_batch.json"
    if saver.context.main:
        content = {"epoch": now.epoch + 1, "iter": now.step + 1, "shares": error.found}
        write_json(path, content)
    return NonFiniteError(f"epoch {now.epoch + 1}, iter {now.step + 1}: {error}. Their keys are in {path}", error.found)


def validate(now, setup, keyframes, frames, output_dir, progress=True, context=SINGLE_PROCESS):
    """Score the validation split, log its mAP, keep the weights if they are the best so far.

    Every process scores its part with the main one's weights and running statistics.
    """
    context.share_buffers(now.model)
    workers = setup.workers if len(keyframes) > 1000 * context.size else 0  # starting them takes seconds
    stance = torch.compiler.set_stance("force_eager" if setup.compile else "default")  # frames of many sizes
    with stance:
        scores = score_keyframes(
            now.model, keyframes, setup.recipe, frames, setup.device, setup.dtype, workers=workers, progress=progress,
            context=context,
        )  # fmt: skip
    now.validated = now.epoch
    if context.main:
        _judge(now, setup, build_detections_table(keyframes, *scores), output_dir, progress)
    now.best_mAP, now.best_epoch = context.broadcast((now.best_mAP, now.best_epoch))


def _judge(now, setup, detections, output_dir, progress):
    layout = setup.layout
    rules = dict(
        label_map=layout.evaluated_label_map_path,
        exclusions=layout.get_exclusions_path("val"),
        protocol=layout.protocol,
    )
    report = evaluate(layout.get_csv_path("val"), detections, **rules)
    last = now.log[-1]
    row = {"mode": "val", "epoch": now.epoch, "iter": last["iter"], "iteration": last["iteration"], "lr": last["lr"]}
    row |= {MAP: report.mAP, "seconds": now.seconds}
    if doubt := diagnose_zero_map(now.log, report.mAP, layout, detections):
        tqdm.write(f"WARNING, epoch {now.epoch}: {doubt}", file=sys.stderr)
        row["doubt"] = doubt
    now.log.append(row)
    if report.mAP > now.best_mAP:
        now.best_mAP, now.best_epoch = report.mAP, now.epoch
        save_weights(now, setup, output_dir / "best.pth")
    if progress:
        tqdm.write(f"epoch {now.epoch}: validation mAP@0.5 {report.mAP:.4f} (best {now.best_mAP:.4f})")


def save_weights(now, setup, path):
    """A checkpoint that build_model and MMAction2 load, with the label map, the entry and the recipe inside."""
    save_checkpoint(
        now.model,
        path,
        entry=now.model.entry,
        recipe=setup.recipe,
        label_map=read_label_map(setup.layout.evaluated_label_map_path),
        protocol=setup.layout.protocol,
        epoch=now.epoch,
        mAP=next((row[MAP] for row in reversed(now.log) if row["mode"] == "val"), None),
    )
