"""The notebooks headless: 01 to 05 for some models (`make demo`), or notebook 06 for the zoo (`make zoo`)."""

from pathlib import Path

import papermill

from avalib.data.catalog import find_dataset
from avalib.utils.files import write_text
from avalib.utils.run_folder import get_run_folder, print_run_report
from avalib.zoo_runner.runner import ZooRunner, list_devices, raise_on_failure
from avalib.zoo_runner.zoo_run import list_zoo_runs


def run_all_notebooks(
    models,
    dataset="mini",
    data_seed=0,
    minutes=8.0,
    existing="stop",
    device="auto",
    tag="",
    notebooks="notebooks",
    output_dir="outputs/runs",
):
    """Run notebooks 01 to 05 for each model, show what they print, and print a report of each run.

    What is done already, with the same inputs, is not run again. Raises RuntimeError if a notebook fails.
    """
    runs = list_zoo_runs(
        models,
        minutes=minutes,
        more={"03_train": {"existing": existing}},
        first="01_prepare_data",
        dataset=dataset,
        data_seed=data_seed,
        tag=tag,
        output_dir=output_dir,
    )
    layout = find_dataset(dataset, seed=data_seed)
    runner = ZooRunner(runs, layout, notebooks, list_devices(device), show=True)
    raise_on_failure(runner.run())
    for run in runs:
        print_run_report(run.folder)


def run_zoo_notebook(parameters, notebooks="notebooks"):
    """Run notebook 06 with papermill; show what it prints. Returns the path of the executed notebook.

    Parameters
    ----------
    parameters : dict
        Of notebook 06, with at least dataset, checkpoint, tag and output_dir.

    The executed notebook is 06_zoo.failed.ipynb while it runs and if it fails.
    """
    name = "-".join(filter(None, [parameters["tag"], "published" * (parameters["checkpoint"] == "published")]))
    folder = get_run_folder(parameters["output_dir"], parameters["dataset"], "zoo", name)
    folder.mkdir(parents=True, exist_ok=True)
    failed = folder / "06_zoo.failed.ipynb"
    papermill.execute_notebook(
        str(Path(notebooks) / "06_zoo.ipynb"),
        str(failed),
        parameters=parameters,
        log_output=True,
        progress_bar=False,
    )
    done = folder / "06_zoo.ipynb"
    write_text(done, failed.read_text(encoding="utf-8"))
    failed.unlink()
    return done
