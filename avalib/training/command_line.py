"""The command line of `python -m avalib.training`: what the notebook's parameters say, and every number of a recipe."""

import argparse
from dataclasses import fields

from avalib import zoo
from avalib.training.existing_run import CHOICES

NOT_NUMBERS = ("name", "dataset")  # of a recipe: what it is called, not what it says


def build_parser():
    """The ArgumentParser; recipe fields that are not given are not in what it returns."""
    p = argparse.ArgumentParser(
        prog="python -m avalib.training",
        description="Train a row of the zoo; with torchrun in front, on any number of GPUs and machines. "
        "The same call goes on with a run that was interrupted.",
    )
    p.add_argument("--model", default="slowonly_r50", help="alias or full published name (default: %(default)s)")
    p.add_argument("--dataset", default="mini", help="data set by name (default: %(default)s)")
    p.add_argument("--data-seed", type=int, default=0, help="what the mini is rendered from")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    p.add_argument("--precision", default="auto", help="auto, float32, bfloat16, float16")
    p.add_argument("--checkpoint", help="random, pretrained, published, a path or a URL (default: the recipe's)")
    p.add_argument("--workers", type=int, help="processes that read clips, per process (default: 4 a GPU, 1 on a CPU)")
    p.add_argument("--batch-size", type=int, help="clips a process takes at a time; lr follows by the linear rule")
    p.add_argument("--short-side", type=int, help="side of the training crop; the other sizes follow")
    p.add_argument("--accumulate", type=int, default=1, help="batches of a process in one step")
    for name, what in {
        "channels-last": "weights in memory as the activations are",
        "recompute": "compute activations again in backward instead of keeping them: less memory, a third more time",
        "compile": "torch.compile the backbone",
        "deterministic": "deterministic algorithms only",
        "tensorboard": "event files too",
        "overfit": "the one-batch sanity check instead of training",
        "plan-only": "print what training would take, then stop",
        "quiet": "no progress bars",
    }.items():
        p.add_argument(f"--{name}", action="store_true", help=what)
    p.add_argument("--save-minutes", type=float, default=5, help="between checkpoints (default: %(default)s)")
    p.add_argument("--output-dir", default="outputs/runs", help="where the run goes (default: %(default)s)")
    p.add_argument("--tag", default="", help="keeps this run in a folder of its own")
    what = "; ".join(f"{name}: {words}" for name, words in CHOICES.items())
    p.add_argument("--existing", default="stop", choices=CHOICES, help=f"where the folder holds another run: {what}")
    p.add_argument("--minutes", type=float, help="of training, about: as many epochs as this machine does in them")
    p.add_argument("--fitted-minutes", type=float, help=argparse.SUPPRESS)  # of a launcher that has done the fitting
    recipe = p.add_argument_group("the recipe", "every number of it; what is not given stays as the recipe has it")
    for f in fields(zoo.Recipe):
        if f.name not in NOT_NUMBERS:
            recipe.add_argument(_flag(f.name), default=argparse.SUPPRESS, **_kind(f.type))
    return p


def _flag(name):
    return "--" + name.replace("_", "-")


def _kind(kind):
    """argparse's words for a field's annotation."""
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if kind in (int, float, str):
        return {"type": kind, "metavar": kind.__name__.upper()}
    if kind == int | None:
        return {"type": lambda word: None if word == "none" else int(word), "metavar": "INT|none"}
    return {"type": int, "nargs": "*", "metavar": "INT"}  # a tuple of ints


def parse_overrides(arguments):
    """{field: value} of the recipe's numbers that were given."""
    given = vars(arguments)
    return {f.name: given[f.name] for f in fields(zoo.Recipe) if f.name in given and f.name not in NOT_NUMBERS}


def parse_recipe(arguments):
    """(entry, the data set's recipe, the same with what was given changed)."""
    entry = zoo.get(arguments.model)
    base = zoo.get_recipe(entry, arguments.dataset)
    sized = zoo.customize_recipe(base, short_side=arguments.short_side, batch_size=arguments.batch_size)
    return entry, base, zoo.override_recipe(sized, parse_overrides(arguments))


def to_command_line(
    setup, dataset, data_seed=0, output_dir="outputs/runs", tag="", tensorboard=False, save_minutes=5, existing="stop"
):
    """The command line that makes this Setup again, as a list of words.

    Raises ValueError for an entry that was changed: processes of their own would not know it.
    """
    entry = setup.entry
    if entry != zoo.get(entry.alias):
        changed = zoo.compare_fields(zoo.get(entry.alias), entry)
        raise ValueError(f"{entry.alias} was changed ({changed}): train it with gpus=1")
    found = ["--model", entry.alias, "--dataset", dataset, "--data-seed", data_seed, "--device", setup.device.type]
    found += ["--precision", str(setup.dtype).removeprefix("torch."), "--checkpoint", setup.checkpoint or "random"]
    found += ["--workers", setup.workers, "--accumulate", setup.accumulate, "--save-minutes", save_minutes]
    found += ["--output-dir", output_dir, "--tag", tag, "--existing", existing]
    found += ["--fitted-minutes", setup.minutes] if setup.minutes is not None else []
    flags = ("channels_last", "recompute", "compile", "deterministic")
    found += [_flag(name) for name in flags if getattr(setup, name)] + ["--tensorboard"] * tensorboard
    for name, (_, value) in zoo.compare_fields(zoo.get_recipe(entry, dataset), setup.recipe).items():
        if isinstance(value, bool):
            found.append(_flag(name) if value else "--no-" + name.replace("_", "-"))
        else:
            values = value if isinstance(value, tuple) else [value]
            found += [_flag(name), *("none" if v is None else v for v in values)]
    return [str(word) for word in found]
