"""The command line and the launcher: every number overridable, a Setup and its command are the same thing."""

import sys
from dataclasses import fields, replace

import pytest

from avalib import zoo
from avalib.training.command_line import NOT_NUMBERS, build_parser, parse_recipe, to_command_line
from avalib.training.launch import LaunchError, stream_log
from avalib.training.session import configure_training


def parsed(*words):
    return parse_recipe(build_parser().parse_args([str(w) for w in words]))


def test_every_number_of_a_recipe_can_be_given():
    text = build_parser().format_help()
    names = [f.name for f in fields(zoo.Recipe) if f.name not in NOT_NUMBERS]
    assert len(names) > 25 and all(f"--{name.replace('_', '-')} " in text.replace("\n", " ") for name in names)


def test_what_is_given_changes_and_nothing_else():
    words = ["--model", "slowfast_r50", "--dataset", "ava2.1", "--epochs", 10, "--milestones", 5, 8, "--no-prior-bias"]
    words += ["--weight-decay", 1e-4, "--cache-short-side", 320, "--train-short-side", 224, 256, "--batch-size", 4]
    entry, base, recipe = parsed(*words)
    assert entry.alias == "slowfast_r50" and base == zoo.build_published_recipe(entry)
    assert zoo.compare_fields(base, recipe) == {
        "epochs": (20, 10),
        "milestones": ((10, 15), (5, 8)),
        "weight_decay": (1e-5, 1e-4),
        "cache_short_side": (None, 320),
        "train_short_side": ((256, 320), (224, 256)),
        "videos_per_gpu": (9, 4),
    }
    assert parsed("--cache-short-side", "none")[2].cache_short_side is None
    assert parsed()[1] == parsed()[2]


def test_overrides_by_name_are_held_to_their_kind():
    base = zoo.build_published_recipe(zoo.get("slowonly_r50"))
    changed = zoo.override_recipe(
        base, {"lr": 1, "milestones": [8, 11], "cache_short_side": None, "zero_init_residual": False}
    )
    assert (changed.lr, changed.milestones, changed.zero_init_residual) == (1.0, (8, 11), False)
    with pytest.raises(TypeError, match="no 'weight_deacy'. Did you mean 'weight_decay'"):
        zoo.override_recipe(base, {"weight_deacy": 1})
    for name, value in {"epochs": 1.5, "lr": "high", "milestones": 10, "train_short_side": [256], "flip": None}.items():
        with pytest.raises(TypeError, match=f"{name}=.*expected"):
            zoo.override_recipe(base, {name: value})


@pytest.mark.parametrize("dataset", ["mini", "ava2.1"])
def test_a_setup_and_its_command_are_the_same(dataset):
    entry = zoo.get("slowfast_r50")
    changes = {"milestones": (3, 4), "prior_bias": False, "cache_short_side": None, "epochs": 7, "lr": 0.3, "flip": 0.0}
    recipe = zoo.override_recipe(zoo.get_recipe(entry, dataset), changes)
    setup = configure_training(entry, recipe, None, "cpu", "float32", 3, "weights.pth", accumulate=4, recompute=True)
    given = build_parser().parse_args(
        to_command_line(setup, dataset, 5, "runs", "tag", tensorboard=True, save_minutes=1.5)
    )
    assert parse_recipe(given) == (entry, zoo.get_recipe(entry, dataset), recipe)
    assert (given.device, given.precision, given.workers, given.checkpoint) == ("cpu", "float32", 3, "weights.pth")
    assert (given.accumulate, given.recompute, given.compile, given.tensorboard) == (4, True, False, True)
    assert (given.data_seed, given.output_dir, given.tag, given.save_minutes) == (5, "runs", "tag", 1.5)
    with pytest.raises(ValueError, match="slowfast_r50 was changed.*gpus=1"):
        to_command_line(replace(setup, entry=replace(entry, fusion_kernel=7)), dataset)


def test_the_checkpoint_is_the_recipes_unless_one_is_named():
    entry = zoo.get("slowonly_r50")
    published, mini = zoo.build_published_recipe(entry), zoo.build_mini_recipe(entry)
    assert configure_training(entry, published, None, "cpu").checkpoint == "pretrained"
    assert configure_training(entry, published, None, "cpu", checkpoint="random").checkpoint is None
    assert configure_training(entry, mini, None, "cpu").checkpoint is None


WRITER = """
import sys, time
for i in range(3):
    print("said", i, flush=True)
    with open(sys.argv[1], "a") as file:
        file.write('{"mode": "train", "epoch": 1, "iteration": %d}\\n' % i)
    time.sleep(0.2)
sys.exit(int(sys.argv[2]))
"""


def test_the_launcher_follows_a_log_and_says_what_went_wrong(tmp_path, capsys):
    path, seen = tmp_path / "run" / "log.jsonl", []
    log = stream_log([sys.executable, "-c", WRITER, str(path), "0"], path, lambda rows: seen.append(len(rows)), 0.05)
    assert list(log.iteration) == [0, 1, 2] and seen == sorted(seen) and {1, 2} & set(seen)
    assert "said 0\nsaid 1\nsaid 2\n" in capsys.readouterr().out
    with pytest.raises(LaunchError, match=r"(?s)ended with 7.*torchrun\.log.*said 2"):
        stream_log([sys.executable, "-c", WRITER, str(path), "7"], path, seconds=0.05)
