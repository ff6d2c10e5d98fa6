"""The one-batch sanity check: a network that can't learn one batch by heart has wrong labels, boxes or arithmetic."""

import time
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from avalib.data.dataset import ClipDataset, collate_clips, load_keyframes
from avalib.data.samplers import TrainBatchSampler
from avalib.training.existing_run import lock_run
from avalib.training.logger import TrainingLog, build_log_table
from avalib.training.planner import build_blank_state
from avalib.training.step import seed_everything, train_step
from avalib.video.dataset_frames import open_frames

EXPECTED = {"loss_action_cls": 0.05, "recall@thr=0.5": 0.95, "prec@thr=0.5": 0.95}  # loss below, the others above
PROMISE = (
    f"expected end: loss below {EXPECTED['loss_action_cls']}, and at score 0.5 recall and precision of at least "
    f"{EXPECTED['recall@thr=0.5']} on that batch"
)
LR = 1e-3  # of AdamW, whatever the recipe's optimiser is: what is tested is everything but the schedule


class OverfitError(RuntimeError):
    """The batch was not learnt; the message says what was reached and what to look at."""


def overfit_one_batch(setup, output_dir, steps=150, progress=True, on_log=None):
    """Train on the first batch alone until the expected end (`PROMISE`). -> the log as a DataFrame.

    The same clips, crops and flips at every step, no dropout; AdamW at a constant lr. Writes log.jsonl into output_dir.
    Raises OverfitFailed if `steps` steps are not enough.
    """
    recipe = replace(setup.recipe, dropout=0.0, colour=0.0, optimizer="adamw", weight_decay=0.0, cache_short_side=None)
    setup = replace(setup, recipe=recipe, accumulate=1)
    print(f"one batch of {recipe.videos_per_gpu} clips, at most {steps} steps; {PROMISE}")
    batch = _first_batch(setup)
    seed_everything(recipe.seed)
    state = build_blank_state(setup)
    with lock_run(output_dir):
        state.log = TrainingLog(Path(output_dir) / "log.jsonl")
        return _learn(state, batch, setup, steps, progress, on_log)


def _learn(state, batch, setup, steps, progress, on_log):
    ended = time.perf_counter()
    for i in tqdm(range(steps), desc="overfitting one batch", disable=not progress):
        row, _ = train_step(state, [batch], setup, LR, i)
        now = time.perf_counter()
        place = {"mode": "train", "epoch": 1, "iter": i + 1, "iteration": i + 1, "lr": LR, "time": now - ended}
        ended = now
        state.log.append(place | row)
        if on_log:
            on_log(state.log)
        if find_reached_recall(row):
            print(f"reached after {i + 1} steps: {_told(row)}")
            return build_log_table(state.log)
    raise OverfitError(
        f"not reached in {steps} steps: {_told(row)}; {PROMISE}. Likely reasons: boxes that are not where the people "
        "are, the same person with other labels in another clip of the batch, ids in the wrong columns, a wrong loss"
    )


def find_reached_recall(row):
    """Whether a logged row is the expected end."""
    loss, *others = EXPECTED
    return row[loss] < EXPECTED[loss] and all(row[name] >= EXPECTED[name] for name in others)


def _told(row):
    return ", ".join(f"{name} {row[name]:.3f}" for name in EXPECTED)


def _first_batch(setup):
    recipe = setup.recipe
    keyframes = load_keyframes(setup.layout, "train", recipe.person_score, training=True)
    frames = open_frames(setup.layout, recipe, [keyframes])
    clips = ClipDataset(keyframes, setup.entry, recipe, frames, training=True)
    chosen = next(iter(TrainBatchSampler(len(keyframes), recipe.videos_per_gpu, recipe.seed)))
    return collate_clips([clips[item] for item in chosen])
