"""From a command's arguments to a recipe: reading, combining, and `--set path=value`."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from transfuse.errors import Problem, RecipeError
from transfuse.recipe import read_recipe

__all__ = ["override", "read_all"]

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PATH = re.compile(r"[^.\[\]]+(\.[^.\[\]]+|\[\d+\])*")


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
            _put(changed, path, value, f"--set {setting}")
        except RecipeError as error:
            problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return changed


def _parsed(setting: str) -> tuple[list[str | int], Any]:
    path, equals, text = setting.partition("=")
    path = path.strip()
    if not equals or not _PATH.fullmatch(path):
        raise RecipeError(
            Problem(f"--set {setting}", "is not a setting", "path=value", "As in train.epochs=5.")
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        what = getattr(error, "problem", None) or "not YAML"
        raise RecipeError(Problem(f"--set {setting}", what, "a value in YAML")) from None
    return [int(index) if index else name for name, index in _STEP.findall(path)], value


def _put(recipe: dict[str, Any], path: Sequence[str | int], value: Any, where: str) -> None:
    """Set the value at a path, making what leads to it."""
    place: Any = recipe
    for depth, step in enumerate(path):
        _check_step(place, step, where)
        if depth == len(path) - 1:
            place[step] = value
            return
        below = place[step] if isinstance(step, int) else place.get(step)
        below = _opened(below, path, depth)
        place[step] = below
        place = below


def _opened(value: Any, path: Sequence[str | int], depth: int) -> Any:
    """What stands at a path's step, in a form that the next step leads into."""
    if isinstance(value, (dict, list)):
        return value
    step, following = path[depth], path[depth + 1]
    if isinstance(value, str) and value != following:
        # The two places where a bare text is short for one of several options.
        if step == "model":
            return {"name": value}
        if depth and path[depth - 1] == "data":
            return {"path": value}
    return {}


def _check_step(place: Any, step: str | int, where: str) -> None:
    if isinstance(step, int):
        if not isinstance(place, list):
            raise RecipeError(Problem(where, f"[{step}] does not lead into a list"))
        if step >= len(place):
            raise RecipeError(
                Problem(where, f"[{step}] in a list of {len(place)}", f"at most [{len(place) - 1}]")
            )
    elif isinstance(place, list):
        raise RecipeError(
            Problem(where, f"{step!r} does not lead into a list", "a place such as [0]")
        )
