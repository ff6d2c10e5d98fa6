"""The recipes behind the published checkpoints: what all of them share, and what each family of trainings changes.

Sources: MMAction2 v0.10.0, configs/detection/ava; MMAction2 1.2.0, configs/detection; PySlowFast 287ec007,
configs/AVA/*_R50_SHORT.yaml (those of its R101 models were not released); unmasked_teacher 4fb4049f, single_modality.
"""

from dataclasses import replace

from avalib.zoo.entry import ZooEntry
from avalib.zoo.recipe import Recipe

MMACTION_1X = {"jitter_at_test": False, "flip_shift": 0}  # of all trainings with MMAction2 1.x
VIT = {  # of the trainings of ViTs
    "optimizer": "adamw",
    "weight_decay": 0.05,
    "decay_1d": False,
    "layer_decay": 0.75,
    "schedule": "warmup_cosine",
    "milestones": (),
}
VIT_SIZES = {  # what the larger ViTs change in the training of ViT-B
    "videomae_vit_l_ak": {"layer_decay": 0.8},
    "umt_vit_l": {"layer_decay": 0.85, "epochs": 25},
}

# what a family changes in the recipe of MMAction2 v0.10.0: 20 epochs of SGD, lower learning rates after 10 and 15
TRAININGS = {
    "mmaction_v0": {},
    # 20 epochs: the learning rate rises at the epochs' ends, 0.1, 0.325, 0.55, 0.775, 1
    "mmaction_v1_20_epochs": MMACTION_1X | {"warmup_by": "epoch"},
    # 10 epochs: two of warm-up, eight of a cosine to 0
    "mmaction_v1_10_epochs": MMACTION_1X
    | {"epochs": 10, "warmup_epochs": 2.0, "schedule": "warmup_cosine", "milestones": ()},
    # AdamW; 5 epochs of warm-up, 15 of a cosine to 0
    "videomae": MMACTION_1X | VIT,
    # one size of pictures; the learning rate begins and ends at 1e-6 for 256 clips. Left out: UMT trains on the
    # annotated boxes alone, with jittered edges, and multiplies the loss by their number
    "umt": VIT
    | {
        "epochs": 30,
        "grad_clip": 1e9,  # none
        "warmup_ratio": 0.004,
        "final_ratio": 0.004,
        "train_short_side": (256, 256),
        "crop": 224,
        "dropout": 0.0,
        "jitter_at_test": False,
    },
    # 20 epochs of steps behind five of warm-up from a learning rate of 0.000125. Differs here: the original draws the
    # short side as 1/uniform(1/320, 1/256), counts boxes without an action in the loss, and decays other biases
    "pyslowfast": {
        "nesterov": True,
        "weight_decay": 1e-7,
        "decay_1d": False,
        "warmup_ratio": 0.00125,
        "grad_clip": 1e9,  # it does not clip
        "crop": 224,
        "jitter_at_test": False,
    },
}


def build_published_recipe(entry: ZooEntry) -> Recipe:
    """Build the recipe behind a published checkpoint.

    Parameters
    ----------
    entry : ZooEntry

    Returns
    -------
    Recipe
        Named "published".
    """
    recipe = Recipe(
        name="published",
        dataset=entry.dataset,
        initial="pretrained",
        epochs=20,
        videos_per_gpu=entry.videos_per_gpu,
        lr=entry.lr,
        clips_per_step=entry.lr_for_gpus * entry.videos_per_gpu,
        optimizer="sgd",
        momentum=0.9,
        weight_decay=1e-5,
        grad_clip=40.0,
        warmup_epochs=5,
        warmup_ratio=0.1,
        schedule="step",
        milestones=(10, 15),
        gamma=0.1,
        train_short_side=(256, 320),
        crop=256,
        test_short_side=256,
        flip=0.5,
        color_jitter=0.0,
        person_score=entry.person_score,
        rois_per_frame=32,
        assign_iou=0.9,
        dropout=0.5,
        shuffle_frames=False,
        jitter_at_test=True,
        zero_init_residual=True,
        prior_bias=False,
        cache_short_side=None,
        validate_every=1,
        numbering=entry.numbering,
        focal_alpha=entry.focal_alpha,
        focal_gamma=entry.focal_gamma,
        drop_path=entry.drop_path,
    )
    recipe = replace(recipe, **TRAININGS[choose_training(entry)])
    return replace(recipe, **VIT_SIZES.get(entry.alias, {}))


def choose_training(entry: ZooEntry) -> str:
    """The family (a key of TRAININGS) of an entry's published training."""
    if entry.backbone == "ViT":
        return "umt" if entry.code_base == "umt" else "videomae"
    if entry.code_base in ("pyslowfast", "pytorchvideo"):
        return "pyslowfast"
    if entry.numbering == "v0.10.0":
        return "mmaction_v0"
    # the later models of 1.x, and those on later data
    is_short = entry.relation or entry.dataset != "ava2.1"
    return "mmaction_v1_10_epochs" if is_short else "mmaction_v1_20_epochs"
