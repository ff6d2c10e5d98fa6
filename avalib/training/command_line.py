"""The `avalib train` command line of a training, for processes that torchrun starts."""

from avalib import zoo


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
    found += [to_option_name(name) for name in flags if getattr(setup, name)] + ["--tensorboard"] * tensorboard
    for name, (_, value) in zoo.compare_fields(zoo.get_recipe(entry, dataset), setup.recipe).items():
        if isinstance(value, bool):
            found.append(to_option_name(name) if value else to_option_name(f"no_{name}"))
        else:
            values = value if isinstance(value, tuple) else [value]
            found += [to_option_name(name), *("None" if v is None else v for v in values)]
    return [str(word) for word in found]


def to_option_name(name):
    """The option of a field: "--weight-decay" for "weight_decay"."""
    return "--" + name.replace("_", "-")
