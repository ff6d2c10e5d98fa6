"""What tests/test_distributed.py starts in two processes: gradients, scores and a training, each as a file.

Also by hand: torchrun --nproc-per-node 2 --max-restarts 1 tests/worker.py FOLDER DATA. It trains until it is done; the
first time, process 1 dies in mid-run (SIGKILL), as a machine does.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from small import ENTRY, RECIPE

from avalib import annotations, batches, dataset, infer, parallel, train
from avalib.train import loop, step


def gradients(setup, world, frozen):
    """Gradients of the first step, before anything is clipped or applied. frozen: batch norm in eval mode."""
    keyframes = dataset.load_keyframes(setup.layout, "train", training=True)
    order = batches.TrainingBatches(len(keyframes), 2, 0, setup.accumulate, world.rank, world.size)
    clips = dataset.ClipDataset(keyframes, setup.entry, setup.recipe, dataset.FrameSource(setup.layout), True)
    shares = [dataset.collate([clips[item] for item in share]) for share in list(order)[: setup.accumulate]]
    state = loop.begin(setup, keyframes, world=world)
    for i, batch in enumerate(shares):
        state.replica.train(not frozen)
        step.seed_everything(0, world.rank * len(shares) + i)
        with parallel.without_sync(state.replica, skip=i < len(shares) - 1):
            (step.forward(state.replica, batch, setup)[0] / len(shares)).backward()
    return {name: p.grad.clone() for name, p in state.model.named_parameters()}


def scores(setup, world):
    """(scores, boxes) of the val split, three keyframes a batch: shards that are not equally long."""
    keyframes = dataset.load_keyframes(setup.layout, "val")
    model = loop.begin(setup, keyframes, world=world).model
    frames = dataset.FrameSource(setup.layout)
    return infer.score(model, keyframes, setup.recipe, frames, "cpu", "float32", 3, progress=False, world=world)


def setup_of(layout, **options):
    return train.setup(ENTRY, RECIPE, layout, "cpu", "float32", workers=0, **options)


def dies_once(world):
    """on_log's stand-in: process 1 is killed after the first validation, the first time it is started."""

    def on_log(log):
        if world.rank == 1 and world.restarts == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_log


def main(folder, data):
    layout = annotations.Layout(data, "mini")
    world, _ = parallel.join(torch.device("cpu"))
    setup = setup_of(layout)
    if world.restarts == 0:
        found = {f"gradients {frozen}": gradients(setup, world, frozen) for frozen in (True, False)}
        found["scores"] = [torch.from_numpy(a) for a in scores(setup, world)]
        torch.save(found, folder / f"rank{world.rank}.pt")
        world.wait()
    loop.train(setup, folder / "run", progress=False, on_log=dies_once(world), world=world)
    (folder / f"done{world.rank}").write_text(f"{world.restarts} {world.size}", encoding="utf-8")
    world.wait()
    parallel.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
