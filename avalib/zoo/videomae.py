"""The VideoMAE models of MMAction2 1.x on AVA-Kinetics as plain data.

Source: MMAction2 1.x (commit 4d6c9347), configs/detection/videomae (README table, metafile, configs).
"""

from dataclasses import replace

from avalib.zoo.entry import ZooEntry

_DETECTION = "https://download.openmmlab.com/mmaction/v1.0/detection/videomae/"
_RECOGNITION = "https://download.openmmlab.com/mmaction/v1.0/recognition/videomae/"
_BASE_NAME = "vit-base-p16_videomae-k400-pre_8xb8-16x4x1-20e-adamw_ava-kinetics-rgb"
_LARGE_NAME = "vit-large-p16_videomae-k400-pre_8xb8-16x4x1-20e-adamw_ava-kinetics-rgb"
_LICENCE = (
    "Apache-2.0 (the repository; no statement of their own on the weights, which were initialized from VideoMAE's "
    "Kinetics-400 weights under CC BY-NC 4.0)"
)

_BASE = ZooEntry(
    alias="videomae_vit_b_ak",
    name=_BASE_NAME,
    modality="RGB",
    pretrained="Kinetics-400 (VideoMAE)",
    backbone="ViT",
    depth=12,
    clip_len=16,
    frame_interval=4,
    resample_rate=None,
    speed_ratio=None,
    channel_ratio=None,
    fusion_kernel=None,
    context=False,
    tubelet=2,
    drop_path=0.2,
    head_init="xavier",
    resolution="short side 256",
    published_mAP=33.6,
    published_gpus="8",
    videos_per_gpu=8,
    lr=1.25e-4,
    lr_for_gpus=8,
    checkpoint_url=f"{_DETECTION}{_BASE_NAME}/{_BASE_NAME}_20230314-3dafab75.pth",
    checkpoint_sha256="3dafab75",
    log_url=f"{_DETECTION}{_BASE_NAME}/{_BASE_NAME}.log",
    json_url=None,
    pretrained_url=_RECOGNITION + "vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400_20221013-860a3cd3.pth",
    pretrained_sha256="860a3cd3",
    licence=_LICENCE,
    source="https://github.com/open-mmlab/mmaction2/tree/main/configs/detection/videomae",
    dataset="ava_kinetics",
    protocol="mmaction1x",
    score_threshold=0.002,
    numbering="ava_kinetics",
)

# videomae_vit_l_ak: README and file name say 8 GPUs of 8 clips, the metafile says 32 GPUs and 128 clips, with which
# the learning rate would be in the proportion of ViT-B's.
_LARGE = replace(
    _BASE,
    alias="videomae_vit_l_ak",
    name=_LARGE_NAME,
    depth=24,
    published_mAP=38.7,
    published_gpus="8 (README), 32 (metafile)",
    lr=2.5e-4,
    checkpoint_url=f"{_DETECTION}{_LARGE_NAME}/{_LARGE_NAME}_20230314-bf93c9ea.pth",
    checkpoint_sha256="bf93c9ea",
    log_url=f"{_DETECTION}{_LARGE_NAME}/{_LARGE_NAME}.log",
    pretrained_url=_RECOGNITION + "vit-large-p16_videomae-k400-pre_16x4x1_kinetics-400_20221013-229dbb03.pth",
    pretrained_sha256="229dbb03",
)

VIDEOMAE = (_BASE, _LARGE)
