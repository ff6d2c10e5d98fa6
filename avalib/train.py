"""The training loop: plan, train, validate, save, resume.

Two storeys: `train_epoch` owns the steps, `train` the epochs. `state.py` keeps the run on disk, so that an interrupted
one goes on at the next call.
"""

import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from avalib import actions, dataset, infer, metrics, transforms, weights, zoo
from avalib.models import Detector, targets
from avalib.state import Saver, Setup, State, keep_other_run, resume


def setup(entry, recipe, layout, device="auto", precision="auto", workers=1, checkpoint=None):
    """A Setup with the device and precision chosen (see infer.choose_device, infer.choose_precision)."""
    device = infer.choose_device(device)
    return Setup(entry, recipe, layout, device, infer.choose_precision(precision, device), workers, checkpoint)


def lr_at(recipe, lr, iteration, per_epoch):
    """Learning rate of an iteration (from 0): the schedule by epoch, times the linear warm-up by iteration."""
    epoch = iteration // per_epoch
    if recipe.schedule == "step":
        lr = lr * recipe.gamma ** sum(epoch >= m for m in recipe.milestones)
    elif recipe.schedule == "cosine":
        lr = lr * 0.5 * (1 + math.cos(math.pi * iteration / (recipe.epochs * per_epoch)))
    else:
        raise ValueError(f"schedule {recipe.schedule!r}: expected 'step' or 'cosine'")
    warmup = recipe.warmup_epochs * per_epoch
    if iteration < warmup:
        lr = lr * (recipe.warmup_ratio + (1 - recipe.warmup_ratio) * iteration / warmup)
    return lr


def epoch_table(log):
    """The log by epoch: means of loss_action_cls and recall@top3, last lr, clips_per_s, mAP@0.5IOU where validated."""
    steps = log[log["mode"] == "train"].groupby("epoch")
    table = steps.agg({"loss_action_cls": "mean", "recall@top3": "mean", "lr": "last"})
    table["clips_per_s"] = steps.clips.sum() / steps.time.sum()
    validated = log[log["mode"] == "val"].set_index("epoch")
    return table.join(validated[["mAP@0.5IOU"]]).reset_index().round(5)


def summary(log):
    """{"best_mAP", "best_epoch", "last_mAP", "minutes" of training, "clips_per_s"} of a finished run's log."""
    steps, validated = log[log["mode"] == "train"], log[log["mode"] == "val"]
    best = validated.loc[validated["mAP@0.5IOU"].idxmax()]
    return {
        "best_mAP": float(best["mAP@0.5IOU"]),
        "best_epoch": int(best.epoch),
        "last_mAP": float(validated["mAP@0.5IOU"].iloc[-1]),
        "minutes": round(float(steps.time.sum()) / 60, 2),
        "clips_per_s": round(float(steps.clips.sum() / steps.time.sum()), 2),
    }


def make_optimizer(model, recipe):
    """One parameter group: weight decay applies to batch norm and biases too, as published."""
    options = dict(lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=recipe.momentum, **options)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), betas=(recipe.momentum, 0.999), **options)
    raise ValueError(f"optimizer {recipe.optimizer!r}: expected 'sgd' or 'adamw'")


def initial_model(setup, label_prior=None):
    """The model at step 0: the recipe's initialisation, or a checkpoint's weights."""
    torch.manual_seed(setup.recipe.seed)
    n_classes = setup.layout.n_columns - 1
    model = Detector(setup.entry, setup.recipe.dropout, setup.recipe.zero_init_residual, n_classes=n_classes)
    if setup.checkpoint:
        label_map = actions.read_label_map(setup.layout.label_map)
        model = weights.build_model(setup.entry, setup.checkpoint, label_map=label_map)
    elif setup.recipe.prior_bias:
        model.init_classifier(label_prior)
    return model.to(setup.device)


