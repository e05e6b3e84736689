"""From a study's recipe to what it compares: recipes, budgets, seeds, baselines."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from transfuse.errors import Problem, RecipeError
from transfuse.recipe import build_options, merge, nearest
from transfuse.study.cores import cores_here
from transfuse.study.order import check_references
from transfuse.transfer import Neural, Plan, read_plan

__all__ = ["Comparison", "StudyPlan", "is_study", "read_study"]


@dataclass(frozen=True)
class Comparison:
    """What a study compares: `study:` in a recipe."""

    budgets: tuple[int, ...] = ()
    """Numbers of labelled target rows. Default: all training rows only."""

    shots: tuple[int, ...] = ()
    """Numbers of labelled target rows of each class, in place of budgets. Default: none."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; each draws its own rows within the budget. Default: 0, 1, 2."""

    baselines: tuple[str, ...] = ()
    """Recipes that gains are measured against; the first is the headline's. Default: those that
    learn several tasks alone, those tuned from scratch, then those without a network."""

    ceilings: tuple[str, ...] = ()
    """Recipes that show what could be had, such as one that sees labels which the others do
    without; the report never opens with one, and none is kept. Default: none."""

    reference: str | None = None
    """Recipe whose score on the source's test rows forgetting is measured from. Default: the one
    that learns from the source alone."""

    keep: Literal["best", "lightest", "none"] = "best"
    """The model that is kept: the one that validates best, or of those that validate well enough
    the one with the least product of size on disk and time for a text among many. Default: best."""

    within: float = 0.99
    """Well enough for `lightest`: at least this share of the first baseline's validation score,
    by the lower end of a paired interval (one-sided, 90 %). Default: 0.99."""

    workers: int | None = None
    """Processes at work; 0 does all runs in this one, as a debugger wants it. Default: one for each
    core."""

    replicates: int = 2000
    """Bootstrap replicates of the intervals. Default: 2,000."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds holds at least one number, and none twice")
        if min(self.seeds) < 0:
            raise ValueError("seeds are 0 or above")
        if any(budget < 1 for budget in self.budgets) or len(set(self.budgets)) != len(
            self.budgets
        ):
            raise ValueError("budgets are 1 or more, and none twice")
        if any(shots < 1 for shots in self.shots) or len(set(self.shots)) != len(self.shots):
            raise ValueError("shots are 1 or more, and none twice")
        if self.shots and self.budgets:
            raise ValueError("shots stand in place of budgets: keep one of the two")
        if self.workers is not None and self.workers < 0:
            raise ValueError("workers is 0 or above")
        if not 0 < self.within <= 1:
            raise ValueError("within lies in (0, 1]")
        if self.replicates < 100:
            raise ValueError("replicates is at least 100")

    @property
    def processes(self) -> int:
        """How many processes do the runs; 0 for the calling one."""
        return cores_here() if self.workers is None else self.workers


@dataclass(frozen=True)
class StudyPlan:
    """A typed study."""

    name: str
    title: str
    description: str
    plans: Mapping[str, Plan]
    """The recipes by name, in the order of the file. They share their data, split and task."""

    comparison: Comparison = field(default_factory=Comparison)

    @property
    def shared(self) -> Plan:
        """A plan that speaks for what all share: data, cleaning, split, task."""
        first = next(iter(self.plans.values()))
        data = {use: choice for plan in self.plans.values() for use, choice in plan.data.items()}
        return replace(first, data=data)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The recipes that gains are measured against."""
        from transfuse.tuning import Scratch

        if self.comparison.baselines:
            return self.comparison.baselines
        alone = [name for name, plan in self.plans.items() if plan.alone]
        scratch = [name for name, plan in self.plans.items() if isinstance(plan.tune, Scratch)]
        plain = [name for name, plan in self.plans.items() if not isinstance(plan.model, Neural)]
        return tuple(dict.fromkeys([*alone, *scratch, *plain]))

    @property
    def reference(self) -> str | None:
        """The recipe that forgetting is measured from."""
        if self.comparison.reference is not None:
            return self.comparison.reference
        return next((n for n, plan in self.plans.items() if plan.streams == ("source",)), None)


