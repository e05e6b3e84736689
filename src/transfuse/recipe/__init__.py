"""Recipes: what a person writes, and how it becomes typed settings.

Read `methods.py` first.
"""

from transfuse.recipe.methods import (
    MethodHelp,
    OptionHelp,
    build,
    build_options,
    describe,
    nearest,
    spec_of,
)
from transfuse.recipe.override import put, steps_of
from transfuse.recipe.read import copy_recipe, merge, read_recipe, shipped_recipes

__all__ = [
    "MethodHelp",
    "OptionHelp",
    "build",
    "build_options",
    "copy_recipe",
    "describe",
    "merge",
    "nearest",
    "put",
    "read_recipe",
    "shipped_recipes",
    "spec_of",
    "steps_of",
]
