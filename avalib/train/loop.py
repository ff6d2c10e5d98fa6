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

from avalib import actions, batches, dataset, history, infer, metrics, weights
from avalib.models import Detector
from avalib.parallel import ALONE
from avalib.train import doubts, state, step
from avalib.train.existing import lock_of, read, settle
from avalib.train.state import Saver, State
from avalib.utils import files
from avalib.utils.process import peak_memory_bytes


def initial_model(setup, label_prior=None):
    """The model at step 0: random, or with a checkpoint's weights; its options not yet applied."""
    recipe = setup.recipe
    step.seed_everything(recipe.seed)
    if setup.checkpoint:
        label_map = actions.read_label_map(setup.layout.label_map)
        model = weights.build_model(setup.entry, setup.checkpoint, label_map=label_map, dropout=recipe.dropout)
    else:
        n_classes = setup.layout.n_columns - 1
        model = Detector(setup.entry, recipe.dropout, recipe.zero_init_residual, n_classes=n_classes)
    new_head = not setup.checkpoint or model.report.initialised
    if recipe.prior_bias and new_head:
        model.init_classifier(label_prior)
    return model.to(setup.device)


def prior_bias(keyframes):
    """Classifier biases (81,) at which every action's score is its share of the training boxes."""
    share = keyframes.labels.mean(axis=0).clip(1e-4, 0.99)
    return torch.tensor(np.log(share / (1 - share)), dtype=torch.float32)


def begin(setup, keyframes, saved=None, world=ALONE):
    """The State to train from: step 0, or where `saved` (of state.read) stands."""
    with world.in_turn():  # one downloads, the others find it
        model = step.apply_options(initial_model(setup, prior_bias(keyframes)), setup)
    begun = State(model, step.make_optimizer(model, setup.recipe), model, step.make_scaler(setup))
    if saved:
        begun.restore(saved, setup, world)
    begun.replica = world.replicate(model)
    return begun


def train(
    setup, output_dir, save_minutes=5, progress=True, on_log=None, tensorboard=False, world=ALONE, existing="stop"
):
    """Train, validate every `recipe.validate_every` epochs, keep the best and the last. -> the log as a DataFrame.

    Writes into output_dir: log.jsonl (a line a step and a line a validation), last.pth (to go on from), best.pth and
    final.pth (weights with their metadata), tensorboard/ if asked for. A finished run is returned as it is; an
    interrupted one goes on from its last checkpoint (every epoch and every `save_minutes`). Ctrl-C and SIGTERM save,
    then raise Stopped. `on_log(log)` is called with the rows so far.
    world: the processes that train together; the main one writes and prints.
    existing: what to do where the folder holds a run of other settings: "stop", "continue" or "new", see
    existing.CHOICES.
    Raises existing.RunExistsError for such a folder, utils.locks.LockedError while another process trains in it,
    utils.files.DiskFullError where two checkpoints don't fit or the disk gets full, and step.NotFinite when the loss is
    no longer finite; bad_batch.json then names the keyframes.
    """
    output_dir = Path(output_dir)
    with lock_of(output_dir) if world.main else nullcontext() as lock:
        setup = settle(setup, output_dir, existing, setup.minutes, world)
        saved = world.broadcast(read(output_dir, setup, world, existing) if world.main else None)
        return _train(setup, output_dir, saved, lock, save_minutes, progress and world.main, on_log, tensorboard, world)


def _train(setup, output_dir, saved, lock, save_minutes, progress, on_log, tensorboard, world):
    recipe = setup.recipe
    keyframes = dataset.load_splits(setup.layout, recipe)
    with world.in_turn():
        frames = dataset.open_frames(setup.layout, recipe, keyframes.values(), progress)
    with step.determinism(setup.deterministic):
        now = begin(setup, keyframes["train"], saved, world)
        finished = now.epoch >= recipe.epochs == now.validated
        if world.main:
            _say_where(now, setup, output_dir, saved, finished, world)
        path = output_dir / "log.jsonl"
        if finished:  # in a folder that may be read-only
            written = not world.main or history.is_written(path, saved["log"])
            now.log = history.Log(None if written else path, saved["log"])
        elif world.main:
            state.check_space(setup, now, output_dir)
            rows, events = saved["log"] if saved else (), output_dir / "tensorboard" if tensorboard else None
            now.log = history.Log(path, rows, events)
        with Saver(now, setup, output_dir, save_minutes, world, lock) as saver:
            _epochs(now, setup, keyframes, frames, saver, progress, on_log)
        if world.main and not (finished and (output_dir / "final.pth").exists()):
            save_weights(now, setup, output_dir / "final.pth")
    return history.frame(now.log)


