"""The zoo as plain data: an entry for each model, and the recipe that it is trained with.

entry: what an entry holds, and how two differ (`compare_fields`). mmaction_v0, mmaction_1x, mmaction_ava_kinetics,
pyslowfast, videomae, umt: the entries of each code base. entries: all of them, and the lookup. recipe: what a recipe
holds. published_recipes, recipes: the published ones, and which one a data set gets. families, ladder, zoo_table:
groups and tables of models. field_table: the fields of an entry or a recipe, with what they mean.

For an experiment, change them with `update_recipe(recipe, …)` or `dataclasses.replace(entry, …)`; the run's record
(run.json) lists the differences.
"""

from avalib.zoo.entries import ENTRIES, get, list_models, select_models
from avalib.zoo.entry import ZooEntry, compare_fields, get_test_dataset, is_same_network
from avalib.zoo.families import DEFAULT_MODELS, FAMILIES, README_MODELS, get_family
from avalib.zoo.field_table import build_field_table, read_field_texts
from avalib.zoo.ladder import LADDER, build_ladder_table, list_changes
from avalib.zoo.published_recipes import build_published_recipe
from avalib.zoo.recipe import Recipe, update_recipe
from avalib.zoo.recipes import (
    build_mini_recipe,
    get_recipe,
    is_same_training,
    scale_lr,
)
from avalib.zoo.zoo_table import DATASET_TITLES, build_zoo_table, render_published_files, render_zoo_table

__all__ = [
    "DATASET_TITLES",
    "ENTRIES",
    "FAMILIES",
    "DEFAULT_MODELS",
    "LADDER",
    "README_MODELS",
    "Recipe",
    "ZooEntry",
    "build_field_table",
    "build_ladder_table",
    "build_mini_recipe",
    "build_published_recipe",
    "build_zoo_table",
    "compare_fields",
    "get",
    "get_family",
    "get_recipe",
    "get_test_dataset",
    "is_same_network",
    "is_same_training",
    "list_changes",
    "list_models",
    "read_field_texts",
    "render_published_files",
    "render_zoo_table",
    "scale_lr",
    "select_models",
    "update_recipe",
]
