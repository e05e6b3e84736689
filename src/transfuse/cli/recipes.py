"""From a command's arguments to a recipe: reading, combining, and `--set path=value`."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from transfuse.errors import Problem, RecipeError
from transfuse.recipe import put, read_recipe, steps_of

__all__ = ["override", "read_all"]


def read_all(names: Sequence[str]) -> dict[str, Any]:
    """One recipe from the names that a command was given.

    Args:
        names: A shipped recipe or YAML file; or several files with one recipe each, which become
            the recipes of a study.

    Returns:
        The recipe as nested dicts and lists.

    Raises:
        RecipeError: If one cannot be read; or, of several, if one is a study itself or two have
            one name.
    """
    recipes = [read_recipe(name) for name in names]
    if len(recipes) == 1:
        return recipes[0]
    problems = [
        Problem(
            name, "is a study of several recipes", "files with one recipe each", "Compare it alone."
        )
        for name, recipe in zip(names, recipes, strict=True)
        if "recipes" in recipe
    ]
    titles = [str(recipe["name"]) for recipe in recipes]
    problems += [
        Problem(name, f"its name {title!r} is that of another recipe", "a name of its own")
        for place, (name, title) in enumerate(zip(names, titles, strict=True))
        if title in titles[:place]
    ]
    if problems:
        raise RecipeError(problems)
    return {"name": "-".join(titles), "recipes": dict(zip(titles, recipes, strict=True))}


def override(recipe: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A recipe with some values replaced.

    Args:
        recipe: The recipe; it is left as it is.
        settings: `path=value` each: a dotted path as error messages print it, such as
            `train.epochs` or `learn[1].source.weight`, and a value in YAML. Methods that are
            named without options get them (`tune.lora.rank=4` on `tune: lora`).

    Returns:
        The new recipe. Whether the paths mean anything is for the recipe's own check to say.

    Raises:
        RecipeError: With every setting that is not `path=value`, is not YAML, or leads through a
            list to a place that is not there.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(recipe))
    problems: list[Problem] = []
    for setting in settings:
        try:
            path, value = _parsed(setting)
            put(changed, path, value, f"--set {setting}")
        except RecipeError as error:
            problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return changed


def _parsed(setting: str) -> tuple[list[str | int], Any]:
    path, equals, text = setting.partition("=")
    steps = steps_of(path.strip())
    if not equals or steps is None:
        raise RecipeError(
            Problem(f"--set {setting}", "is not a setting", "path=value", "As in train.epochs=5.")
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        what = getattr(error, "problem", None) or "not YAML"
        raise RecipeError(Problem(f"--set {setting}", what, "a value in YAML")) from None
    return steps, value