def _say_where(now, setup, output_dir, saved, finished, world):
    if finished:
        print(f"{output_dir}: this run is finished already (best mAP {now.best_mAP:.4f}); nothing to do")
        return
    print(
        f"{setup.clips_per_step(world)} clips a step ({world.size} processes x {setup.accumulate} shares x "
        f"{setup.recipe.videos_per_gpu}): lr {setup.lr(world):g} by the linear rule "
        f"({setup.recipe.lr:g} for {setup.recipe.clips_per_step})"
    )
    if saved:
        print(f"{output_dir}: going on after epoch {now.epoch}, step {now.step}")


def _epochs(now, setup, keyframes, frames, saver, progress, on_log):
    """Epochs and validations that are not done yet, a checkpoint after each."""
    recipe, world = setup.recipe, saver.world
    order = batches.TrainingBatches(
        len(keyframes["train"]), recipe.videos_per_gpu, recipe.seed, setup.accumulate, world.rank, world.size
    )
    clips = dataset.ClipDataset(keyframes["train"], setup.entry, recipe, frames, training=True)
    loader = dataset.loader(clips, order, setup.workers)
    saver.closed_last.callback(loader.close)
    while True:
        if now.epoch > now.validated and (now.epoch % recipe.validate_every == 0 or now.epoch == recipe.epochs):
            with saver.interruptible(saved=True):  # the epoch is: asked to stop, leave at once
                validate(now, setup, keyframes["val"], frames, saver.output_dir, progress, world)
            saver.save()
            if on_log:
                on_log(now.log)
        if now.epoch >= recipe.epochs:
            return
        order.epoch, order.skip = now.epoch, now.step
        try:
            train_epoch(now, setup, loader, order.steps, saver, progress, on_log)
        except step.NotFinite as error:
            raise _with_keys(error, keyframes["train"], now, saver) from None
        now.epoch, now.step = now.epoch + 1, 0
        saver.save()


def train_epoch(now, setup, loader, steps, saver, progress=True, on_log=None):
    """The steps of one epoch that are not done yet; a line in the log for each."""
    now.replica.train()
    lr = setup.lr(saver.world)
    place = f"epoch {now.epoch + 1}/{setup.recipe.epochs}"
    with tqdm(total=steps, initial=now.step, desc=place, disable=not progress) as bar:
        ended = time.perf_counter()
        for shares in saver.waited(zip(*[iter(loader)] * setup.accumulate, strict=True)):
            started = time.perf_counter()
            iteration = now.epoch * steps + now.step
            row = {"mode": "train", "epoch": now.epoch + 1, "iter": now.step + 1, "iteration": iteration + 1}
            row |= {"lr": step.lr_at(setup.recipe, lr, iteration, steps), "memory": _memory_MB(setup.device)}
            numbers, asked = step.training_step(now, shares, setup, row["lr"], iteration, saver.world, saver)
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
    if saver.world.main:
        content = {"epoch": now.epoch + 1, "iter": now.step + 1, "shares": error.found}
        files.write_json(path, content)
    return step.NotFinite(f"epoch {now.epoch + 1}, iter {now.step + 1}: {error}. Their keys are in {path}", error.found)


def validate(now, setup, keyframes, frames, output_dir, progress=True, world=ALONE):
    """Score the validation split, log its mAP, keep the weights if they are the best so far.

    Every process scores its part with the main one's weights and running statistics.
    """
    world.share_buffers(now.model)
    workers = setup.workers if len(keyframes) > 1000 * world.size else 0  # starting them takes seconds
    stance = torch.compiler.set_stance("force_eager" if setup.compile else "default")  # frames of many sizes
    with stance:
        scores = infer.score(
            now.model, keyframes, setup.recipe, frames, setup.device, setup.dtype, workers=workers, progress=progress,
            world=world,
        )  # fmt: skip
    now.validated = now.epoch
    if world.main:
        _judge(now, setup, infer.detections(keyframes, *scores), output_dir, progress)
    now.best_mAP, now.best_epoch = world.broadcast((now.best_mAP, now.best_epoch))


def _judge(now, setup, detections, output_dir, progress):
    layout = setup.layout
    rules = dict(label_map=layout.evaluated_map, exclusions=layout.excluded("val"), protocol=layout.protocol)
    report = metrics.evaluate(layout.csv("val"), detections, **rules)
    last = now.log[-1]
    row = {"mode": "val", "epoch": now.epoch, "iter": last["iter"], "iteration": last["iteration"], "lr": last["lr"]}
    row |= {history.MAP: report.mAP, "seconds": now.seconds}
    if doubt := doubts.doubt(now.log, report.mAP, layout, detections):
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
    weights.save(
        now.model,
        path,
        entry=now.model.entry,
        recipe=setup.recipe,
        label_map=actions.read_label_map(setup.layout.evaluated_map),
        protocol=setup.layout.protocol,
        epoch=now.epoch,
        mAP=next((row[history.MAP] for row in reversed(now.log) if row["mode"] == "val"), None),
    )
