"""A network of the zoo's parts that is small enough to train in tests, here and in processes that tests start."""

from dataclasses import replace

from avalib import zoo
from avalib.models.resnet3d import BLOCKS

BLOCKS[14] = (1, 1, 1, 1)
ENTRY = replace(zoo.get("slowonly_r50"), depth=14)
RECIPE = replace(
    zoo.customize_recipe(zoo.build_mini_recipe(zoo.get("slowonly_r50")), short_side=32, batch_size=2, epochs=2),
    cache_short_side=None,
    validate_every=1,
    optimizer="sgd",
    lr=0.02,
    weight_decay=1e-5,
)
