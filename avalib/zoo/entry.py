"""ZooEntry, the record of one model of the zoo; and how two entries or recipes differ (`compare_fields`)."""

from dataclasses import dataclass, fields
from typing import Any

# the fields that make the network and its input
NETWORK_FIELDS = (
    "modality",
    "backbone",
    "depth",
    "clip_len",
    "frame_interval",
    "resample_rate",
    "speed_ratio",
    "channel_ratio",
    "fusion_kernel",
    "context",
    "code_base",
    "inflated_blocks",
    "last_stage_dilation",
    "lateral_norm",
    "slow_frames",
    "non_local",
    "non_local_blocks",
    "tubelet",
    "temporal_pool",
    "roi_size",
    "roi_aligned",
    "box_extension",
    "relation",
    "head_width",
    "dropout_first",
    "reserved_column",
    "mean",
    "std",
)


DEFAULT_LICENCE = "Apache-2.0"
VIT_SIZES = {12: "B", 24: "L"}  # by the number of blocks


@dataclass(frozen=True)
class ZooEntry:
    """One model of the zoo: the network, what was published about it, and where its files are.

    Parameters
    ----------
    alias, name : str
        The short name and the full published name.
    modality : str
        Of the input: "RGB".
    pretrained : str
        What the backbone starts from.
    backbone : {"SlowOnly", "SlowFast", "ViT"}
    depth : int
        Layers of the ResNet, or blocks of the ViT.
    clip_len, frame_interval : int
        Frames in a clip, and frames (of 30 a second) between two of them.
    resample_rate : int or None
        SlowFast: the slow pathway sees every resample_rate-th frame of the clip.
    speed_ratio : int or None
        SlowFast: alpha, the laterals' stride over time.
    channel_ratio : int or None
        SlowFast: the slow pathway's channels over the fast one's (the inverse of beta).
    fusion_kernel : int or None
        SlowFast: the laterals' length over time.
    context : bool
        Whether a global feature is appended to every RoI's.
    resolution : str
        Of the published test.
    published_mAP : float
        mAP@0.5 in percent, on the validation set of `dataset`'s AVA version, by `protocol`.
    published_gpus : str
        The GPUs of the published training: "8", or "8x2" for two machines.
    videos_per_gpu : int
        Clips of one GPU in a step of the published training.
    lr, lr_for_gpus : float, int
        The learning rate for lr_for_gpus x videos_per_gpu clips a step.
    checkpoint_url : str
        The published file.
    checkpoint_sha256 : str or None
        The first 8 hex digits of its hash, as in its name; None where the name has none.
    log_url, json_url : str or None
        The published training logs.
    pretrained_url, pretrained_sha256 : str or None
        The recognizer that the training starts from.
    licence, source : str
        Of the published files and numbers.
    code_base : {"mmaction", "pyslowfast", "pytorchvideo", "umt"}
        The code base whose names the keys of the state_dict are.
    inflated_blocks : int or None
        Stage 3: only the first this many bottlenecks have kernels over time; None: all.
    last_stage_dilation : int
        Of the 1x3x3 kernels of stage 4.
    lateral_norm : bool
        SlowFast: whether batch norm and ReLU follow the laterals.
    slow_frames : {"strided", "linspace"}
        SlowFast: the slow pathway's frames: every resample_rate-th, or as many spread from the first to the last.
    non_local : {"softmax", "dot_product"} or None
        The kind of the non-local blocks.
    non_local_blocks : tuple of str
        The bottlenecks that one follows: "3.6" is number 6 (from 0) of stage 3, in the slow pathway.
    tubelet : int or None
        ViT: frames in a token.
    temporal_pool : {"avg", "max"}
        How a pathway's maps become one over time, before RoIAlign.
    roi_size : int
        Bins of RoIAlign, down and across.
    roi_aligned : bool
        Whether RoIAlign shifts boxes by half a cell.
    box_extension : tuple of two floats or None
        Boxes are widened before RoIAlign by these shares of their width and height, half on each side.
    relation : bool
        ACRN: whether each box is compared with the whole picture before the classifier.
    head_width : int or None
        Width of a hidden layer in the classifier; None: one linear layer.
    head_init : {"normal", "xavier"}
        Initial weights of the classifier: normal with std 0.01, or Xavier's normal ones.
    dropout_first : bool
        Whether dropout comes before the spatial max, or after it.
    reserved_column : bool
        Whether the file's classifier has the unused column 0 (81 columns for AVA), or starts with action 1 (80).
    mean, std : tuple of float
        RGB, of 0..255: the normalization of the clips.
    focal_alpha, focal_gamma : float
        The published loss: alpha (1 - p)^gamma times the cross entropy.
    drop_path : float
        ViT: the rate of the last block in training, 0..1.
    dataset : {"ava2.1", "ava2.2", "ava_kinetics"}
        What it was trained on. AVA-Kinetics models are evaluated on AVA v2.2 val.
    protocol : str
        The evaluator of `published_mAP` (avalib.evaluation.protocols).
    score_threshold : float
        Detections at or below it are not written.
    person_boxes : str
        The person boxes of the published test: the name of their file, or whose they are.
    person_score : float
        Their lowest score.
    score_by_person : bool
        Whether an action's score is multiplied by the person box's.
    numbering : str
        Which frames a keyframe's clip has (avalib.data.frame_protocols.FRAME_PROTOCOLS).
    """

    alias: str
    name: str

    # network
    modality: str
    pretrained: str
    backbone: str
    depth: int
    clip_len: int
    frame_interval: int
    resample_rate: int | None
    speed_ratio: int | None
    channel_ratio: int | None
    fusion_kernel: int | None
    context: bool

    # published result
    resolution: str
    published_mAP: float
    published_gpus: str

    # published training
    videos_per_gpu: int
    lr: float
    lr_for_gpus: int

    # files
    checkpoint_url: str
    checkpoint_sha256: str | None
    log_url: str | None
    json_url: str | None
    pretrained_url: str | None
    pretrained_sha256: str | None
    licence: str = DEFAULT_LICENCE
    source: str = "https://github.com/open-mmlab/mmaction2/tree/v0.10.0/configs/detection/ava"

    # where a model differs from those of MMAction2 v0.10.0: network
    code_base: str = "mmaction"
    inflated_blocks: int | None = None
    last_stage_dilation: int = 1
    lateral_norm: bool = False
    slow_frames: str = "strided"
    non_local: str | None = None
    non_local_blocks: tuple[str, ...] = ()
    tubelet: int | None = None

    # RoI features and classifier
    temporal_pool: str = "avg"
    roi_size: int = 8
    roi_aligned: bool = True
    box_extension: tuple[float, float] | None = None
    relation: bool = False
    head_width: int | None = None
    head_init: str = "normal"
    dropout_first: bool = True
    reserved_column: bool = True

    # pictures, loss
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    focal_alpha: float = 1.0
    focal_gamma: float = 0.0
    drop_path: float = 0.0

    # data and evaluation
    dataset: str = "ava2.1"
    protocol: str = "mmaction"
    score_threshold: float = 0.0
    person_boxes: str = "FAIR.recall_93.9"
    person_score: float = 0.9
    score_by_person: bool = False
    numbering: str = "v0.10.0"

    @property
    def network(self) -> str:
        """The backbone with its size: "SlowFast R50", "ViT-B"."""
        if self.backbone == "ViT":
            return f"ViT-{VIT_SIZES.get(self.depth, self.depth)}"
        return f"{self.backbone} R{self.depth}"

    @property
    def clips_boxes(self) -> bool:
        """Whether a test clips boxes to 0..width-1, 0..height-1 of the clip, as PySlowFast's data set does."""
        return self.code_base in ("pyslowfast", "pytorchvideo")

    @property
    def test_dataset(self) -> str:
        """The data set whose val split `published_mAP` is of: "ava2.1" or "ava2.2"."""
        return get_test_dataset(self.dataset)


def get_test_dataset(dataset: str) -> str:
    """Get the data set whose val split belongs to a data set: AVA-Kinetics has that of AVA v2.2.

    Parameters
    ----------
    dataset : str
        Any name.

    Returns
    -------
    str
        "ava2.2" for "ava_kinetics", else the name itself.
    """
    return "ava2.2" if dataset == "ava_kinetics" else dataset


def is_same_network(a: ZooEntry, b: ZooEntry) -> bool:
    """Tell whether two entries have the same network and input, whatever they were trained on.

    Parameters
    ----------
    a, b : ZooEntry

    Returns
    -------
    bool
    """
    return all(getattr(a, name) == getattr(b, name) for name in NETWORK_FIELDS)


def compare_fields(base: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    """List the fields in which two entries or two recipes differ.

    Parameters
    ----------
    base, other : ZooEntry or Recipe
        Two of one class.

    Returns
    -------
    dict
        {field: (base's value, other's value)}; empty if they are equal.
    """
    differences = {}
    for field in fields(base):
        values = getattr(base, field.name), getattr(other, field.name)
        if values[0] != values[1]:
            differences[field.name] = values
    return differences
