"""The SlowOnly models of MMAction2 1.x on AVA-Kinetics as plain data: a ladder, in which each step changes one thing.

From SLOWONLY_8X8_AK on: context, maximum over time, a second layer in the classifier, focal loss, more frames.

Source: MMAction2 1.x (commit 4d6c9347), configs/detection/slowonly (README table, metafile, configs).
"""

from avalib.zoo.mmaction_1x import SLOWONLY_4X16_V1X, SLOWONLY_RECOGNITION, derive

_AVA_KINETICS = {"dataset": "ava_kinetics", "numbering": "ava_kinetics", "videos_per_gpu": 8, "lr": 0.1}

_KINETICS400 = {
    "pretrained_url": SLOWONLY_RECOGNITION
    + "slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb/slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb_20220901-df42dc84.pth",
    "pretrained_sha256": "df42dc84",
}
_KINETICS700 = {
    "pretrained": "Kinetics-700",
    "pretrained_url": SLOWONLY_RECOGNITION
    + "slowonly_imagenet-pretrained-r50_16xb16-8x8x1-steplr-150e_kinetics700-rgb/slowonly_imagenet-pretrained-r50_16xb16-8x8x1-steplr-150e_kinetics700-rgb_20221013-15b93b10.pth",
    "pretrained_sha256": "15b93b10",
}


SLOWONLY_4X16_AK_K400 = derive(
    SLOWONLY_4X16_V1X,
    alias="slowonly_r50_4x16_ak_k400",
    folder="slowonly",
    name="slowonly_k400-pre-r50_8xb8-4x16x1-10e_ava-kinetics-rgb",
    stamp="20221205-33e3ca7c",
    published_mAP=24.53,
    **_AVA_KINETICS,
)
SLOWONLY_4X16_AK = derive(
    SLOWONLY_4X16_AK_K400,
    alias="slowonly_r50_4x16_ak",
    folder="slowonly",
    name="slowonly_k700-pre-r50_8xb8-4x16x1-10e_ava-kinetics-rgb",
    stamp="20221205-a07e8c15",
    published_mAP=25.87,
    **_KINETICS700,  # the recognizer of 8x8, here too
)
SLOWONLY_8X8_AK_K400 = derive(
    SLOWONLY_4X16_AK_K400,
    alias="slowonly_r50_8x8_ak_k400",
    folder="slowonly",
    name="slowonly_k400-pre-r50_8xb8-8x8x1-10e_ava-kinetics-rgb",
    stamp="20221205-8f8dff3b",
    published_mAP=26.10,
    clip_len=8,
    frame_interval=8,
    **_KINETICS400,
)
SLOWONLY_8X8_AK = derive(
    SLOWONLY_8X8_AK_K400,
    alias="slowonly_r50_8x8_ak",
    folder="slowonly",
    name="slowonly_k700-pre-r50_8xb8-8x8x1-10e_ava-kinetics-rgb",
    stamp="20221205-16a01c37",
    published_mAP=27.82,
    **_KINETICS700,
)
SLOWONLY_8X8_AK_CONTEXT = derive(
    SLOWONLY_8X8_AK,
    alias="slowonly_r50_8x8_ak_context",
    folder="slowonly",
    name="slowonly_k700-pre-r50-context_8xb8-8x8x1-10e_ava-kinetics-rgb",
    stamp="20221205-5d514f8c",
    published_mAP=28.31,
    context=True,
)
SLOWONLY_8X8_AK_CONTEXT_TMAX = derive(
    SLOWONLY_8X8_AK_CONTEXT,
    alias="slowonly_r50_8x8_ak_context_tmax",
    folder="slowonly",
    name="slowonly_k700-pre-r50-context-temporal-max_8xb8-8x8x1-10e_ava-kinetics-rgb",
    stamp="20221205-5b5e71eb",
    published_mAP=28.48,
    temporal_pool="max",
)
SLOWONLY_8X8_AK_NLHEAD = derive(
    SLOWONLY_8X8_AK_CONTEXT_TMAX,
    alias="slowonly_r50_8x8_ak_nlhead",
    folder="slowonly",
    name="slowonly_k700-pre-r50-context-temporal-max-nl-head_8xb8-8x8x1-10e_ava-kinetics-rgb",
    stamp="20221205-87624265",
    published_mAP=29.83,
    head_width=4096,
)
SLOWONLY_8X8_AK_NLHEAD_FOCAL = derive(
    SLOWONLY_8X8_AK_NLHEAD,
    alias="slowonly_r50_8x8_ak_nlhead_focal",
    folder="slowonly",
    name="slowonly_k700-pre-r50-context-temporal-max-nl-head_8xb8-8x8x1-focal-10e_ava-kinetics-rgb",
    stamp="20221205-37aa8395",
    published_mAP=30.33,
    focal_gamma=1.0,
)
SLOWONLY_16X4_AK_TRICKS = derive(
    SLOWONLY_8X8_AK_NLHEAD_FOCAL,
    alias="slowonly_r50_16x4_ak_tricks",
    folder="slowonly",
    name="slowonly_k700-pre-r50_8xb8-16x4x1-10e-tricks_ava-kinetics-rgb",
    stamp="20221205-dd652f81",
    published_mAP=31.29,
    clip_len=16,
    frame_interval=4,
)

SLOWONLY_AVA_KINETICS = (
    SLOWONLY_4X16_AK_K400,
    SLOWONLY_4X16_AK,
    SLOWONLY_8X8_AK_K400,
    SLOWONLY_8X8_AK,
    SLOWONLY_8X8_AK_CONTEXT,
    SLOWONLY_8X8_AK_CONTEXT_TMAX,
    SLOWONLY_8X8_AK_NLHEAD,
    SLOWONLY_8X8_AK_NLHEAD_FOCAL,
    SLOWONLY_16X4_AK_TRICKS,
)
