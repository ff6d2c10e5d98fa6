"""The three modes of `avalib detect` and their options: one video, many (--out-dir), a live source (--live)."""

from dataclasses import fields

ONE = "one video"
MANY = "many videos (--out-dir)"
LIVE = "a live source (--live)"

# {option: modes that it goes with}; all other options go with all three
OPTION_MODES = {
    "csv": (ONE, LIVE),
    "out": (ONE, LIVE),
    "boxes": (ONE, LIVE),
    "boxes_start": (ONE,),
    "html": (ONE,),
    "export": (ONE,),
    "start": (ONE, MANY),
    "smooth": (ONE, MANY),
    "detector_step": (ONE, MANY),
    "batch_size": (ONE, MANY),
    "out_dir": (MANY,),
    "format": (MANY,),
    "overlay": (MANY,),
    "workers": (MANY,),
    "shard": (MANY,),
    "engine": (MANY,),
    "cores": (MANY,),
    "serve": (LIVE,),
}


def choose_mode(options) -> str:
    """The mode that the options ask for: ONE, MANY or LIVE.

    Raises
    ------
    ValueError
        An option does not go with it, and would change nothing.
    """
    if options.live is not None:
        mode = LIVE
    else:
        mode = ONE if options.out_dir is None else MANY
    defaults = {field.name: field.default for field in fields(options)}
    for name, modes in OPTION_MODES.items():
        if mode not in modes and getattr(options, name) != defaults[name]:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} is not possible with {mode}; it goes with {' and '.join(modes)}")
    return mode
