"""What a training takes, before it starts; epochs that fit into a time limit."""

import json
import shutil
from dataclasses import asdict, replace

import pytest
from saved_runs import leave_run
from tiny_model import RECIPE, make_config

from avalib.data.keyframe_table import load_splits
from avalib.data.layout import DatasetLayout
from avalib.training import planner
from avalib.training.checkpoint_sizes import estimate_checkpoint_sizes
from avalib.training.engine import train_model
from avalib.training.existing_run import RunExistsError
from avalib.training.planner import advise_batch_size, estimate_cost, estimate_disk, estimate_memory
from avalib.training.profiling import (
    build_untrained_state,
    choose_timed_steps,
    find_missing_caches,
    measure_activation_bytes,
    time_clip_reading,
)
from avalib.training.time_limit import limit_epochs
from avalib.utils.distributed import DistributedContext
from avalib.video.frame_cache_builder import build_frame_caches


@pytest.fixture(scope="module")
def estimate(tiny):
    """Of two processes with two micro-batches each."""
    return estimate_cost(make_config(tiny, accumulate=2), timed_steps=1, context=DistributedContext(size=2))


def test_the_steps_follow_from_the_global_batch_size(estimate):
    assert estimate.clips_per_step == 8
    assert estimate.steps == 2 * -(-estimate.training_clips // 8)
    assert estimate.learning_rate == pytest.approx(RECIPE.lr * 8 / RECIPE.clips_per_step)


def test_the_times_follow_from_the_time_of_a_step(estimate):
    assert estimate.time.clips_per_s == pytest.approx(8 / estimate.time.step_s, rel=0.02)
    assert estimate.time.training_minutes == pytest.approx(estimate.time.step_s * estimate.steps / 60, abs=0.1)


@pytest.mark.parametrize(
    ("one_clip_s", "expected"),
    [(0.1, (12, 3)), (0.7, (12, 2)), (1.2, (12, 1)), (2.0, (7, 1)), (40.0, (1, 1))],
)
def test_a_slow_machine_is_timed_on_fewer_steps_before_fewer_clips(one_clip_s, expected):
    assert choose_timed_steps(one_clip_s, n_clips=12, repeats=3) == expected


def test_memory_and_checkpoints_are_multiples_of_the_weights(estimate, tiny):
    config = make_config(tiny)
    weights_gb = estimate_checkpoint_sizes(config, build_untrained_state(config).model).weights / 1e9
    assert estimate.memory.gb_per_process > 3 * weights_gb
    assert estimate.memory.max_clips > 2
    assert estimate.disk.checkpoints_gb == pytest.approx(7 * weights_gb, abs=0.01)
    assert estimate.disk.new_caches_gb == 0


def test_the_description_labels_every_number(estimate):
    description = estimate.describe()
    assert description["computed as"] == "2 processes x 2 micro-batches x 2 clips"
    assert description["minutes of training, about"] == estimate.time.training_minutes
    assert "to fit" not in description, "the step fits"


def test_a_record_holds_an_estimate(estimate):
    """The leaderboard reads the epochs, from records of every version."""
    assert json.loads(json.dumps(asdict(estimate)))["epochs"] == 2


def test_activations_grow_with_the_pixels(tiny):
    small, large = (make_config(tiny, crop=crop) for crop in (32, 64))
    bytes_small, bytes_large = (measure_activation_bytes(c, build_untrained_state(c)) for c in (small, large))
    assert bytes_large == pytest.approx(4 * bytes_small, rel=0.2)


def test_a_step_that_does_not_fit_comes_with_advice(tiny, monkeypatch):
    config = make_config(tiny, videos_per_gpu=12)
    state = build_untrained_state(config)
    sizes = estimate_checkpoint_sizes(config, state.model)
    clip_bytes = measure_activation_bytes(config, state)
    free_bytes = sizes.last + sizes.weights + 5.5 * clip_bytes
    monkeypatch.setattr(planner, "get_free_memory_bytes", lambda device: free_bytes)
    memory = estimate_memory(config, state)
    assert memory.max_clips == 5
    assert memory.advice.startswith("batch_size=4, accumulate=3: the same clips in a step")


def test_not_even_one_clip_fits(tiny):
    assert "not even one clip" in advise_batch_size(make_config(tiny), max_clips=0)


@pytest.fixture
def cached_config(tiny, tmp_path):
    """A config whose recipe reads from the frame cache, which does not exist yet."""
    layout = DatasetLayout(shutil.copytree(tiny.root, tmp_path / "data", symlinks=True), "mini")
    return make_config(layout, cache_short_side=256)


def test_frame_caches_that_are_still_to_be_built_are_estimated(cached_config):
    keyframes = load_splits(cached_config.layout, cached_config.recipe)
    assert estimate_disk(cached_config, build_untrained_state(cached_config), keyframes).new_caches_gb > 0


def test_frame_caches_that_exist_are_not_missing(cached_config):
    keyframes = load_splits(cached_config.layout, cached_config.recipe).values()
    videos = find_missing_caches(cached_config, keyframes)
    assert sorted(videos) == sorted(path.stem for path in cached_config.layout.videos.iterdir())
    build_frame_caches(cached_config.layout, videos[:1], 256, workers=1, progress=False)
    assert find_missing_caches(cached_config, keyframes) == videos[1:]


@pytest.mark.parametrize("split", ["train", "val"])
def test_reading_is_timed_without_building_the_frame_caches(cached_config, split):
    keyframes = load_splits(cached_config.layout, cached_config.recipe)[split]
    assert time_clip_reading(cached_config, keyframes, split) > 0
    assert not list(cached_config.layout.root.glob("cache/short_*"))


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("begin", [estimate_cost, lambda config: train_model(config, "nowhere", progress=False)])
def test_a_split_without_keyframes_stops_plan_and_training(begin, split, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layout = DatasetLayout(shutil.copytree(tiny.root, tmp_path / "data", symlinks=True), "mini")
    layout.get_csv_path(split).write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"ava_{split}_mini\.csv: no keyframes with boxes"):
        begin(make_config(layout))


# --- minutes ----------------------------------------------------------------------------------------------------------


def test_without_a_limit_nothing_changes(tiny, tmp_path):
    config = make_config(tiny)
    assert limit_epochs(config, None, 2.0, tmp_path) is config


@pytest.mark.parametrize(("minutes", "epochs"), [(0.5, 1), (7, 3), (7.2, 3), (7.3, 4), (100, 8)])
def test_epochs_fit_into_the_minutes(minutes, epochs, tiny, tmp_path):
    assert limit_epochs(make_config(tiny, epochs=8), minutes, 2.0, tmp_path).recipe.epochs == epochs


def test_the_limit_is_reported(tiny, tmp_path, capsys):
    limit_epochs(make_config(tiny, epochs=8), 7, 2.0, tmp_path)
    assert "minutes=7: 3 of the recipe's 8 epochs (2.0 minutes each on this machine)" in capsys.readouterr().out


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_minutes_are_above_zero(minutes, tiny, tmp_path):
    with pytest.raises(ValueError, match="minutes=.*above 0"):
        limit_epochs(make_config(tiny), minutes, 2.0, tmp_path)


def test_another_runs_epochs_do_not_count(tiny, tmp_path):
    folder = leave_run(tmp_path / "train", make_config(tiny, epochs=3))
    assert limit_epochs(make_config(tiny, epochs=8, lr=1.0), 100, 2.0, folder).recipe.epochs == 8


def test_a_longer_unfinished_run_that_does_not_fit_stops(tiny, tmp_path):
    config = make_config(tiny, epochs=9)
    folder = leave_run(tmp_path / "train", config, epoch=1)
    difference = "minutes of training about 16 remaining in that run, 8, which is 4 epochs in total, in this one"
    with pytest.raises(RunExistsError, match=difference):
        limit_epochs(config, 8, 2.0, folder)


def test_a_longer_unfinished_run_whose_rest_fits_is_resumed(tiny, tmp_path):
    config = make_config(tiny, epochs=9)
    folder = leave_run(tmp_path / "train", config, epoch=6)
    assert limit_epochs(config, 8, 2.0, folder).recipe.epochs == 9


@pytest.mark.parametrize(("existing", "epochs"), [("continue", 9), ("new", 4)])
def test_what_becomes_of_a_longer_unfinished_run_is_chosen(existing, epochs, tiny, tmp_path):
    config = make_config(tiny, epochs=9)
    folder = leave_run(tmp_path / "train", config, epoch=1)
    assert limit_epochs(config, 8, 2.0, folder, existing).recipe.epochs == epochs


def test_a_finished_run_of_another_length_is_used_as_it_is(tiny, tmp_path, capsys):
    config = make_config(tiny, epochs=9)
    folder = leave_run(tmp_path / "train", config, epoch=9, step=0)
    assert limit_epochs(config, 8, 2.0, folder).recipe.epochs == 9
    assert "a finished run (9 epochs" in capsys.readouterr().out


@pytest.mark.parametrize("minutes_per_epoch", [0.5, 10.0])
def test_a_run_with_the_same_limit_resumes_on_a_machine_of_another_speed(minutes_per_epoch, tiny, tmp_path):
    config = make_config(tiny, epochs=9)
    limited = limit_epochs(config, 8, 2.0, tmp_path / "train")
    folder = leave_run(tmp_path / "train", limited)
    resumed = limit_epochs(replace(config, minutes=None), 8, minutes_per_epoch, folder)
    assert resumed.recipe.epochs == limited.recipe.epochs == 4
