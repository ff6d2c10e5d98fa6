"""Read the command line, run the sub-command, turn errors into one line and an exit status."""

import os
import re
import signal
import sys
from dataclasses import fields

import tyro

import avalib
from avalib import zoo
from avalib.cli import options
from avalib.utils.console import allow_any_text, show_log_messages
from avalib.utils.errors import AvalibError
from avalib.utils.interrupts import Stopped
from avalib.utils.suggest import suggest

COMMANDS = {
    "prepare": options.Prepare,
    "check": options.Check,
    "lint": options.Lint,
    "train": options.TrainOptions,  # and the numbers of the recipe
    "evaluate": options.Evaluate,
    "detect": options.Detect,
    "zoo": options.Zoo,
    "verify": options.Verify,
    "export": options.Export,
    "report": options.Report,
}
ERRORS = (AvalibError, ValueError, KeyError, OSError, ImportError)


def main(arguments=None):
    """Run the `avalib` command.

    Parameters
    ----------
    arguments : list of str, optional
        The arguments after `avalib`; None takes those of the process.

    Returns
    -------
    int
        The exit status: 0; 1 for an error or a check that failed; 2 for wrong options; 128 + signal if interrupted.
    """
    # The console may not know a character of a file's name, and the library reports by logging.
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    allow_any_text()
    show_log_messages()
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(format_overview())
        return 0
    if command == "--version":
        print(f"avalib {avalib.__version__}")
        return 0
    if command not in COMMANDS:
        hint = suggest(command, COMMANDS)
        print(f"avalib: no command {command!r}.{hint} The commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    # Every expected error becomes one line that says what to do.
    try:
        return run_command(command, parse_options(command, rest))
    except Stopped as stopped:
        print(stopped, flush=True)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        print("interrupted; finished files stay, and the same command resumes", flush=True)
        return 128 + signal.SIGINT
    except ERRORS as error:
        if "TORCHELASTIC_RUN_ID" in os.environ:
            raise  # torchrun shows the traceback, with the process that it comes from
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"error: {spell_as_options(str(message), command)}", file=sys.stderr, flush=True)
        return 1


def parse_options(command, arguments):
    """The options of a sub-command as a dataclass. Exits with status 2, and an explanation, for wrong ones.

    Raises KeyError for a model that the zoo does not have.
    """
    if command != "train":
        parsed = tyro.cli(COMMANDS[command], args=arguments, prog=f"avalib {command}")
        if isinstance(parsed, options.RunOptions):
            zoo.get(parsed.model)
        return parsed
    # The defaults of the recipe's options depend on the model, the data set and the sizes: read these first.
    without_help = [word for word in arguments if word not in ("-h", "--help")]
    first, _ = tyro.cli(
        options.TrainOptions, args=without_help, prog="avalib train", return_unknown_args=True, add_help=False
    )
    # Then all options, with this recipe's numbers as defaults.
    recipe = zoo.get_recipe(zoo.get(first.model), first.dataset)
    recipe = zoo.update_recipe(recipe, short_side=first.short_side, batch_size=first.batch_size)
    return tyro.cli(options.build_train_options(recipe), args=arguments, prog="avalib train")


def spell_as_options(message, command):
    """A message with the parameters of functions (`boxes_start=0`) as a command spells them (`--boxes-start 0`)."""
    # `name=value`, but not inside a longer word or an option.
    names = "|".join(option.name for option in fields(COMMANDS[command]))
    return re.sub(rf"(?<![\w-])({names})=(?=\S)", lambda match: f"--{match[1].replace('_', '-')} ", message)


def run_command(command, parsed):
    """Run a sub-command with its options; only now is torch loaded, by what needs it. Returns the exit status."""
    from avalib.cli import commands

    return getattr(commands, f"run_{command}")(parsed)


def format_overview():
    """The help of `avalib` itself: the sub-commands, one line each."""
    lines = ["usage: avalib COMMAND [OPTIONS]", "", "The AVA spatio-temporal action-detection zoo.", "", "commands:"]
    for name, option_class in COMMANDS.items():
        summary = "Train a model of the zoo." if name == "train" else option_class.__doc__.split(". ")[0].strip(".\n ")
        lines.append(f"  {name:<10}{summary.rstrip('.')}.")
    lines += ["", "avalib COMMAND --help lists the options of a command."]
    return "\n".join(lines)
