"""The options of the command: every number of a recipe, and the command line of a training that processes repeat."""

import re
from dataclasses import fields, replace
from typing import get_args

import pytest

from avalib import zoo
from avalib.cli.app import COMMANDS, parse_options
from avalib.cli.options import Protocol
from avalib.data.layout import DatasetLayout
from avalib.evaluation.protocols import EXTRA_PROTOCOLS, PROTOCOLS
from avalib.training.launch import to_command_line
from avalib.training.train_config import configure_training


def parse_train(*words):
    """The options of `avalib train`, and the recipe that they make."""
    parsed = parse_options("train", [str(word) for word in words])
    base = zoo.get_recipe(zoo.get(parsed.training.model), parsed.training.dataset)
    changes = {f.name: getattr(parsed.recipe, f.name) for f in fields(parsed.recipe)}
    return parsed.training, base, replace(base, **changes)


def show_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        parse_options(command, ["--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_every_number_of_a_recipe_is_an_option(capsys):
    text = show_help("train", capsys)
    names = [f.name for f in fields(zoo.Recipe) if f.name not in ("name", "dataset")]
    assert [name for name in names if f"--{name.replace('_', '-')}" not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text_and_a_default(command, capsys):
    # the boxes of the help: an option begins a line with "--", its text follows until the next one
    lines = [line.strip("│ ") for line in show_help(command, capsys).splitlines() if line.startswith("│")]
    options = re.split(r"(?:^|\n)--", "\n".join(lines))[1:]
    for option in (option.replace("\n", " ") for option in options):
        text = re.sub(r"^\S+, --\S+|^\S+", "", option)  # without its name, or both names of "--again, --no-again"
        assert "(default:" in text or "show this help" in text or "(required)" in text, option
        assert len(text.split("(default:")[0].split()) >= 3 or "show this help" in text, option


def test_the_defaults_are_those_of_the_models_recipe(capsys):
    _, base, recipe = parse_train("--model", "slowfast_r50", "--dataset", "ava2.1")
    assert recipe == base == zoo.build_published_recipe(zoo.get("slowfast_r50"))


def test_options_change_what_they_name_and_nothing_else():
    words = ["--model", "slowfast_r50", "--dataset", "ava2.1", "--epochs", 10, "--milestones", 5, 8, "--prior-bias"]
    words += ["--weight-decay", 1e-4, "--cache-short-side", 320, "--train-short-side", 224, 256, "--batch-size", 4]
    _, base, recipe = parse_train(*words)
    assert zoo.compare_fields(base, recipe) == {
        "epochs": (20, 10),
        "milestones": ((10, 15), (5, 8)),
        "prior_bias": (False, True),
        "weight_decay": (1e-5, 1e-4),
        "cache_short_side": (None, 320),
        "train_short_side": ((256, 320), (224, 256)),
        "videos_per_gpu": (9, 4),
    }


def test_none_is_a_value_where_a_recipe_has_it():
    assert parse_train("--cache-short-side", "None")[2].cache_short_side is None


def test_the_short_side_moves_the_other_sizes():
    recipe = parse_train("--short-side", 32)[2]
    assert (recipe.crop, recipe.test_short_side, recipe.train_short_side) == (32, 32, (32, 34))


@pytest.mark.parametrize("dataset", ["mini", "ava2.1"])
def test_a_training_and_its_command_line_are_the_same(dataset):
    entry = zoo.get("slowfast_r50")
    changes = {"milestones": (3, 4), "prior_bias": False, "cache_short_side": None, "epochs": 7, "lr": 0.3, "flip": 0.0}
    recipe = replace(zoo.get_recipe(entry, dataset), **changes)
    config = configure_training(
        entry,
        recipe,
        None,
        device="cpu",
        precision="float32",
        workers=3,
        checkpoint="weights.pth",
        accumulate=4,
        recompute=True,
    )
    words = to_command_line(
        config, dataset=dataset, data_seed=5, output_dir="runs", tag="tag", tensorboard=True, save_minutes=1.5
    )
    training, base, parsed = parse_train(*words)
    assert (training.model, base, parsed) == (entry.alias, zoo.get_recipe(entry, dataset), recipe)
    assert (training.device, training.precision, training.workers) == ("cpu", "float32", 3)
    assert (training.checkpoint, training.accumulate, training.save_minutes) == ("weights.pth", 4, 1.5)
    assert (training.recompute, training.compile, training.tensorboard) == (True, False, True)
    assert (training.data_seed, training.output_dir, training.tag) == (5, "runs", "tag")


def test_an_entry_that_was_changed_has_no_command_line():
    entry = replace(zoo.get("slowfast_r50"), fusion_kernel=7)
    config = configure_training(entry, zoo.get_recipe(entry, "mini"), DatasetLayout("nowhere", "mini"), device="cpu")
    with pytest.raises(ValueError, match="slowfast_r50 was changed.*gpus=1"):
        to_command_line(config, dataset="mini")


def test_every_protocol_can_be_chosen():
    assert set(get_args(Protocol)) == {*PROTOCOLS, *EXTRA_PROTOCOLS}
