"""The recipe that an entry is trained and tested with on a data set: the published one, or that of the mini-AVA."""

from dataclasses import replace

from avalib.zoo.entry import ZooEntry, is_same_network
from avalib.zoo.published_recipes import build_published_recipe
from avalib.zoo.recipe import Recipe

# the mini-AVA's epochs: fewer for models that cost more per clip; two CPU cores train some of them in eight minutes
MINI_EPOCHS = {
    "slowonly_r50": 9,
    "slowonly_omnisource_r50": 9,
    "slowonly_r101": 3,
    "slowonly_omnisource_r101": 3,
    "slowfast_r50": 5,
    "slowfast_context_r50": 5,
    "slowfast_r50_8x8": 3,
    "videomae_vit_l_ak": 1,
    "umt_vit_l": 1,
}
MINI_VIT = {  # from random weights; 64x85 pixels are 4x5 patches
    "videos_per_gpu": 12,
    "clips_per_step": 12,
    "lr": 3e-4,
    "decay_1d": False,
}


def build_mini_recipe(entry: ZooEntry) -> Recipe:
    """Build the recipe for the rendered mini-AVA: random initialization, small pictures, few epochs, two CPU cores.

    Parameters
    ----------
    entry : ZooEntry

    Returns
    -------
    Recipe
        Named "mini".
    """
    recipe = Recipe(
        name="mini",
        dataset="mini",
        initial="random",
        epochs=MINI_EPOCHS.get(entry.alias, 3),
        videos_per_gpu=6,  # many small steps: the training is short
        lr=1.2e-3,
        clips_per_step=6,
        optimizer="adamw",
        momentum=0.9,
        weight_decay=0.05,
        grad_clip=40.0,
        warmup_epochs=0.5,
        warmup_ratio=0.1,
        schedule="cosine",
        milestones=(),
        gamma=0.1,
        train_short_side=(64, 68),
        crop=64,
        crop_aspect=1.33,  # 64x85, whole frames of 4:3: a square cuts half or more off every sixth person
        test_short_side=64,
        flip=0.5,
        color_jitter=0.3,
        person_score=0.9,
        rois_per_frame=32,
        assign_iou=0.7,
        dropout=0.0,
        shuffle_frames=False,
        jitter_at_test=False,
        zero_init_residual=False,  # starting as identities costs the first fifty steps
        prior_bias=True,
        cache_short_side=80,
        validate_every=3,
        focal_alpha=entry.focal_alpha,
        focal_gamma=entry.focal_gamma,
    )
    return replace(recipe, **MINI_VIT) if entry.backbone == "ViT" else recipe


RECIPES = {"published": build_published_recipe, "mini": build_mini_recipe}


def get_recipe(entry: ZooEntry, dataset: str) -> Recipe:
    """Get the recipe that an entry is trained with on a data set.

    Parameters
    ----------
    entry : ZooEntry
    dataset : str
        "ava2.1", "ava2.2" and "ava_kinetics" have the published recipe, all others ("tiny", "mini", "large", own data)
        the mini one.

    Returns
    -------
    Recipe
    """
    return RECIPES["published" if dataset.startswith("ava") else "mini"](entry)


def is_same_training(a: ZooEntry, b: ZooEntry, dataset: str) -> bool:
    """Tell whether training on a data set is the same for two entries.

    Parameters
    ----------
    a, b : ZooEntry
    dataset : str
        A name, see `get_recipe`.

    Returns
    -------
    bool
        True if network and recipe are the same and both start from random weights.
    """
    recipe = get_recipe(a, dataset)
    return is_same_network(a, b) and recipe == get_recipe(b, dataset) and recipe.initial == "random"


def scale_lr(model: ZooEntry | Recipe, gpus: int, videos_per_gpu: int) -> float:
    """Compute the learning rate for another batch size by the linear rule.

    Source: Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677.

    Parameters
    ----------
    model : ZooEntry or Recipe
        Its `lr`, and the batch that it is for: lr_for_gpus x videos_per_gpu, or clips_per_step.
    gpus, videos_per_gpu : int
        The other batch: gpus x videos_per_gpu clips a step, both at least 1.

    Returns
    -------
    float
        The learning rate.

    Raises
    ------
    ValueError
        One of the numbers is below 1.
    """
    if gpus < 1 or videos_per_gpu < 1:
        raise ValueError(f"gpus={gpus}, videos_per_gpu={videos_per_gpu}: both must be at least 1")
    if isinstance(model, Recipe):
        base_clips = model.clips_per_step
    else:
        base_clips = model.lr_for_gpus * model.videos_per_gpu
    return model.lr * gpus * videos_per_gpu / base_clips
