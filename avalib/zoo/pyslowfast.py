"""The AVA models of PySlowFast and PyTorchVideo as plain data.

Networks of the two are the same (the same weights give the same logits, bit by bit); the tensors' names differ.

What was never released: the R101 models' training (PySlowFast's issues 141 and 228), and PyTorchVideo's. Their entries
have PySlowFast's R50 training, the learning rate by the linear rule from its 0.1 for 64 clips.

Sources: PySlowFast 287ec007, MODEL_ZOO.md and configs/AVA; PyTorchVideo 0.1.5, its model zoo and hub.
"""

from dataclasses import replace

from avalib.zoo.entry import ZooEntry

_PYSLOWFAST = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/ava/"
_PYTORCHVIDEO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/ava/"

# in the table "Slow R50 4x16"; its file is a Caffe2 pickle
_SLOW_R50 = ZooEntry(
    alias="psf_slow_r50_4x16_v22",
    name="C2D_8x8_R50",
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
    published_mAP=19.5,
    published_gpus="8",
    videos_per_gpu=8,
    lr=0.1,
    lr_for_gpus=8,
    checkpoint_url=_PYSLOWFAST + "C2D_8x8_R50.pkl",
    checkpoint_sha256=None,
    log_url=None,
    json_url=None,
    pretrained_url=_PYSLOWFAST + "pretrain/C2D_8x8_R50.pkl",
    pretrained_sha256=None,
    licence="Apache-2.0",
    source="https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md",
    code_base="pyslowfast",
    last_stage_dilation=2,
    roi_size=7,
    roi_aligned=False,
    dropout_first=False,
    reserved_column=False,
    mean=(0.45 * 255, 0.45 * 255, 0.45 * 255),
    std=(0.225 * 255, 0.225 * 255, 0.225 * 255),
    dataset="ava2.2",
    protocol="pyslowfast",
    person_boxes="person_box_67091280_iou75",
    person_score=0.9,
    numbering="pyslowfast",
)

# "50_50": kernels over time in only the first 6 of the third stage's 23 blocks; a Caffe2 pickle.
# md5 a83567b0c40f844fdcce03df1cd21dcc (PySlowFast's issue 132)
_SLOWFAST_R101_V21 = replace(
    _SLOW_R50,
    alias="psf_slowfast_r101_32x2_v21",
    name="SLOWFAST_32x2_R101_50_50_v2.1",
    pretrained="Kinetics-600",
    backbone="SlowFast",
    depth=101,
    clip_len=32,
    frame_interval=2,
    resample_rate=4,
    speed_ratio=4,
    channel_ratio=8,
    fusion_kernel=5,
    published_mAP=28.2,
    videos_per_gpu=2,
    lr=0.025,
    checkpoint_url=_PYSLOWFAST + "SLOWFAST_32x2_R101_50_50_v2.1.pkl",
    log_url="https://dl.fbaipublicfiles.com/pyslowfast/logs/ava/SLOWFAST_32x2_R101_50_50_v2.1_test.log",
    pretrained_url=_PYSLOWFAST + "pretrain/SLOWFAST_32x2_R101_50_50_v2.1.pkl",
    inflated_blocks=6,
    lateral_norm=True,
    slow_frames="linspace",
    non_local="dot_product",
    non_local_blocks=("3.6", "3.13", "3.20"),
    dataset="ava2.1",
    person_boxes="person_box_67091280_iou90",
    person_score=0.8,
)

# a file of torch.save in spite of its ending .pkl, as that of 64x2
_SLOWFAST_R101_V22 = replace(
    _SLOWFAST_R101_V21,
    alias="psf_slowfast_r101_32x2_v22",
    name="SLOWFAST_32x2_R101_50_50",
    published_mAP=29.1,
    checkpoint_url=_PYSLOWFAST + "SLOWFAST_32x2_R101_50_50.pkl",
    log_url=None,
    pretrained_url=_PYSLOWFAST + "pretrain/SLOWFAST_32x2_R101_50_50.pkl",
    dataset="ava2.2",
)

_SLOWFAST_R101_64X2 = replace(
    _SLOWFAST_R101_V22,
    alias="psf_slowfast_r101_64x2_v22",
    name="SLOWFAST_64x2_R101_50_50",
    clip_len=64,
    published_mAP=29.4,
    checkpoint_url=_PYSLOWFAST + "SLOWFAST_64x2_R101_50_50.pkl",
    pretrained_url=_PYSLOWFAST + "pretrain/SLOWFAST_64x2_R101_50_50.pkl",
)

# the weights behind torch.hub's detection models
_PTV_SLOW_R50 = replace(
    _SLOW_R50,
    alias="ptv_slow_r50_detection",
    name="SLOW_4x16_R50_DETECTION",
    published_gpus="not stated",
    checkpoint_url=_PYTORCHVIDEO + "SLOW_4x16_R50_DETECTION.pyth",
    pretrained_url=None,
    source="https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md",
    code_base="pytorchvideo",
)

_PTV_SLOWFAST_R50 = replace(
    _PTV_SLOW_R50,
    alias="ptv_slowfast_r50_detection",
    name="SLOWFAST_8x8_R50_DETECTION",
    backbone="SlowFast",
    clip_len=32,
    frame_interval=2,
    resample_rate=4,
    speed_ratio=4,
    channel_ratio=8,
    fusion_kernel=7,
    published_mAP=24.67,
    checkpoint_url=_PYTORCHVIDEO + "SLOWFAST_8x8_R50_DETECTION.pyth",
    lateral_norm=True,
    slow_frames="linspace",
    person_boxes="person_box_67091280_iou90",
    person_score=0.8,
)

PYSLOWFAST = (
    _SLOW_R50,
    _SLOWFAST_R101_V21,
    _SLOWFAST_R101_V22,
    _SLOWFAST_R101_64X2,
    _PTV_SLOW_R50,
    _PTV_SLOWFAST_R50,
)
