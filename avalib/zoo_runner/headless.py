"""The notebooks headless: 01 to 05 for some models (`make demo`), or notebook 06 for the zoo (`make zoo`)."""

from collections.abc import Sequence
from pathlib import Path

import papermill

from avalib.data.catalog import find_dataset
from avalib.utils.files import write_text
from avalib.utils.run_folder import print_run_report
from avalib.zoo_runner.notebook_result import raise_on_failure
from avalib.zoo_runner.runner import ZooRunner, list_devices
from avalib.zoo_runner.zoo_run import get_zoo_folder, list_zoo_runs


def run_all_notebooks(
    models: Sequence[str],
    dataset: str = "mini",
    data_seed: int = 0,
    minutes: float | None = 8.0,
    existing: str = "stop",
    device: str = "auto",
    tag: str = "",
    notebooks: str | Path = "notebooks",
    output_dir: str | Path = "outputs/runs",
) -> None:
    """Run notebooks 01 to 05 for each model, show what they print, and print a report of each run.

    What is up to date is not run again. The parameters are those of the notebooks; `notebooks` is their folder.
    Raises RuntimeError if a notebook fails.
    """
    zoo_runs = list_zoo_runs(
        models,
        notebook_parameters={"03_train": {"existing": existing}},
        first_notebook="01_prepare_data",
        minutes=minutes,
        dataset=dataset,
        data_seed=data_seed,
        tag=tag,
        output_dir=output_dir,
    )
    # Notebook 01 prepares the data set; here only its place is needed, to see whether it has changed since.
    layout = find_dataset(dataset, seed=data_seed)
    runner = ZooRunner(zoo_runs, layout, notebooks, devices=list_devices(device), show_output=True)
    raise_on_failure(runner.run_all())
    for zoo_run in zoo_runs:
        print_run_report(zoo_run.folder)


def run_zoo_notebook(parameters: dict, notebooks: str | Path = "notebooks") -> Path:
    """Run notebook 06 with papermill, and show what it prints.

    Parameters
    ----------
    parameters : dict
        Of notebook 06, with at least dataset, checkpoint, tag and output_dir.
    notebooks : str or Path
        Folder of the notebooks.

    Returns
    -------
    Path
        The executed notebook. It is 06_zoo.failed.ipynb while it runs and if it fails.
    """
    names = ("output_dir", "dataset", "checkpoint", "tag")
    folder = get_zoo_folder(**{name: parameters[name] for name in names})
    folder.mkdir(parents=True, exist_ok=True)
    # Only a notebook that ran to its end gets its final name.
    failed = folder / "06_zoo.failed.ipynb"
    papermill.execute_notebook(
        str(Path(notebooks) / "06_zoo.ipynb"),
        str(failed),
        parameters=parameters,
        log_output=True,
        progress_bar=False,
    )
    executed = folder / "06_zoo.ipynb"
    write_text(executed, failed.read_text(encoding="utf-8"))
    failed.unlink()
    return executed