def plan(setup, timed_steps=3):
    """What training will take, before it starts, from `timed_steps` real steps on noise. -> {what: value}."""
    recipe = setup.recipe
    clips = len(dataset.load_keyframes(setup.layout, "train", recipe.person_score, training=True))
    steps = -(-clips // recipe.videos_per_gpu) * recipe.epochs
    seconds = _time_steps(setup, timed_steps)
    return {
        "model": setup.entry.alias,
        "clip": f"{setup.entry.clip_len} frames, {setup.entry.frame_interval} apart, {recipe.crop}x{recipe.crop} px",
        "training clips": clips,
        "epochs": recipe.epochs,
        "steps": steps,
        "clips a step": recipe.videos_per_gpu,
        "learning rate": zoo.scaled_lr(recipe, 1, recipe.videos_per_gpu),
        "device": str(setup.device),
        "precision": str(setup.dtype).removeprefix("torch."),
        "seconds a step": round(seconds, 3),
        "clips a second": round(recipe.videos_per_gpu / seconds, 2),
        "minutes of training, about": round(seconds * steps / 60, 1),
    }


def _time_steps(setup, count):
    """Median seconds of a training step on noise, with a model of its own; one step more to warm up."""
    recipe, entry = setup.recipe, setup.entry
    model = Detector(entry, n_classes=setup.layout.n_columns - 1).to(setup.device).train()
    optimizer = make_optimizer(model, recipe)
    size, clips = recipe.crop, recipe.videos_per_gpu
    box = [size / 4, size / 4, size * 3 / 4, size * 3 / 4]
    wanted = torch.zeros(3 * clips, setup.layout.n_columns)
    wanted[:, 1] = 1
    batch = {
        "clips": torch.randint(0, 255, (clips, entry.clip_len, size, size, 3), dtype=torch.uint8),
        "rois": torch.tensor([[i // 3, *box] for i in range(3 * clips)]),
        "targets": wanted,
        "index": torch.zeros(clips),
    }
    times = []
    for _ in range(count + 1):
        started = time.perf_counter()
        training_step(model, optimizer, batch, setup, lr=0.0)
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))


def train(setup, output_dir, save_minutes=5, progress=True, on_log=None):
    """Train, validate every `recipe.validate_every` epochs, keep the best and the last. -> the log as a DataFrame.

    Writes into output_dir: log.jsonl (a line a step and a line a validation), last.pth (to go on from), best.pth and
    final.pth (weights with their metadata). A finished run is returned as it is; an interrupted one goes on from its
    last checkpoint (every epoch and every `save_minutes`); another run's folder is kept under a new name.
    Ctrl-C and SIGTERM save, then leave. `on_log(log)` is called with the rows so far, to draw them.
    Raises FloatingPointError when the loss is no longer finite.
    """
    output_dir = Path(output_dir)
    keep_other_run(output_dir, setup)
    recipe = setup.recipe
    keyframes = {
        s: dataset.load_keyframes(setup.layout, s, recipe.person_score, s == "train") for s in ("train", "val")
    }
    frames = dataset.open_frames(setup.layout, recipe, keyframes.values(), progress)
    batches = dataset.TrainingBatches(len(keyframes["train"]), recipe.videos_per_gpu, recipe.seed)
    clips = dataset.ClipDataset(keyframes["train"], setup.entry, recipe, frames, training=True)
    model = initial_model(setup, prior_bias(keyframes["train"]))
    state = State(model, make_optimizer(model, recipe))
    if resume(state, setup, output_dir) and state.epoch >= recipe.epochs:
        print(f"{output_dir}: this run is finished already (best mAP {state.best_mAP:.4f}); nothing to do")
        return pd.DataFrame(state.log)
    loader = dataset.loader(clips, batches, setup.workers)
    saver = Saver(state, setup, output_dir, save_minutes)
    with saver:
        while state.epoch < recipe.epochs:
            batches.epoch, batches.skip = state.epoch, state.step
            train_epoch(state, setup, loader, saver, progress, on_log)
            state.epoch, state.step = state.epoch + 1, 0
            if state.epoch % recipe.validate_every == 0 or state.epoch == recipe.epochs:
                validate(state, setup, keyframes["val"], frames, output_dir, progress)
            saver.save()
            if on_log:
                on_log(state.log)
    save_weights(state, setup, output_dir / "final.pth")
    return pd.DataFrame(state.log)


def train_epoch(state, setup, loader, saver, progress=True, on_log=None):
    """The steps of one epoch that are not done yet; a line in the log for each."""
    model, recipe = state.model.train(), setup.recipe
    per_epoch = state.step + len(loader)
    lr = zoo.scaled_lr(recipe, 1, recipe.videos_per_gpu)
    bar = tqdm(
        total=per_epoch, initial=state.step, desc=f"epoch {state.epoch + 1}/{recipe.epochs}", disable=not progress
    )
    ended = time.perf_counter()
    for batch in loader:
        started = time.perf_counter()
        iteration = state.epoch * per_epoch + state.step
        # every step's own seed: dropout is the same after a resume as in an unbroken run
        torch.manual_seed(recipe.seed * 1_000_003 + iteration)
        row = {"mode": "train", "epoch": state.epoch + 1, "iter": state.step + 1, "iteration": iteration + 1}
        row["lr"] = lr_at(recipe, lr, iteration, per_epoch)
        row |= training_step(model, state.optimizer, batch, setup, row["lr"])
        now = time.perf_counter()
        row |= {"time": now - ended, "data_time": started - ended, "clips": len(batch["clips"])}
        state.seconds += now - ended
        ended = now
        state.step += 1
        state.log.append(row)
        bar.set_postfix(loss=f"{row['loss_action_cls']:.4f}", lr=f"{row['lr']:.4f}")
        bar.update()
        saver.tick()
        if on_log and state.step % 10 == 0:
            on_log(state.log)
    bar.close()


def training_step(model, optimizer, batch, setup, lr):
    """One step of the optimiser on one batch. -> what is logged: loss_action_cls, grad_norm, recall and precision."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    clips = transforms.normalise(batch["clips"].to(setup.device, non_blocking=True))
    wanted = batch["targets"].to(setup.device, non_blocking=True)
    with infer.autocast(setup.device, setup.dtype):
        logits = model(clips, batch["rois"].to(setup.device, non_blocking=True))
    loss = targets.action_loss(logits, wanted)
    if not torch.isfinite(loss):
        keys = batch["index"].tolist()
        raise FloatingPointError(f"the loss is {loss.item()} on keyframes {keys}: lower lr, or look at these labels")
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), setup.recipe.grad_clip)
    optimizer.step()
    return {"loss_action_cls": loss.item(), "grad_norm": norm.item(), **targets.batch_metrics(logits, wanted)}


def validate(state, setup, keyframes, frames, output_dir, progress=True):
    """Score the validation split, log its mAP, keep the weights if they are the best so far."""
    scores = infer.score(
        state.model, keyframes, setup.recipe, frames, setup.device, setup.dtype, workers=0, progress=progress
    )
    table = infer.detections(keyframes, *scores)
    report = metrics.evaluate(
        setup.layout.csv("val"),
        table,
        label_map=setup.layout.evaluated_map,
        exclusions=setup.layout.excluded("val"),
        protocol=setup.layout.protocol,
    )
    state.log.append(
        {
            "mode": "val",
            "epoch": state.epoch,
            "iteration": state.log[-1]["iteration"],
            "mAP@0.5IOU": report.mAP,
            "seconds": state.seconds,
        }
    )
    if report.mAP > state.best_mAP:
        state.best_mAP, state.best_epoch = report.mAP, state.epoch
        save_weights(state, setup, output_dir / "best.pth")
    if progress:
        tqdm.write(f"epoch {state.epoch}: validation mAP@0.5 {report.mAP:.4f} (best {state.best_mAP:.4f})")


def save_weights(state, setup, path):
    """A checkpoint that build_model and MMAction2 load, with the label map, the entry and the recipe inside."""
    weights.save(
        state.model,
        path,
        entry=setup.entry,
        recipe=setup.recipe,
        label_map=actions.read_label_map(setup.layout.evaluated_map),
        protocol=setup.layout.protocol,
        epoch=state.epoch,
        mAP=next((row["mAP@0.5IOU"] for row in reversed(state.log) if row["mode"] == "val"), None),
    )


def prior_bias(keyframes):
    """Classifier biases (81,) at which every action's score is its share of the training boxes."""
    share = keyframes.labels.mean(axis=0).clip(1e-4, 0.99)
    return torch.tensor(np.log(share / (1 - share)), dtype=torch.float32)
