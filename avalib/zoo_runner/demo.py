"""python -m avalib.zoo_runner: notebooks 01 to 05 for one row of the zoo (`make demo`); what is done stays as it is."""

import argparse
import logging
import sys

from avalib.data.catalog import find_dataset
from avalib.utils.console import show_log_messages
from avalib.utils.interrupts import Stopped
from avalib.utils.run_folder import print_run_report
from avalib.zoo_runner.runner import ZooRunner, list_devices, raise_on_failure
from avalib.zoo_runner.zoo_run import list_zoo_runs


def build_parser():
    p = argparse.ArgumentParser(prog="python -m avalib.zoo_runner", description=__doc__)
    p.add_argument("--model", default="slowonly_r50", help="a row of the zoo (default: %(default)s)")
    p.add_argument("--dataset", default="mini", help="data set by name (default: %(default)s)")
    p.add_argument("--data-seed", type=int, default=0, help="what the mini is rendered from")
    p.add_argument(
        "--minutes", default="8", help="of training, about; None: all of the recipe's epochs (default: %(default)s)"
    )
    p.add_argument(
        "--existing", default="stop", help="where the run's folder holds another training: stop, continue, new"
    )
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    p.add_argument("--tag", default="", help="keeps this run in a folder of its own")
    p.add_argument("--notebooks", default="notebooks", help="where the notebooks are (default: %(default)s)")
    p.add_argument("--output-dir", default="outputs/runs", help="where the run goes (default: %(default)s)")
    return p


def main(words=None):
    """Run them; -> an exit status, 130 after Ctrl-C."""
    p = build_parser()
    given = p.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    show_log_messages()
    try:
        minutes = None if given.minutes in ("", "None", "none") else float(given.minutes)
    except ValueError:
        p.error(f"--minutes {given.minutes}: expected a number, or None")
    try:
        notebook_parameters = {"03_train": {"existing": given.existing}}
        options = dict(dataset=given.dataset, data_seed=given.data_seed, tag=given.tag, output_dir=given.output_dir)
        options |= dict(minutes=minutes, first_notebook="01_prepare_data")
        zoo_runs = list_zoo_runs([given.model], notebook_parameters=notebook_parameters, **options)
        layout = find_dataset(given.dataset, seed=given.data_seed)
        demo = ZooRunner(zoo_runs, layout, given.notebooks, list_devices(given.device), show_output=True)
        summary = demo.run()
        raise_on_failure(summary)
    except Stopped as stopped:
        print(stopped, flush=True)
        return 128 + stopped.signal
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        print(error.args[0] if isinstance(error, KeyError) else error, file=sys.stderr, flush=True)
        return 1
    print_run_report(zoo_runs[0].folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
