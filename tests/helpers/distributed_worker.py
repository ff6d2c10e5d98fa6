"""What tests/training/test_distributed.py starts in two processes: gradients, scores and a training, each as a file.

Also by hand: torchrun --nproc-per-node 2 --max-restarts 1 tests/helpers/distributed_worker.py FOLDER DATA. The first
time, process 1 dies in the middle of the training (SIGKILL), as a machine does; the second time it trains to the end.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from tiny_model import make_config

from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.loader import collate_clips
from avalib.data.samplers import TrainBatchSampler
from avalib.evaluation.inference import score_keyframes
from avalib.training.engine import train_model
from avalib.training.initial_state import initialize_state
from avalib.training.reproducibility import seed_everything
from avalib.training.step import run_forward
from avalib.utils.distributed import close_distributed, init_distributed, skip_gradient_sync
from avalib.video.frame_source import FrameSource


def compute_gradients(config, context, freeze_statistics):
    """{parameter: gradient} of the first step, before clipping. freeze_statistics: batch norm in eval mode."""
    keyframes = load_keyframes(config.layout, "train", training=True)
    sampler = TrainBatchSampler(len(keyframes), 2, 0, config.accumulate, context.rank, context.size)
    clips = ClipDataset(keyframes, config.entry, config.recipe, FrameSource(config.layout), True)
    batches = [collate_clips([clips[item] for item in items]) for items in list(sampler)[: config.accumulate]]
    state = initialize_state(config, keyframes, context=context)
    for i, batch in enumerate(batches):
        state.ddp_model.train(not freeze_statistics)
        seed_everything(0, context.rank * len(batches) + i)
        with skip_gradient_sync(state.ddp_model, skip=i < len(batches) - 1):
            loss, _ = run_forward(state.ddp_model, batch, config)
            (loss / len(batches)).backward()
    return {name: p.grad.clone() for name, p in state.model.named_parameters()}


def compute_scores(config, context):
    """(scores, boxes) of the val split, three keyframes a batch: the processes' parts differ in length."""
    keyframes = load_keyframes(config.layout, "val")
    model = initialize_state(config, keyframes, context=context).model
    return score_keyframes(
        model,
        keyframes,
        config.recipe,
        FrameSource(config.layout),
        "cpu",
        "float32",
        batch_size=3,
        progress=False,
        context=context,
    )


def die_once(context):
    """An on_log function that kills process 1 after the first validation, the first time it is started."""

    def on_log(rows):
        if context.rank == 1 and context.restarts == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_log


def main(folder, data):
    context, _ = init_distributed(torch.device("cpu"))
    config = make_config(DatasetLayout(data, "mini"))
    if context.restarts == 0:
        results = {f"gradients {freeze}": compute_gradients(config, context, freeze) for freeze in (True, False)}
        results["scores"] = [torch.from_numpy(array) for array in compute_scores(config, context)]
        torch.save(results, folder / f"rank{context.rank}.pt")
        context.barrier()
    train_model(config, folder / "run", progress=False, on_log=die_once(context), context=context)
    (folder / f"done{context.rank}").write_text(f"{context.restarts} {context.size}", encoding="utf-8")
    context.barrier()
    close_distributed()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
