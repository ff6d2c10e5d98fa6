"""The seven entries of the AVA zoo as plain data: the networks, what was published about them, where their files are.

Every number stands where it is used: no inheritance, repetition on purpose.

Source: MMAction2 v0.10.0, configs/detection/ava (README table, configs, released files).
"""

from dataclasses import dataclass, fields
from fnmatch import fnmatchcase

from avalib.utils.suggest import suggest

_AVA = "https://download.openmmlab.com/mmaction/detection/ava/"
_RECOGNITION = "https://download.openmmlab.com/mmaction/recognition/"


@dataclass(frozen=True)
class ZooEntry:
    """One model of the zoo: the network, what was published about it, and where its files are."""

    alias: str
    name: str  # the full published name

    # network
    modality: str
    pretrained: str  # what the backbone starts from
    backbone: str  # "SlowOnly" or "SlowFast"
    depth: int
    clip_len: int  # frames in a clip
    frame_interval: int  # frames (of 30 a second) between two of them
    resample_rate: int | None  # SlowFast: the slow pathway sees every resample_rate-th frame of the clip
    speed_ratio: int | None  # SlowFast: alpha, the laterals' stride over time
    channel_ratio: int | None  # SlowFast: the fast pathway is this much thinner
    fusion_kernel: int | None  # SlowFast: the laterals' length over time
    context: bool  # a global feature is appended to every RoI's

    # published result
    resolution: str
    published_mAP: float  # mAP@0.5 in percent, AVA v2.1 val, protocol "mmaction"
    published_gpus: str

    # published training
    videos_per_gpu: int
    lr: float  # for lr_for_gpus x videos_per_gpu clips a step
    lr_for_gpus: int

    # files
    checkpoint_url: str
    checkpoint_sha256: str  # the first 8 hex digits, as in the file's name
    log_url: str
    json_url: str
    pretrained_url: str
    pretrained_sha256: str
    licence: str = "Apache-2.0"
    source: str = "https://github.com/open-mmlab/mmaction2/tree/v0.10.0/configs/detection/ava"


# slowfast_r50_8x8: v0.10.0's configuration left fusion_kernel at 5, upstream's regression of August 2021 set 7 for
# the same released file, and the Kinetics weights it starts from have 7. The loader reads it from the file's shapes.
ENTRIES = (
    ZooEntry(
        alias="slowonly_r50",
        name="slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowOnly",
        depth=50,
        clip_len=4,
        frame_interval=16,
        resample_rate=None,
        speed_ratio=None,
        channel_ratio=None,
        fusion_kernel=None,
        context=False,
        resolution="short side 256",
        published_mAP=20.1,
        published_gpus="8",
        videos_per_gpu=16,
        lr=0.2,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201217-40061d5f.pth",
        checkpoint_sha256="40061d5f",
        log_url=_AVA
        + "slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201127.log",
        json_url=_AVA
        + "slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201127.json",
        pretrained_url=_RECOGNITION
        + "slowonly/slowonly_r50_4x16x1_256e_kinetics400_rgb/slowonly_r50_4x16x1_256e_kinetics400_rgb_20200704-a69556c6.pth",
        pretrained_sha256="a69556c6",
    ),
    ZooEntry(
        alias="slowonly_omnisource_r50",
        name="slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb",
        modality="RGB",
        pretrained="OmniSource",
        backbone="SlowOnly",
        depth=50,
        clip_len=4,
        frame_interval=16,
        resample_rate=None,
        speed_ratio=None,
        channel_ratio=None,
        fusion_kernel=None,
        context=False,
        resolution="short side 256",
        published_mAP=21.8,
        published_gpus="8",
        videos_per_gpu=16,
        lr=0.2,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb_20201217-0c6d2e98.pth",
        checkpoint_sha256="0c6d2e98",
        log_url=_AVA
        + "slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb_20201127.log",
        json_url=_AVA
        + "slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb_20201127.json",
        pretrained_url=_RECOGNITION + "slowonly/omni/slowonly_r50_omni_4x16x1_kinetics400_rgb_20200926-51b1f7ea.pth",
        pretrained_sha256="51b1f7ea",
    ),
    ZooEntry(
        alias="slowonly_r101",
        name="slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowOnly",
        depth=101,
        clip_len=8,
        frame_interval=8,
        resample_rate=None,
        speed_ratio=None,
        channel_ratio=None,
        fusion_kernel=None,
        context=False,
        resolution="short side 256",
        published_mAP=24.6,
        published_gpus="8x2",
        videos_per_gpu=6,
        lr=0.075,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb_20201217-1c9b4117.pth",
        checkpoint_sha256="1c9b4117",
        log_url=_AVA
        + "slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb_20201127.log",
        json_url=_AVA
        + "slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb_20201127.json",
        pretrained_url=_RECOGNITION
        + "slowonly/omni/slowonly_r101_without_omni_8x8x1_kinetics400_rgb_20200926-0c730aef.pth",
        pretrained_sha256="0c730aef",
    ),
    ZooEntry(
        alias="slowonly_omnisource_r101",
        name="slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb",
        modality="RGB",
        pretrained="OmniSource",
        backbone="SlowOnly",
        depth=101,
        clip_len=8,
        frame_interval=8,
        resample_rate=None,
        speed_ratio=None,
        channel_ratio=None,
        fusion_kernel=None,
        context=False,
        resolution="short side 256",
        published_mAP=25.9,
        published_gpus="8x2",
        videos_per_gpu=6,
        lr=0.075,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb_20201217-16378594.pth",
        checkpoint_sha256="16378594",
        log_url=_AVA
        + "slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb_20201127.log",
        json_url=_AVA
        + "slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb_20201127.json",
        pretrained_url=_RECOGNITION + "slowonly/omni/slowonly_r101_omni_8x8x1_kinetics400_rgb_20200926-b5dbb701.pth",
        pretrained_sha256="b5dbb701",
    ),
    ZooEntry(
        alias="slowfast_r50",
        name="slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowFast",
        depth=50,
        clip_len=32,
        frame_interval=2,
        resample_rate=8,
        speed_ratio=8,
        channel_ratio=8,
        fusion_kernel=5,
        context=False,
        resolution="short side 256",
        published_mAP=24.4,
        published_gpus="8x2",
        videos_per_gpu=9,
        lr=0.1125,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201217-6e7c704d.pth",
        checkpoint_sha256="6e7c704d",
        log_url=_AVA
        + "slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201217.log",
        json_url=_AVA
        + "slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201217.json",
        pretrained_url=_RECOGNITION
        + "slowfast/slowfast_r50_4x16x1_256e_kinetics400_rgb/slowfast_r50_4x16x1_256e_kinetics400_rgb_20200704-bcde7ed7.pth",
        pretrained_sha256="bcde7ed7",
    ),
    ZooEntry(
        alias="slowfast_context_r50",
        name="slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowFast",
        depth=50,
        clip_len=32,
        frame_interval=2,
        resample_rate=8,
        speed_ratio=8,
        channel_ratio=8,
        fusion_kernel=5,
        context=True,
        resolution="short side 256",
        published_mAP=25.4,
        published_gpus="8x2",
        videos_per_gpu=9,
        lr=0.1125,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201222-f4d209c9.pth",
        checkpoint_sha256="f4d209c9",
        log_url=_AVA
        + "slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201222.log",
        json_url=_AVA
        + "slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201222.json",
        pretrained_url=_RECOGNITION
        + "slowfast/slowfast_r50_4x16x1_256e_kinetics400_rgb/slowfast_r50_4x16x1_256e_kinetics400_rgb_20200704-bcde7ed7.pth",
        pretrained_sha256="bcde7ed7",
    ),
    ZooEntry(
        alias="slowfast_r50_8x8",
        name="slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowFast",
        depth=50,
        clip_len=32,
        frame_interval=2,
        resample_rate=4,
        speed_ratio=4,
        channel_ratio=8,
        fusion_kernel=7,
        context=False,
        resolution="short side 256",
        published_mAP=25.5,
        published_gpus="8x2",
        videos_per_gpu=5,
        lr=0.075,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb_20201217-ae225e97.pth",
        checkpoint_sha256="ae225e97",
        log_url=_AVA
        + "slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb_20201217.log",
        json_url=_AVA
        + "slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb_20201217.json",
        pretrained_url=_RECOGNITION
        + "slowfast/slowfast_r50_8x8x1_256e_kinetics400_rgb/slowfast_r50_8x8x1_256e_kinetics400_rgb_20200716-73547d2b.pth",
        pretrained_sha256="73547d2b",
    ),
)


