"""The CNNs of MMAction2 1.x on AVA as plain data: each entry lists what differs from another one.

Source: MMAction2 1.x (commit 4d6c9347), configs/detection (README tables, metafiles, configs).
"""

from dataclasses import replace

from avalib.zoo.entry import ZooEntry
from avalib.zoo.mmaction_v0 import MMACTION_V0

_DETECTION = "https://download.openmmlab.com/mmaction/v1.0/detection/"
SLOWONLY_RECOGNITION = "https://download.openmmlab.com/mmaction/v1.0/recognition/slowonly/"
_RECOGNITION = "https://download.openmmlab.com/mmaction/recognition/"
_V0 = {entry.alias: entry for entry in MMACTION_V0}


def derive(base: ZooEntry, *, folder: str, name: str, stamp: str, **differences: object) -> ZooEntry:
    """An entry whose files are in a folder of _DETECTION, under its name; `stamp` is "date-hash"."""
    url = f"{_DETECTION}{folder}/{name}/{name}"
    return replace(
        base,
        name=name,
        checkpoint_url=f"{url}_{stamp}.pth",
        checkpoint_sha256=stamp.split("-")[1],
        log_url=f"{url}.log",
        json_url=None,
        source="https://github.com/open-mmlab/mmaction2/tree/main/configs/detection",
        **differences,
    )


# what all entries of 1.x have in common
_COMMON = {
    "published_gpus": "8",
    "lr_for_gpus": 8,
    "protocol": "mmaction1x",
    "score_threshold": 0.002,
    "head_init": "xavier",
    "numbering": "v1.x",
}
# 20 epochs on AVA v2.1
_AVA21 = _COMMON | {"videos_per_gpu": 16, "lr": 0.2}
# 10 epochs on AVA v2.2, or with ACRN
_AVA22 = _COMMON | {"dataset": "ava2.2", "videos_per_gpu": 6, "lr": 0.075}
_ACRN = _COMMON | {"relation": True, "videos_per_gpu": 8, "lr": 0.1}
SLOWONLY_4X16_K400_WEIGHTS = {
    "pretrained_url": SLOWONLY_RECOGNITION
    + "slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics400-rgb/slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics400-rgb_20220901-e7b65fad.pth",
    "pretrained_sha256": "e7b65fad",
}
_SLOWONLY_4X16_K700 = {
    "pretrained": "Kinetics-700",
    "pretrained_url": SLOWONLY_RECOGNITION
    + "slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics700-rgb/slowonly_imagenet-pretrained-r50_16xb16-4x16x1-steplr-150e_kinetics700-rgb_20220901-f73b3e89.pth",
    "pretrained_sha256": "f73b3e89",
}
# SlowOnly on AVA v2.1

SLOWONLY_4X16_V1X = derive(
    _V0["slowonly_r50"],
    alias="slowonly_r50_4x16_v1x",
    folder="slowonly",
    name="slowonly_kinetics400-pretrained-r50_8xb16-4x16x1-20e_ava21-rgb",
    stamp="20220906-953ef5fe",
    published_mAP=20.72,
    **_AVA21,
    **SLOWONLY_4X16_K400_WEIGHTS,
)
SLOWONLY_4X16_K700 = derive(
    _V0["slowonly_r50"],
    alias="slowonly_r50_4x16_k700",
    folder="slowonly",
    name="slowonly_kinetics700-pretrained-r50_8xb16-4x16x1-20e_ava21-rgb",
    stamp="20220906-b3b6d44e",
    published_mAP=22.77,
    **_AVA21,
    **_SLOWONLY_4X16_K700,
)
SLOWONLY_NL_4X16 = derive(
    _V0["slowonly_r50"],
    alias="slowonly_nl_r50_4x16",
    folder="slowonly",
    name="slowonly_kinetics400-pretrained-r50-nl_8xb16-4x16x1-20e_ava21-rgb",
    stamp="20220906-5ae3f91b",
    published_mAP=21.55,
    non_local="softmax",
    non_local_blocks=("2.0", "2.2", "3.0", "3.2", "3.4"),
    pretrained_url=_RECOGNITION
    + "slowonly/slowonly_nl_embedded_gaussian_r50_4x16x1_150e_kinetics400_rgb/slowonly_nl_embedded_gaussian_r50_4x16x1_150e_kinetics400_rgb_20210308-0d6e5a69.pth",
    pretrained_sha256="0d6e5a69",
    **_AVA21,
)
SLOWONLY_NL_8X8 = derive(
    SLOWONLY_NL_4X16,
    alias="slowonly_nl_r50_8x8",
    folder="slowonly",
    name="slowonly_kinetics400-pretrained-r50-nl_8xb16-8x8x1-20e_ava21-rgb",
    stamp="20220906-9760eadb",
    published_mAP=23.77,
    clip_len=8,
    frame_interval=8,
    pretrained_url=_RECOGNITION
    + "slowonly/slowonly_nl_embedded_gaussian_r50_8x8x1_150e_kinetics400_rgb/slowonly_nl_embedded_gaussian_r50_8x8x1_150e_kinetics400_rgb_20210308-e8dd9e82.pth",
    pretrained_sha256="e8dd9e82",
)
SLOWONLY_R101_V1X = derive(
    _V0["slowonly_r101"],
    alias="slowonly_r101_8x8_v1x",
    folder="slowonly",
    name="slowonly_kinetics400-pretrained-r101_8xb16-8x8x1-20e_ava21-rgb",
    stamp="20220906-43f16877",
    published_mAP=24.83,
    **_AVA21,
)

