"""Recipes that begin from what another recipe of the study made: `@name` in place of a model.

A student learns from the run of its teacher that had the same seed and, where there is one, the
same budget; likewise a model that is adapted without its source data.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfuse.errors import Problem, RecipeError
from transfuse.recipe import nearest
from transfuse.study.jobs import Planned
from transfuse.study.runs import RunKey
from transfuse.transfer import Plan, read_plan

__all__ = ["begun_from_others", "check_references", "reads_labels"]

_MARK = "@"

_PLACES = ("model", "learn")
"""The keys of a recipe in which a model may be named."""


def check_references(plans: Mapping[str, Plan]) -> None:
    """Check that every `@name` is another recipe, and that none waits for itself.

    Args:
        plans: The recipes by name.

    Raises:
        RecipeError: With every reference that leads nowhere or in a circle.
    """
    named = {name: set(_named(plan)) for name, plan in plans.items()}
    problems = [
        Problem(
            f"recipes.{name}",
            f"names {_MARK}{other}, which is not there",
            fix=nearest(other, plans),
        )
        for name, others in named.items()
        for other in sorted(others - set(plans))
    ]
    problems += [
        Problem(
            f"recipes.{name}",
            f"begins from {_MARK}{other}, which is a network for each task",
            fix="Begin from a recipe without `alone`.",
        )
        for name, others in named.items()
        for other in sorted(others & set(plans))
        if plans[other].alone
    ]
    if not problems:
        waiting = {name: others for name, others in named.items() if others}
        while ready := [n for n, others in waiting.items() if not others & set(waiting)]:
            for name in ready:
                del waiting[name]
        problems = [
            Problem(f"recipes.{name}", "begins from a recipe that begins from it")
            for name in waiting
        ]
    if problems:
        raise RecipeError(problems)


def reads_labels(name: str, plans: Mapping[str, Plan]) -> bool:
    """Whether a recipe, or one that it begins from, learns from labels of the target.

    Args:
        name: The recipe.
        plans: The recipes by name.
    """
    plan = plans[name]
    return plan.reads_labels or any(reads_labels(other, plans) for other in _named(plan))


def begun_from_others(runs: Sequence[Planned], folder: Path) -> list[Planned]:
    """The runs with every `@name` replaced by the model folder that it stands for.

    Args:
        runs: The runs as they were planned.
        folder: The study's folder of runs.

    Returns:
        The runs, each after those that it begins from, whose models are kept.
    """
    keys = [each.key for each in runs]
    needed: dict[RunKey, tuple[RunKey, ...]] = {
        each.key: tuple(_run_of(name, each.key, keys) for name in _named(each.plan))
        for each in runs
    }
    kept = {key for after in needed.values() for key in after}
    linked = [
        replace(
            each,
            plan=_linked(each.plan, {key.recipe: folder / key.folder for key in needed[each.key]}),
            keep=each.keep or each.key in kept,
            after=needed[each.key],
            said=each.plan,
        )
        for each in runs
    ]
    return sorted(linked, key=lambda each: _depth(each.key, needed))


def _run_of(name: str, key: RunKey, keys: Sequence[RunKey]) -> RunKey:
    """The run of another recipe that a run begins from."""
    budgets = {other.budget for other in keys if other.recipe == name}
    return RunKey(name, key.budget if key.budget in budgets else max(budgets), key.seed)


def _depth(key: RunKey, needed: Mapping[RunKey, tuple[RunKey, ...]]) -> int:
    return 1 + max((_depth(other, needed) for other in needed[key]), default=-1)


def _linked(plan: Plan, folders: Mapping[str, Path]) -> Plan:
    if not folders:
        return plan

    def put(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(_MARK):
            return str(folders[value.removeprefix(_MARK)] / "model")
        if isinstance(value, Mapping):
            return {key: put(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [put(item) for item in value]
        return value

    told = {key: value for key, value in plan.recipe().items() if value is not None}
    return read_plan({**told, **{key: put(told[key]) for key in _PLACES}})


def _named(plan: Plan) -> tuple[str, ...]:
    """The recipes that a plan names, each once."""
    told = {key: plan.recipe()[key] for key in _PLACES}
    return tuple(dict.fromkeys(_marked(told)))


def _marked(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(_MARK):
        yield value.removeprefix(_MARK)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _marked(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _marked(item)