def list_models(pattern: str = "*") -> list[str]:
    """The aliases of the zoo's models, in the published table's order.

    Parameters
    ----------
    pattern : str
        A shell pattern: "slowfast*", "*_r101". "*" lists all.
    """
    return [entry.alias for entry in ENTRIES if fnmatchcase(entry.alias, pattern)]


def get(name: str) -> ZooEntry:
    """The entry with this alias or full published name.

    Raises
    ------
    KeyError
        There is none. The message lists the aliases and suggests the nearest name.
    """
    for entry in ENTRIES:
        if name in (entry.alias, entry.name):
            return entry
    hint = suggest(name, list_models() + [entry.name for entry in ENTRIES], cutoff=0.4)
    raise KeyError(f"no model {name!r} in the zoo.{hint} There are: {', '.join(list_models())}")


def compare_fields(base, other) -> dict[str, tuple]:
    """{field: (base's value, other's value)} of two entries or two recipes, where they differ."""
    differences = {}
    for field in fields(base):
        values = getattr(base, field.name), getattr(other, field.name)
        if values[0] != values[1]:
            differences[field.name] = values
    return differences


def build_zoo_table():
    """The published README's table as a DataFrame: model, modality, pretrained, backbone, input, GPUs, resolution, mAP."""
    import pandas as pd

    return pd.DataFrame(
        {
            "model": entry.alias,
            "modality": entry.modality,
            "pretrained": entry.pretrained,
            "backbone": f"{entry.backbone} R{entry.depth}" + (" + context" if entry.context else ""),
            "input": f"{entry.clip_len}x{entry.frame_interval}",  # frames x interval
            "GPUs": entry.published_gpus,
            "resolution": entry.resolution,
            "mAP": entry.published_mAP,
        }
        for entry in ENTRIES
    )


def render_zoo_table() -> str:
    """The models as markdown, with links to the checkpoints; README.md holds it between `<!-- zoo table -->` marks."""
    table = build_zoo_table()[["model", "pretrained", "backbone", "input", "mAP"]]
    table["model"] = [f"`{entry.alias}`" for entry in ENTRIES]
    table["checkpoint"] = [f"[{entry.alias}.pth][{entry.alias}]" for entry in ENTRIES]
    links = [f"[{entry.alias}]: {entry.checkpoint_url}" for entry in ENTRIES]
    return "\n".join([_render_markdown(table), "", *links])


def render_published_files() -> str:
    """All that was published about the models as markdown; docs/results.md has it between `<!-- files -->` marks."""
    table = build_zoo_table()
    table["model"] = [f"`{entry.alias}`" for entry in ENTRIES]
    table["files"] = [
        f"[checkpoint]({entry.checkpoint_url}) [log]({entry.log_url}) [json]({entry.json_url})" for entry in ENTRIES
    ]
    return _render_markdown(table)


def _render_markdown(table):
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).values.tolist()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
