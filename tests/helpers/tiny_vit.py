"""A ViT of the zoo's parts that is small enough to train in tests: two blocks of one head."""

from dataclasses import replace

import tiny_model

from avalib import zoo
from avalib.models.vit import WIDTHS
from avalib.training.train_config import configure_training

DEEP = 13
WIDTHS[2] = WIDTHS[DEEP] = 64
ENTRY = replace(zoo.get("videomae_vit_b_ak"), depth=2, clip_len=4)
UMT_ENTRY = replace(zoo.get("umt_vit_b"), depth=2, clip_len=2)
RECIPE = replace(
    zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=32, batch_size=2, epochs=2),
    cache_short_side=None,
    validate_every=1,
)


def make_config(layout=tiny_model.NO_DATASET, entry=ENTRY, **changes):
    """The TrainConfig of the small ViT on a CPU, without worker processes.

    changes: fields of the recipe, and options of `configure_training`.
    """
    names = set(zoo.Recipe.__dataclass_fields__)
    recipe = replace(RECIPE, **{name: value for name, value in changes.items() if name in names})
    options = {"workers": 0, "precision": "float32"}
    options |= {name: value for name, value in changes.items() if name not in names}
    return configure_training(entry, recipe, layout, "cpu", **options)
