"""One run of the zoo: a model with one seed on one data set, and the notebooks that it takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avalib import zoo
from avalib.utils.run_folder import get_run_folder

NOTEBOOKS = ("01_prepare_data", "02_build_model", "03_train", "04_evaluate", "05_visualise")
NOTEBOOK_OUTPUTS = {  # what each notebook leaves in the run's folder
    "02_build_model": ("build/run.json",),
    "03_train": ("train/run.json", "train/best.pth"),
    "04_evaluate": ("evaluate/run.json", "evaluate/detections.csv"),
    "05_visualise": ("visualise/run.json",),
}
CHECKPOINTS = ("", "best", "final", "published")


def get_zoo_folder(output_dir: str | Path, dataset: str, checkpoint: str = "", tag: str = "") -> Path:
    """The folder of notebook 06; an evaluation of the published checkpoints has one of its own."""
    parts = [tag, "published" if checkpoint == "published" else ""]
    return get_run_folder(output_dir, dataset, "zoo", "-".join(filter(None, parts)))


@dataclass(frozen=True)
class ZooRun:
    """A model of the zoo with one seed on one data set.

    Attributes
    ----------
    checkpoint : str
        "" trains the model; "best", "final" (of an earlier training) and "published" only evaluate it.
    minutes : float or None
        Training time, about; None trains all epochs of the recipe.
    notebook_parameters : dict
        More parameters of the notebooks: {notebook: {parameter: value}}.
    first_notebook : str
        The notebook to begin with, if the run trains.
    """

    model: str
    seed: int = 0
    dataset: str = "mini"
    data_seed: int = 0
    checkpoint: str = ""
    minutes: float | None = None
    tag: str = ""
    output_dir: str = "outputs/runs"
    notebook_parameters: dict = field(default_factory=dict)
    first_notebook: str = "03_train"

    @property
    def name(self) -> str:
        """The name in tables: the alias, and the seed if it is not 0."""
        return f"{self.model}, seed {self.seed}" if self.seed else self.model

    @property
    def folder_tag(self) -> str:
        """The tag of the run's folder. Seed 0 adds nothing; published weights have folders of their own."""
        # "demo", seed 1, published weights -> "demo-seed1-published"
        parts = [self.tag]
        if self.seed:
            parts.append(f"seed{self.seed}")
        if self.checkpoint == "published":
            parts.append("published")
        return "-".join(filter(None, parts))

    @property
    def folder(self) -> Path:
        """The folder of the run: outputs/runs/<dataset>/<model>[-tag]."""
        return get_run_folder(self.output_dir, self.dataset, self.model, self.folder_tag)

    @property
    def notebooks(self) -> list[str]:
        """The names of the notebooks that the run takes, in order."""
        first = "04_evaluate" if self.checkpoint else self.first_notebook
        return list(NOTEBOOKS[NOTEBOOKS.index(first) :])

    def get_executed_path(self, notebook: str) -> Path:
        """The path of an executed notebook."""
        return self.folder / "notebooks" / f"{notebook}.ipynb"

    def get_parameters(self, notebook: str) -> dict:
        """The parameters that a notebook is executed with."""
        # Every notebook has these three; the others depend on what it does.
        parameters = {"dataset": self.dataset, "data_seed": self.data_seed, "output_dir": str(self.output_dir)}
        if notebook != "01_prepare_data":
            parameters["model"] = self.model
        if notebook not in ("01_prepare_data", "02_build_model"):
            parameters["tag"] = self.folder_tag
        if notebook == "03_train":
            parameters |= {"seed": self.seed, "minutes": self.minutes}
        if notebook == "04_evaluate":
            parameters |= {"seed": self.seed, "checkpoint": self.checkpoint or "best"}
        if notebook == "05_visualise":
            parameters["checkpoint"] = self.checkpoint or "best"  # of its explanations
        return parameters | self.notebook_parameters.get(notebook, {})

    def list_outputs(self, notebook: str) -> list[Path]:
        """The files that exist once a notebook has done its work."""
        if notebook == "01_prepare_data":
            return [get_run_folder(self.output_dir, self.dataset, "data") / "run.json"]
        return [self.folder / name for name in NOTEBOOK_OUTPUTS[notebook]]

    def has_outputs(self, notebook: str) -> bool:
        """Whether all outputs of a notebook exist."""
        return all(path.exists() for path in self.list_outputs(notebook))


def list_zoo_runs(
    models: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    model_seeds: dict[str, list[int]] | None = None,
    notebook_parameters: dict[str, dict] | None = None,
    checkpoint: str = "",
    **options: object,
) -> list[ZooRun]:
    """List the runs of some models.

    Parameters
    ----------
    models : sequence of str
        Aliases, full names or patterns of aliases, see `zoo.select_models`; if empty, the seven of MMAction2 v0.10.0.
    seeds : sequence of int
        Each model gets a run with each of these seeds.
    model_seeds : dict, optional
        Other seeds for some models: {model: [seeds]}.
    notebook_parameters : dict, optional
        More parameters of the notebooks: {notebook: {parameter: value}}.
    checkpoint : str
        One of CHECKPOINTS, see `ZooRun`.
    **options
        Other fields of `ZooRun`.

    Returns
    -------
    list of ZooRun
        All models with their first seed, then with their second one, and so on.

    Raises
    ------
    KeyError
        A name is not in the zoo, or a pattern matches no model.
    ValueError
        Another checkpoint, parameters for a notebook that is not run, or seeds for a model that is not chosen.
    """
    chosen = zoo.select_models(models) or list(zoo.DEFAULT_MODELS)
    own_seeds = {zoo.get(name).alias: values for name, values in (model_seeds or {}).items()}
    # Everything that is misspelt is an error before the first notebook runs.
    if checkpoint not in CHECKPOINTS:
        raise ValueError(f"checkpoint={checkpoint!r}: expected one of {CHECKPOINTS}; to evaluate a file: notebook 04")
    unknown = [name for name in notebook_parameters or {} if name not in NOTEBOOKS]
    if unknown:
        raise ValueError(f"parameters for {unknown}: the notebooks that are run are {', '.join(NOTEBOOKS)}")
    not_chosen = [name for name in own_seeds if name not in chosen]
    if not_chosen:
        raise ValueError(f"model_seeds for {', '.join(not_chosen)}: not among the models {', '.join(chosen)}")

    # The first seed of every model, then the second one: an early stop leaves no model out.
    options |= {"notebook_parameters": notebook_parameters or {}, "checkpoint": checkpoint}
    runs = []
    for position in range(max(len(own_seeds.get(model, seeds)) for model in chosen)):
        for model in chosen:
            seeds_of_model = own_seeds.get(model, seeds)
            if position < len(seeds_of_model):
                runs.append(ZooRun(model, seeds_of_model[position], **options))
    return runs
