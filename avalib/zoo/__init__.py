"""The zoo: entries (entries) and the recipes that they are trained with (recipes), as plain data.

For an experiment, change them with `update_recipe(recipe, …)` or `dataclasses.replace(entry, …)`; the run's record
(run.json) has the differences.
"""

from avalib.zoo.entries import ENTRIES, get, list_models
from avalib.zoo.entry import ZooEntry, compare_fields
from avalib.zoo.published_recipes import build_published_recipe
from avalib.zoo.recipe import Recipe, update_recipe
from avalib.zoo.recipes import (
    build_mini_recipe,
    get_recipe,
    is_same_training,
    scale_lr,
)
from avalib.zoo.zoo_table import build_zoo_table, render_published_files, render_zoo_table

__all__ = [
    "ENTRIES",
    "Recipe",
    "ZooEntry",
    "build_mini_recipe",
    "build_published_recipe",
    "build_zoo_table",
    "compare_fields",
    "get",
    "get_recipe",
    "is_same_training",
    "list_models",
    "render_published_files",
    "render_zoo_table",
    "scale_lr",
    "update_recipe",
]
