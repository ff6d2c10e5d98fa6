"""The seven models of MMAction2 v0.10.0 as plain data: networks, what was published about them, where their files are.

Every entry lists all its numbers: no inheritance, repetition on purpose.

Source: MMAction2 v0.10.0, configs/detection/ava (README table, configs, released files).
"""

from avalib.zoo.entry import ZooEntry

_AVA = "https://download.openmmlab.com/mmaction/detection/ava/"
_RECOGNITION = "https://download.openmmlab.com/mmaction/recognition/"


# slowfast_r50_8x8: v0.10.0's configuration left fusion_kernel at 5, upstream's regression of August 2021 set 7 for
# the same released file, and the Kinetics weights it starts from have 7. The loader reads it from the file's shapes.
MMACTION_V0 = (
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
