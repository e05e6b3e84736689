"""The tables of several tasks: `data.tasks` in a recipe."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from transfuse.errors import Problem, RecipeError
from transfuse.recipe import build
from transfuse.tasks import TASKS, Task
from transfuse.transfer.choices import TableChoice

__all__ = ["TaskData", "read_tasks"]

_OWN = ("validation", "test")
_TAKEN = ("target", "source", "unlabelled", "mean")
"""Names that mean something else: streams, and the mean over tasks."""


@dataclass(frozen=True)
class TaskData:
    """The data of one of several tasks."""

    table: TableChoice
    validation: TableChoice | None = None
    test: TableChoice | None = None
    task: Task | None = None
    """Default: the recipe's `task`, or what the labels ask for."""

    @property
    def tables(self) -> dict[str, TableChoice]:
        """The tables by use, as those of a recipe with this task alone."""
        given = {"target": self.table, "validation": self.validation, "test": self.test}
        return {use: choice for use, choice in given.items() if choice is not None}


def read_tasks(
    spec: Any, path: str, table: Callable[[Any, str], TableChoice]
) -> dict[str, TaskData]:
    """What a recipe says of its tasks.

    Args:
        spec: Each task's table by the task's name.
        path: Where it stands in the recipe.
        table: Reads a table.

    Raises:
        RecipeError: With every problem found.
    """
    if not isinstance(spec, Mapping) or not spec:
        raise RecipeError(
            Problem(path, f"got {spec!r}", "tables by task", "For instance {irony: irony.csv}.")
        )
    problems: list[Problem] = []
    made = {}
    for name, given in spec.items():
        where = f"{path}.{name}"
        problems.extend(_wrong_name(str(name), where))
        try:
            made[str(name)] = given if isinstance(given, TaskData) else _task(given, where, table)
        except RecipeError as error:
            problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return made


def _task(spec: Any, path: str, table: Callable[[Any, str], TableChoice]) -> TaskData:
    if not isinstance(spec, Mapping):
        return TaskData(table(spec, path))
    options = {key: value for key, value in spec.items() if key not in (*_OWN, "task")}
    parts = {}
    problems: list[Problem] = []
    for use in _OWN:
        given = spec.get(use)
        if given is None:
            continue
        if isinstance(given, Mapping) and not {"path", "sample"} & set(given):
            # Another part of the same table.
            given = {**options, **given}
        try:
            parts[use] = table(given, f"{path}.{use}")
        except RecipeError as error:
            problems.extend(error.problems)
    try:
        main = table(options, path)
        task = build(TASKS, spec["task"], f"{path}.task") if spec.get("task") else None
    except RecipeError as error:
        raise RecipeError([*error.problems, *problems]) from None
    if problems:
        raise RecipeError(problems)
    return TaskData(main, parts.get("validation"), parts.get("test"), task)


def _wrong_name(name: str, where: str) -> list[Problem]:
    if name in _TAKEN:
        return [Problem(where, f"{name!r} means something else", fix="Choose another name.")]
    # torch keeps heads by name, and some names are its own.
    if not re.fullmatch(r"[\w-]+", name) or hasattr(nn.ModuleDict, name):
        what = "letters, digits, `_` and `-`, and no word of Python's own such as `items`"
        return [Problem(where, f"{name!r} cannot name a task", what)]
    return []
