"""The models of UMT (unmasked teacher) on AVA v2.2 as plain data.

Open questions: which frames the published test read (8 at a stride of 8 here, as its code does it), and whose person
boxes AlphAction's ava_val_det_person_bbox.json are.

Source: unmasked_teacher (commit 4fb4049f), single_modality (model zoo, scripts, code).
"""

from dataclasses import replace

from avalib.zoo.entry import ZooEntry

_FILES = "https://pjlab-gvm-data.oss-cn-shanghai.aliyuncs.com/umt/single_modality/"
_LICENCE = (
    "MIT (the repository; no statement on the weights, and its code descends from VideoMAE-Action-Detection under "
    "CC BY-NC 4.0)"
)

# lr is for 256 clips in a step
_VIT_B = ZooEntry(
    alias="umt_vit_b",
    name="b16_ptk710_ftk710_ftava_f8_res224",
    modality="RGB",
    pretrained="Kinetics-710 (UMT)",
    backbone="ViT",
    depth=12,
    clip_len=8,
    frame_interval=8,
    resample_rate=None,
    speed_ratio=None,
    channel_ratio=None,
    fusion_kernel=None,
    context=False,
    code_base="umt",
    tubelet=1,
    drop_path=0.2,
    roi_size=7,
    roi_aligned=False,
    box_extension=(0.1, 0.05),
    reserved_column=False,
    mean=(122.7717, 115.9465, 102.9801),
    std=(57.375, 57.375, 57.375),
    resolution="short side 256",
    published_mAP=33.5,
    published_gpus="16",
    videos_per_gpu=8,
    lr=2.5e-4,
    lr_for_gpus=32,
    checkpoint_url=_FILES + "b16_ptk710_ftk710_ftava_f8_res224.pth",
    checkpoint_sha256=None,
    log_url=_FILES + "b16_ptk710_ftk710_ftava_f8_res224.txt",
    json_url=None,
    pretrained_url=_FILES + "b16_ptk710_ftk710_f8_res224.pth",
    pretrained_sha256=None,
    licence=_LICENCE,
    source="https://github.com/OpenGVLab/unmasked_teacher/tree/main/single_modality",
    dataset="ava2.2",
    protocol="pyslowfast",
    person_boxes="AlphAction's ava_val_det_person_bbox.json",
    person_score=0.8,
    score_by_person=True,
    numbering="umt",
)

_VIT_L = replace(
    _VIT_B,
    alias="umt_vit_l",
    name="l16_ptk710_ftk710_ftava_f8_res224",
    depth=24,
    drop_path=0.4,
    published_mAP=39.8,
    published_gpus="not stated",
    videos_per_gpu=4,
    lr_for_gpus=64,
    checkpoint_url=_FILES + "l16_ptk710_ftk710_ftava_f8_res224.pth",
    log_url=_FILES + "l16_ptk710_ftk710_ftava_f8_res224.txt",
    pretrained_url=_FILES + "l16_ptk710_ftk710_f8_res224.pth",
)

UMT = (_VIT_B, _VIT_L)
