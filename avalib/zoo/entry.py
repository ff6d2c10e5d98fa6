"""What is recorded about a model of the zoo, and how two entries or recipes differ."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class ZooEntry:
    """One model of the zoo: the network, what was published about it, and where its files are.

    Parameters
    ----------
    alias, name : str
        The short name and the full published name.
    modality : str
        What the network sees: "RGB".
    pretrained : str
        What the backbone starts from.
    backbone : {"SlowOnly", "SlowFast"}
    depth : int
        Layers of the ResNet.
    clip_len, frame_interval : int
        Frames in a clip, and frames (of 30 a second) between two of them.
    resample_rate : int or None
        SlowFast: the slow pathway sees every resample_rate-th frame of the clip.
    speed_ratio : int or None
        SlowFast: alpha, the laterals' stride over time.
    channel_ratio : int or None
        SlowFast: the fast pathway is this much thinner.
    fusion_kernel : int or None
        SlowFast: the laterals' length over time.
    context : bool
        Whether a global feature is appended to every RoI's.
    resolution : str
        Of the published test.
    published_mAP : float
        mAP@0.5 in percent, AVA v2.1 val, protocol "mmaction".
    published_gpus : str
        The GPUs of the published training: "8", or "8x2" for two machines.
    videos_per_gpu : int
        Clips of one GPU in a step of the published training.
    lr, lr_for_gpus : float, int
        The learning rate for lr_for_gpus x videos_per_gpu clips a step.
    checkpoint_url, checkpoint_sha256 : str
        The published file; the first 8 hex digits of its hash, as in its name.
    log_url, json_url : str
        The published training logs.
    pretrained_url, pretrained_sha256 : str
        The recognizer that the training starts from.
    licence, source : str
        Of the published files and numbers.
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
    checkpoint_sha256: str
    log_url: str
    json_url: str
    pretrained_url: str
    pretrained_sha256: str
    licence: str = "Apache-2.0"
    source: str = "https://github.com/open-mmlab/mmaction2/tree/v0.10.0/configs/detection/ava"


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
