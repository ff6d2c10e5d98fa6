"""What tests/training/test_distributed.py starts in two processes: gradients, scores and a training, each as a file.

Also by hand: torchrun --nproc-per-node 2 --max-restarts 1 tests/helpers/distributed_worker.py FOLDER DATA. It trains until it is done; the
first time, process 1 dies in mid-run (SIGKILL), as a machine does.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from tiny_model import ENTRY, RECIPE

from avalib.data.dataset import ClipDataset, collate_clips, load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.samplers import TrainBatchSampler
from avalib.evaluation.inference import score_keyframes
from avalib.training.engine import initialize_state, train_model
from avalib.training.train_config import configure_training
from avalib.training.step import run_forward, seed_everything
from avalib.utils.distributed import cleanup_distributed, init_distributed, skip_gradient_sync
from avalib.video.frame_source import FrameSource


def gradients(setup, context, frozen):
    """Gradients of the first step, before anything is clipped or applied. frozen: batch norm in eval mode."""
    keyframes = load_keyframes(setup.layout, "train", training=True)
    order = TrainBatchSampler(len(keyframes), 2, 0, setup.accumulate, context.rank, context.size)
    clips = ClipDataset(keyframes, setup.entry, setup.recipe, FrameSource(setup.layout), True)
    shares = [collate_clips([clips[item] for item in share]) for share in list(order)[: setup.accumulate]]
    state = initialize_state(setup, keyframes, context=context)
    for i, batch in enumerate(shares):
        state.replica.train(not frozen)
        seed_everything(0, context.rank * len(shares) + i)
        with skip_gradient_sync(state.replica, skip=i < len(shares) - 1):
            (run_forward(state.replica, batch, setup)[0] / len(shares)).backward()
    return {name: p.grad.clone() for name, p in state.model.named_parameters()}


def scores(setup, context):
    """(scores, boxes) of the val split, three keyframes a batch: shards that are not equally long."""
    keyframes = load_keyframes(setup.layout, "val")
    model = initialize_state(setup, keyframes, context=context).model
    frames = FrameSource(setup.layout)
    return score_keyframes(model, keyframes, setup.recipe, frames, "cpu", "float32", 3, progress=False, context=context)


def setup_of(layout, **options):
    return configure_training(ENTRY, RECIPE, layout, "cpu", "float32", workers=0, **options)


def dies_once(context):
    """on_log's stand-in: process 1 is killed after the first validation, the first time it is started."""

    def on_log(log):
        if context.rank == 1 and context.restarts == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_log


def main(folder, data):
    layout = DatasetLayout(data, "mini")
    context, _ = init_distributed(torch.device("cpu"))
    setup = setup_of(layout)
    if context.restarts == 0:
        found = {f"gradients {frozen}": gradients(setup, context, frozen) for frozen in (True, False)}
        found["scores"] = [torch.from_numpy(a) for a in scores(setup, context)]
        torch.save(found, folder / f"rank{context.rank}.pt")
        context.barrier()
    train_model(setup, folder / "run", progress=False, on_log=dies_once(context), context=context)
    (folder / f"done{context.rank}").write_text(f"{context.restarts} {context.size}", encoding="utf-8")
    context.barrier()
    cleanup_distributed()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
