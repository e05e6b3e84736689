"""Replacing one value of a recipe by its path, written as error messages print it."""

import re
from collections.abc import Sequence
from typing import Any

from transfuse.errors import Problem, RecipeError

__all__ = ["put", "steps_of"]

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PATH = re.compile(r"[^.\[\]]+(\.[^.\[\]]+|\[\d+\])*")


def steps_of(path: str) -> list[str | int] | None:
    """The steps of a path such as `learn[1].source.weight`; None where it is not one."""
    if not _PATH.fullmatch(path):
        return None
    return [int(index) if index else name for name, index in _STEP.findall(path)]


def put(recipe: dict[str, Any], path: Sequence[str | int], value: Any, where: str) -> None:
    """Set the value at a path, making what leads to it.

    Args:
        recipe: The recipe, which is changed.
        path: The steps of the path.
        value: The new value.
        where: What an error calls the place.

    Raises:
        RecipeError: If the path leads through a list to a place that is not there.
    """
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
