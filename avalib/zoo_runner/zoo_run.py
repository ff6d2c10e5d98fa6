"""What is run: a row of the zoo with one seed on one data set, and the notebooks that it takes."""

from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class ZooRun:
    """One row of the zoo with one seed on one data set. checkpoint: "" trains it, the others evaluate only."""

    model: str
    seed: int = 0
    dataset: str = "mini"
    data_seed: int = 0
    checkpoint: str = ""
    minutes: float | None = None
    tag: str = ""
    output_dir: str = "outputs/runs"
    more: dict = field(default_factory=dict)  # {notebook: {parameter: value}}
    first: str = "03_train"  # the notebook to begin with

    @property
    def name(self):
        """What it is called in tables: the alias, and the seed where it isn't 0."""
        return f"{self.model}, seed {self.seed}" if self.seed else self.model

    @property
    def run_tag(self):
        """The tag of its folder: seed 0 has none of its own; published weights are not mixed with trained ones."""
        words = [self.tag, f"seed{self.seed}" if self.seed else "", "published" * (self.checkpoint == "published")]
        return "-".join(filter(None, words))

    @property
    def folder(self):
        return get_run_folder(self.output_dir, self.dataset, self.model, self.run_tag)

    def parameters(self, notebook):
        """What the notebook is called with."""
        common = dict(dataset=self.dataset, data_seed=self.data_seed, output_dir=str(self.output_dir))
        common |= {} if notebook.startswith("01") else {"model": self.model}
        common |= {} if notebook.startswith(("01", "02")) else {"tag": self.run_tag}
        own = {
            "01_prepare_data": {},
            "02_build_model": {},
            "03_train": dict(seed=self.seed, minutes=self.minutes),
            "04_evaluate": dict(seed=self.seed, checkpoint=self.checkpoint or "best"),
            "05_visualise": {},
        }[notebook]
        return common | own | self.more.get(notebook, {})

    def notebooks(self):
        """Those that it takes, in their order."""
        first = "04_evaluate" if self.checkpoint else self.first
        return list(NOTEBOOKS[NOTEBOOKS.index(first) :])

    def makes(self, notebook):
        """The files by which it is known that a notebook has done its work."""
        if notebook == "01_prepare_data":
            return [get_run_folder(self.output_dir, self.dataset, "data") / "run.json"]
        return [self.folder / name for name in NOTEBOOK_OUTPUTS[notebook]]


def list_zoo_runs(models=(), seeds=(0,), row_seeds=None, more=None, **options):
    """The Rows of these models (all seven if there are none), a seed after the other, options: Row's fields.

    row_seeds {model: [seeds]} takes the place of `seeds` for some. Raises KeyError for a name that isn't in the zoo,
    ValueError for another checkpoint than the known words, a notebook in `more` that isn't run, seeds of no chosen row.
    """
    chosen = list(dict.fromkeys(zoo.get(name).alias for name in models)) or zoo.list_models()
    own = {zoo.get(name).alias: given for name, given in (row_seeds or {}).items()}
    if options.get("checkpoint", "") not in CHECKPOINTS:
        raise ValueError(f"checkpoint={options['checkpoint']!r}: one of {CHECKPOINTS}; for a file: notebook 04")
    if unknown := [name for name in more or {} if name not in NOTEBOOKS]:
        raise ValueError(f"parameters for {unknown}: the notebooks that are run are {', '.join(NOTEBOOKS)}")
    if unknown := [name for name in own if name not in chosen]:
        raise ValueError(f"row_seeds for {', '.join(unknown)}: not among the rows {', '.join(chosen)}")
    depth = max(len(own.get(model, seeds)) for model in chosen)
    pairs = [(m, own.get(m, seeds)[i]) for i in range(depth) for m in chosen if i < len(own.get(m, seeds))]
    return [ZooRun(model, seed, more=more or {}, **options) for model, seed in pairs]
