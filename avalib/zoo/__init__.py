"""The zoo: seven entries (entries) and the recipes that they are trained with (recipes), as plain data.

An experiment is `dataclasses.replace(entry, …)` or `dataclasses.replace(recipe, …)`; `run.py` records the difference.
"""

from avalib.zoo.entries import ENTRIES, Entry, difference, get, names, readme_table, table
from avalib.zoo.recipes import (
    Recipe,
    customise,
    mini_recipe,
    override,
    published_recipe,
    recipe,
    same_from_scratch,
    scaled_lr,
)

__all__ = [
    "ENTRIES", "Entry", "Recipe", "customise", "difference", "get", "mini_recipe", "names",
    "override", "published_recipe", "readme_table", "recipe", "same_from_scratch", "scaled_lr", "table",
]  # fmt: skip