def is_study(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe compares several recipes."""
    return "recipes" in recipe


def read_study(recipe: Mapping[str, Any]) -> StudyPlan:
    """Check a study's recipe and type its choices.

    Args:
        recipe: What the file says: `recipes` maps names to what is different in each, `study`
            holds the comparison, and all else holds for every recipe.

    Raises:
        RecipeError: With every problem of the study and of each of its recipes.
    """
    problems: list[Problem] = []
    common = {key: value for key, value in recipe.items() if key not in {"recipes", "study"}}
    given = recipe.get("recipes")
    if not isinstance(given, Mapping) or not given:
        raise RecipeError(Problem("recipes", f"got {given!r}", "recipes by name"))
    plans = {}
    for name, over in given.items():
        if over is not None and not isinstance(over, Mapping):
            problems.append(
                Problem(
                    f"recipes.{name}",
                    f"got {over!r}",
                    "what is different in this recipe, as key: value",
                    "For instance {tune: full}.",
                )
            )
            continue
        try:
            own = {"name": str(name), "title": "", "description": ""}
            plans[str(name)] = read_plan(merge({**common, **own}, over or {}), f"recipes.{name}")
        except RecipeError as error:
            problems.extend(error.problems)
    try:
        comparison = build_options(Comparison, recipe.get("study"), "study")
    except RecipeError as error:
        problems.extend(error.problems)
        comparison = Comparison()
    named = [*comparison.baselines, *comparison.ceilings]
    named += [comparison.reference] if comparison.reference else []
    problems.extend(
        Problem("study", f"names the recipe {name!r}, which is not there", fix=nearest(name, given))
        for name in named
        if name not in given
    )
    if problems:
        # A mistake in what all recipes share would be told once for each of them.
        raise RecipeError(dict.fromkeys(_shared_once(problems, set(common))))
    study = StudyPlan(
        str(recipe.get("name", "study")),
        str(recipe.get("title") or recipe.get("name", "study")),
        str(recipe.get("description") or ""),
        plans,
        comparison,
    )
    _check_shared(study)
    check_references(plans)
    return study


def _shared_once(problems: list[Problem], common: set[str]) -> list[Problem]:
    """Problems in what all recipes share, under the path where they were written."""
    counts: dict[tuple[str, str], int] = {}
    recipes = {_recipe_of(problem) for problem in problems} - {""}

    def inner(problem: Problem) -> str:
        parts = problem.where.split(".", 2)
        return parts[2] if problem.where.startswith("recipes.") and len(parts) == 3 else ""

    for problem in problems:
        counts[inner(problem), problem.what] = counts.get((inner(problem), problem.what), 0) + 1
    told = []
    for problem in problems:
        key = inner(problem)
        top = key.split(".")[0].split("[")[0]
        everywhere = len(recipes) > 1 and counts[key, problem.what] == len(recipes)
        told.append(
            replace(problem, where=key) if key and everywhere and top in common else problem
        )
    return told


def _recipe_of(problem: Problem) -> str:
    parts = problem.where.split(".", 2)
    return parts[1] if parts[0] == "recipes" and len(parts) > 1 else ""


def _check_shared(study: StudyPlan) -> None:
    """A comparison is only fair on the same rows of the same task."""
    first_name, first = next(iter(study.plans.items()))
    for name, plan in study.plans.items():
        for key in ("split", "clean", "task"):
            if getattr(plan, key) != getattr(first, key):
                raise RecipeError(
                    Problem(
                        f"recipes.{name}.{key}",
                        f"differs from that of {first_name!r}",
                        "the same for all recipes of a study",
                        f"Move `{key}` to the top of the file.",
                    )
                )
        if plan.tasks != first.tasks:
            raise RecipeError(
                Problem(f"recipes.{name}.data.tasks", "differs", "the same tasks for all recipes")
            )
        for use, choice in plan.data.items():
            other = next(
                (n for n, p in study.plans.items() if p.data.get(use, choice) != choice), None
            )
            if use != "target" and other is not None:
                raise RecipeError(
                    Problem(
                        f"recipes.{name}.data.{use}",
                        f"differs from that of {other!r}",
                        "one table for all recipes of a study that read it",
                        "Make it a study of its own.",
                    )
                )
        target = plan.data.get("target")
        if target != first.data.get("target"):
            raise RecipeError(
                Problem(f"recipes.{name}.data.target", "differs", "one target for all recipes")
            )