# SlowFast on AVA v2.1 and v2.2

SLOWFAST_4X16_V1X = derive(
    _V0["slowfast_r50"],
    alias="slowfast_r50_4x16_v1x",
    folder="slowfast",
    name="slowfast_kinetics400-pretrained-r50_8xb16-4x16x1-20e_ava21-rgb",
    stamp="20220906-5180ea3c",
    published_mAP=24.32,
    **_AVA21,
)
SLOWFAST_CONTEXT_V1X = derive(
    SLOWFAST_4X16_V1X,
    alias="slowfast_context_r50_v1x",
    folder="slowfast",
    name="slowfast_kinetics400-pretrained-r50-context_8xb16-4x16x1-20e_ava21-rgb",
    stamp="20220906-5bb4f6f2",
    published_mAP=25.34,
    context=True,
)
SLOWFAST_8X8_V1X = derive(
    _V0["slowfast_r50_8x8"],
    alias="slowfast_r50_8x8_v1x",
    folder="slowfast",
    name="slowfast_kinetics400-pretrained-r50_8xb8-8x8x1-20e_ava21-rgb",
    stamp="20220906-39133ec7",
    published_mAP=25.80,
    **_AVA21 | {"videos_per_gpu": 8, "lr": 0.1},
)
SLOWFAST_8X8_AVA22 = derive(
    _V0["slowfast_r50_8x8"],
    alias="slowfast_r50_8x8_ava22",
    folder="slowfast",
    name="slowfast_kinetics400-pretrained-r50_8xb6-8x8x1-cosine-10e_ava22-rgb",
    stamp="20220906-d934a48f",
    published_mAP=25.90,
    **_AVA22,
)
SLOWFAST_8X8_TMAX_AVA22 = derive(
    SLOWFAST_8X8_AVA22,
    alias="slowfast_r50_8x8_tmax_ava22",
    folder="slowfast",
    name="slowfast_kinetics400-pretrained-r50-temporal-max_8xb6-8x8x1-cosine-10e_ava22-rgb",
    stamp="20220906-13a9078e",
    published_mAP=26.41,
    temporal_pool="max",
)
SLOWFAST_8X8_TMAX_FOCAL_AVA22 = derive(
    SLOWFAST_8X8_TMAX_AVA22,
    alias="slowfast_r50_8x8_tmax_focal_ava22",
    folder="slowfast",
    name="slowfast_r50-k400-pre-temporal-max-focal-alpha3-gamma1_8xb6-8x8x1-cosine-10e_ava22-rgb",
    stamp="20220906-dd59e26f",
    published_mAP=26.65,
    focal_alpha=3.0,
    focal_gamma=1.0,
)
SLOWFAST_ACRN_AVA21 = derive(
    _V0["slowfast_r50_8x8"],
    alias="slowfast_acrn_r50_8x8_ava21",
    folder="acrn",
    name="slowfast-acrn_kinetics400-pretrained-r50_8xb8-8x8x1-cosine-10e_ava21-rgb",
    stamp="20220906-0dae1a90",
    published_mAP=27.65,
    **_ACRN,
)
SLOWFAST_ACRN_AVA22 = derive(
    SLOWFAST_ACRN_AVA21,
    alias="slowfast_acrn_r50_8x8",
    folder="acrn",
    name="slowfast-acrn_kinetics400-pretrained-r50_8xb8-8x8x1-cosine-10e_ava22-rgb",
    stamp="20220906-66ec24a2",
    published_mAP=27.71,
    dataset="ava2.2",
)

MMACTION_1X = (
    SLOWONLY_4X16_V1X,
    SLOWONLY_4X16_K700,
    SLOWONLY_NL_4X16,
    SLOWONLY_NL_8X8,
    SLOWONLY_R101_V1X,
    SLOWFAST_4X16_V1X,
    SLOWFAST_CONTEXT_V1X,
    SLOWFAST_8X8_V1X,
    SLOWFAST_8X8_AVA22,
    SLOWFAST_8X8_TMAX_AVA22,
    SLOWFAST_8X8_TMAX_FOCAL_AVA22,
    SLOWFAST_ACRN_AVA21,
    SLOWFAST_ACRN_AVA22,
)
