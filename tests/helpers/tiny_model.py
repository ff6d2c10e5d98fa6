"""A network of the zoo's parts that is small enough to train in tests, here and in processes that tests start."""

from dataclasses import fields, replace

from avalib import zoo
from avalib.data.layout import DatasetLayout
from avalib.models.resnet3d import N_BLOCKS
from avalib.training.train_config import configure_training

N_BLOCKS[14] = (1, 1, 1, 1)
ENTRY = replace(zoo.get("slowonly_r50"), depth=14)
RECIPE = replace(
    zoo.update_recipe(zoo.build_mini_recipe(zoo.get("slowonly_r50")), short_side=32, batch_size=2, epochs=2),
    cache_short_side=None,
    validate_every=1,
    optimizer="sgd",
    lr=0.02,
    weight_decay=1e-5,
)
NO_DATASET = DatasetLayout("nowhere", "mini")  # for tests that read no file of it


def make_config(layout=NO_DATASET, **changes):
    """The TrainConfig of the small network on a CPU, without worker processes.

    changes: fields of the recipe, and options of `configure_training`.
    """
    names = {field.name for field in fields(zoo.Recipe)}
    recipe = replace(RECIPE, **{name: value for name, value in changes.items() if name in names})
    options = {"workers": 0, "precision": "float32"}
    options |= {name: value for name, value in changes.items() if name not in names}
    return configure_training(ENTRY, recipe, layout, "cpu", **options)
