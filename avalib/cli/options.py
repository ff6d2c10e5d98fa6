"""The options of every sub-command, a dataclass each. The comment behind a field is its help text; the recipe's numbers
have theirs from the docstring of Recipe.

Nothing here loads torch: `avalib COMMAND --help` is immediate.
"""

from dataclasses import dataclass, field, fields, make_dataclass
from typing import Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from avalib import zoo

Existing = Literal["stop", "continue", "new"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Protocol = Literal["mmaction", "activitynet", "mmaction1x", "pyslowfast", "frame"]
VideoQualityName = Literal["good", "fast", "mpeg4"]
NotebookName = Literal["01_prepare_data", "03_train"]


@dataclass(frozen=True)
class Prepare:
    """Render, download or find a data set and print where it is. A second call only checks that it is there."""

    dataset: Positional[str] = "mini"  # mini, large, tiny, falls; ava2.1, ava2.2, ava_kinetics; an imported data set
    data_seed: int = 0  # seed of the rendered mini-AVA
    workers: int | None = None  # processes that render or download; None: one for each core, four downloads at a time
    again: bool = False  # try again to download what is missing
    cut: bool = False  # AVA only: also cut the annotated 15 minutes out of each video
    max_videos: int | None = None  # AVA only: at most this many videos
    mirrors: dict[str, str] = field(default_factory=dict)  # AVA only: pairs of kind (videos, …) and folder or URL
    weights: str | None = None  # also get weights trained on the mini-AVA: a model of the zoo, or a file's URL or path
    cache_short_side: int | None = None  # also build frame caches with this short side in pixels, for fast training


@dataclass(frozen=True)
class Check:
    """Check a whole data set: videos, annotations, person boxes, official counts. Exit status 1 if it is wrong."""

    dataset: Positional[str] = "mini"  # name of the data set
    decode: Literal["some", "all"] = "some"  # decode five frames of each video, or every frame
    workers: int | None = None  # processes that decode; None: one for each core
    json: str | None = None  # also write the report to this file


@dataclass(frozen=True)
class Lint:
    """List what is wrong or odd in an AVA csv, with line numbers. Exit status 1 if there are findings."""

    file: Positional[str]  # csv (plain or gzip) or parquet file
    kind: Literal["detections", "ground_truth"] = "detections"  # what the file holds
    ground_truth: str | None = None  # annotations of the same videos: shows swapped x and y
    label_map: str | None = None  # pbtxt, json or text file of the actions; None: the 80 of AVA


@dataclass(frozen=True)
class RunOptions:
    """Which model, and where its runs are."""

    model: str = "slowonly_r50"  # model of the zoo: alias or full published name
    dataset: str = "mini"  # name of the data set
    data_seed: int = 0  # seed of the rendered mini-AVA
    tag: str = ""  # suffix of the run's folder
    output_dir: str = "outputs/runs"  # folder of all runs


@dataclass(frozen=True)
class TrainOptions(RunOptions):
    """Everything about a training but the recipe's own numbers."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: Precision = "auto"  # of the arithmetic; weights stay float32
    checkpoint: str | None = None  # random, pretrained, published, mini, a path or a URL; None: the recipe's
    workers: int | None = None  # processes that read clips, for each training process; None: 4 with a GPU, 1 on a CPU
    batch_size: int | None = None  # clips in one micro-batch of a process; the learning rate follows by the linear rule
    short_side: int | None = None  # short side of the training crop in pixels; the other sizes follow
    accumulate: int = 1  # micro-batches of a process in one step
    channels_last: bool = False  # keep weights in channels-last memory format
    recompute: bool = False  # recompute activations in the backward pass: less memory, a third more time
    compile: bool = False  # torch.compile the backbone
    deterministic: bool = False  # use deterministic algorithms only
    resize_on_device: bool = False  # resize and crop clips on the GPU, not in the processes that read them
    tensorboard: bool = False  # also write TensorBoard event files
    minutes: float | None = None  # train as many epochs as fit into about this many minutes
    fitted_minutes: float | None = None  # set by the launcher: minutes to which it has limited the epochs
    save_minutes: float = 5.0  # minutes between checkpoints
    existing: Existing = "stop"  # if the folder holds another run: stop, continue that one, or keep it and start new
    overfit: bool = False  # overfit one batch as a sanity check, instead of training
    plan_only: bool = False  # print time, memory and disk that the training needs, then stop
    quiet: bool = False  # no progress bars


@dataclass(frozen=True)
class Evaluate(RunOptions):
    """Score detections. Either two csv files: `avalib evaluate GROUND_TRUTH DETECTIONS`, without loading torch.
    Or a model on the validation split of a data set: `avalib evaluate --model slowonly_r50 --checkpoint best`. The data
    set `ava` stands for the version of AVA that the model's mAP was published on.
    """

    ground_truth: Positional[str | None] = None  # AVA csv of annotations (plain or gzip) or parquet
    detections: Positional[str | None] = None  # AVA csv (plain or gzip) or parquet
    label_map: str | None = None  # pbtxt, json or text of the evaluated actions; None: AVA's 60, or the data set's
    exclusions: str | None = None  # csv of excluded keyframes; None: nothing is excluded, or the data set's
    protocol: Protocol | None = None  # evaluation protocol; None: mmaction, the data set's, or on AVA the model's
    iou: tuple[float, ...] = (0.5,)  # IoU thresholds; the mAP is the mean over them
    ties: Literal["stable", "grouped"] = "stable"  # order of detections with equal scores
    bootstrap: int = 0  # resample the videos this many times for a confidence interval
    compare_protocols: bool = False  # also score under the other protocols and explain the differences
    json: str | None = None  # where the report goes; None: beside the detections
    checkpoint: str = "best"  # with a model: best or final (of its last run), published, mini, a path or a URL
    device: str = "auto"  # with a model: auto, cpu, cuda, cuda:1, mps
    precision: Precision = "auto"  # with a model: of the arithmetic
    workers: int = 0  # with a model: processes that read clips


@dataclass(frozen=True)
class Detect(RunOptions):
    """Find people and their actions in videos; write tables, and videos with boxes and labels. One video: --csv, --out.
    Many: --out-dir; the same command resumes. Exit status 1 if a video failed. A camera or a stream: --live, until
    Ctrl-C or for --stop seconds; what was written is complete then.
    """

    videos: Positional[tuple[str, ...]] = ()  # a file or a URL; many: also folders, globs, list files (.txt)
    live: str | None = None  # instead of videos: a camera's number (0), rtsp://…, udp://…, http://…, a file
    serve: int | None = None  # with --live: show it in a browser on this machine, at this port (0: any free one)
    checkpoint: str = "published"  # published, mini, best or final (of the last run), a path or a URL
    boxes: str | None = None  # person boxes: csv, parquet or AVA's proposals; None: found by the detector
    boxes_start: float | None = None  # timestamp in the boxes file of the video's first frame; None: from the file
    detector: str = "auto"  # person detector: auto, a name (docs/detection.md), or an .onnx file
    detector_weights: str = "coco"  # coco, a path or a URL
    detector_step: float | None = None  # seconds between two detections of people; None: at every time
    person_score: float | None = None  # leave out people with a lower score; None: what suits the detector
    step: float | None = None  # seconds between two times; None: 1, or the times of the boxes
    start: float = 0.0  # first second
    stop: float | None = None  # last second; None: the end of the video
    smooth: float = 0.0  # average the scores of a track over this many seconds
    score_threshold: float = 0.0  # leave rows with a lower score out of the table
    batch_size: int | None = None  # clips at once; None: 8 on a GPU, 1 on a CPU
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: Precision = "auto"  # of the arithmetic
    csv: str | None = None  # where the table goes: .csv, or .parquet with exact values, units and metadata
    out: str | None = None  # where the video with boxes and labels goes: .mp4, .mkv or .gif
    top_k: int = 3  # actions drawn for each person
    draw_threshold: float = 0.3  # actions with a lower score are neither drawn nor in --html and --export
    width: int | None = None  # of the drawn video, in pixels
    html: str | None = None  # where a web page with player, timeline, table and search goes
    export: tuple[str, ...] = ()  # more files for other tools: .json is COCO, .xml is CVAT
    quality: VideoQualityName = "good"  # of the drawn video: a small file; a fast one; the fastest, not for browsers
    out_dir: str | None = None  # many videos: folder of a table for each, and of the manifest
    format: Literal["parquet", "csv"] = "parquet"  # many videos: of the tables
    overlay: Literal["mp4", "mkv", "gif"] | None = None  # many videos: also write each with boxes and labels
    workers: int | None = None  # many videos: processes; None: 1, with Ray as many as there are GPUs or cores for
    shard: str | None = None  # many videos: a share of the list, as 3/16, for job arrays
    engine: Literal["local", "ray"] = "local"  # many videos: this machine, or the Ray cluster of RAY_ADDRESS
    cores: int | None = None  # with Ray: cores of each worker; None: 4, or a share of a GPU machine's


@dataclass(frozen=True)
class Zoo:
    """Train, evaluate and visualise models of the zoo by running the notebooks headless. A second call resumes."""

    models: tuple[str, ...] = ()  # aliases, names or patterns ("slowonly_*_ak*", "*"); none: MMAction2 v0.10.0's
    dataset: str = "mini"  # name of the data set
    data_seed: int = 0  # seed of the rendered mini-AVA
    first_notebook: NotebookName = "03_train"  # 01_prepare_data runs 01 to 05 for each model, without the summary (06)
    minutes: float | None = 7.0  # of training for each model, about; None: all epochs of the recipe
    checkpoint: Literal["", "best", "final", "published"] = ""  # evaluate these weights instead of training
    existing: Existing = "stop"  # if a folder holds another run: stop, continue that one, or keep it and start new
    device: str = "auto"  # auto: all GPUs, else the CPU
    tag: str = ""  # suffix of the runs' folders
    notebooks: str = "notebooks"  # folder of the notebooks
    output_dir: str = "outputs/runs"  # folder of all runs


@dataclass(frozen=True)
class Verify:
    """Recompute the hashes and scores of runs and published results. Exit status 1 if one differs."""

    paths: Positional[tuple[str, ...]] = ("outputs/results",)  # run folders, run.json files, or results (json)


@dataclass(frozen=True)
class Export(RunOptions):
    """Write a model as a torch.export program (.pt2) or as ONNX (.onnx), and check its logits."""

    path: Positional[str] = tyro.MISSING  # the file to write: its suffix, .pt2 or .onnx, is the format
    checkpoint: str = "best"  # best or final (of the last run), published, pretrained, mini, random, a path or a URL
    size: tuple[int, int] | None = None  # height and width in pixels, if fixed; None: any size


@dataclass(frozen=True)
class Report:
    """Print the results and files of runs."""

    folder: Positional[str] = "outputs/runs"  # the folder of one run, or of all runs


def build_train_options(recipe):
    """Build the options of `avalib train`, with the numbers of a recipe as defaults.

    Parameters
    ----------
    recipe : zoo.Recipe
        The recipe of the model on the data set, whose numbers become options.

    Returns
    -------
    type
        A dataclass with two fields: `training`, a TrainOptions, and `recipe`, a dataclass of the recipe's numbers.
    """
    texts = zoo.read_field_texts(zoo.Recipe)
    # (name, type, default) of each number; what names the recipe itself is no option.
    numbers = []
    for recipe_field in fields(recipe):
        if recipe_field.name not in ("name", "dataset"):
            help_text = tyro.conf.arg(help=texts[recipe_field.name])
            numbers.append(
                (recipe_field.name, Annotated[recipe_field.type, help_text], getattr(recipe, recipe_field.name))
            )
    # Two groups of options, without a prefix: --lr, not --recipe.lr.
    recipe_type = make_dataclass("RecipeOptions", numbers, frozen=True)
    groups = [
        ("training", OmitArgPrefixes[TrainOptions], field(default_factory=TrainOptions)),
        ("recipe", OmitArgPrefixes[recipe_type], field(default_factory=recipe_type)),
    ]
    description = "Train a model of the zoo; a second call resumes. The recipe's numbers are options too."
    return make_dataclass("Train", groups, frozen=True, namespace={"__doc__": description})
