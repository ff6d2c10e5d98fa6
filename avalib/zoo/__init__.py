"""The zoo: seven entries (entries) and the recipes that they are trained with (recipes), as plain data.

An experiment is `dataclasses.replace(entry, …)` or `dataclasses.replace(recipe, …)`; `run.py` records the difference.
"""

from avalib.zoo.entries import ENTRIES, ZooEntry, build_zoo_table, compare_fields, get, list_models, render_zoo_table
from avalib.zoo.recipes import (
    Recipe,
    build_mini_recipe,
    build_published_recipe,
    customize_recipe,
    find_equal_network,
    get_recipe,
    override_recipe,
    scale_lr,
)

__all__ = [
    "ENTRIES",
    "Recipe",
    "ZooEntry",
    "build_mini_recipe",
    "build_published_recipe",
    "build_zoo_table",
    "compare_fields",
    "customize_recipe",
    "find_equal_network",
    "get",
    "get_recipe",
    "list_models",
    "override_recipe",
    "render_zoo_table",
    "scale_lr",
]
