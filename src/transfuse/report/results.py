"""The measured study as a report reads it: every row typed, indexed, and in order of display.

`Results.read(folder)` takes `study.parquet` (one number a row) and `study.json` (what was
compared). Nothing here computes a statistic: what a report shows was measured and stored before.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from transfuse.report.format import Measure, measure_of, plain
from transfuse.report.stored import Row, load_rows, load_study

__all__ = ["Recipe", "Results", "Row"]

# Facts about the cost and the calibration of a run: shown in their own sections, not as scores.
COSTS = (
    "trained_parameters",
    "total_parameters",
    "seconds",
    "peak_memory_mb",
    "latency_ms",
    "row_ms",
    "size_mb",
    "answering_memory_mb",
)
CALIBRATION = ("ece", "ece_scaled", "temperature", "log_loss_scaled")


@dataclass(frozen=True)
class Recipe:
    """One line of the comparison.

    Args:
        name: The name in the rows of the study.
        title: What people read. Default: the name.
        description: One sentence on what it does. Default: none.
        baseline: Whether it is there to be compared with.
        made: Whether its model was made of others after training.
    """

    name: str
    title: str
    description: str = ""
    baseline: bool = False
    made: bool = False


def _recipe(entry: Any) -> Recipe:
    if not isinstance(entry, Mapping):
        entry = {"name": entry}
    name = plain(entry.get("name"))
    return Recipe(
        name=name,
        title=plain(entry.get("title")) or name,
        description=plain(entry.get("description")),
        baseline=bool(entry.get("baseline", False)),
        made=bool((entry.get("recipe") or {}).get("then")),
    )


@dataclass(frozen=True)
class Results:
    """A study, ready to be shown.

    Args:
        study: The content of `study.json`.
        rows: The rows of `study.parquet`.
        given: The recipes in the order of `study.json`, then those that only the rows name.
        budgets: The numbers of target labels compared, ascending.
    """

    study: Mapping[str, Any]
    rows: tuple[Row, ...]
    given: tuple[Recipe, ...]
    budgets: tuple[int, ...]
    _index: dict[tuple[str, ...], Row] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[tuple[str, ...], Row] = {}
        for row in self.rows:
            if row.seed is None:
                index.setdefault(_key(row, self.side), row)
        object.__setattr__(self, "_index", index)

    @classmethod
    def read(cls, folder: Path | str) -> Self:
        """Read the study of a folder.

        Args:
            folder: Where `study.parquet` and `study.json` are.

        Raises:
            DataError: If either file is missing, is not readable or lacks a column.
        """
        folder = Path(folder)
        study = load_study(folder / "study.json")
        rows = load_rows(folder / "study.parquet")
        listed = [_recipe(entry) for entry in study.get("recipes") or ()]
        names = {recipe.name for recipe in listed}
        extra = dict.fromkeys(row.recipe for row in rows if row.recipe and row.recipe not in names)
        budgets = {int(budget) for budget in study.get("budgets") or ()}
        if not budgets:
            budgets = {row.budget for row in rows if row.budget > 0} or {0}
        return cls(
            study=study,
            rows=rows,
            given=(*listed, *(Recipe(name, name) for name in extra)),
            budgets=tuple(sorted(budgets)),
        )

    @property
    def name(self) -> str:
        """The study's name."""
        return plain(self.study.get("name")) or "study"

    @property
    def title(self) -> str:
        """The study's title. Default: its name."""
        return plain(self.study.get("title")) or self.name

    @property
    def primary(self) -> Measure:
        """The metric that gains are measured on. Default: accuracy."""
        return measure_of(plain(self.study.get("primary_metric")) or "accuracy")

    @property
    def baselines(self) -> tuple[str, ...]:
        """The recipes that gains are measured against. Default: those of the gain rows."""
        listed = [plain(name) for name in self.study.get("baselines") or ()]
        found = [row.baseline for row in self.rows if row.kind == "gain"]
        return tuple(dict.fromkeys(name for name in (*listed, *found) if name in set(found)))

    @cached_property
    def tasks(self) -> dict[str, Measure]:
        """With several tasks, the metric that each is compared on; otherwise nothing."""
        told = self.study.get("tasks") or {}
        return {plain(name): measure_of(plain(one["primary_metric"])) for name, one in told.items()}

    @cached_property
    def side(self) -> str:
        """Whose test rows a number is of where nothing else is said.

        The target's; with several tasks, those of all as their mean, and without a mean those of
        the first.
        """
        if not self.tasks:
            return "target"
        return "mean" if any(row.split == "mean" for row in self.rows) else next(iter(self.tasks))

    @property
    def where(self) -> str:
        """The same in words."""
        if not self.tasks:
            return "on the target’s test rows"
        if self.side == "mean":
            return f"on test rows, mean over {len(self.tasks)} tasks"
        return f"on the test rows of {self.side}"

    @cached_property
    def failed(self) -> dict[tuple[str, int], str]:
        """Why a recipe at a budget is not there, for those that failed."""
        told = self.study.get("failed") or ()
        found: dict[tuple[str, int], str] = {}
        for each in told:
            place = plain(each["recipe"]), int(each["budget"])
            found.setdefault(place, plain(each["why"]))
        return found

    def why_failed(self, recipe: str, budget: int | None = None) -> str:
        """Why a recipe failed at a budget, or at any; empty where it did not.

        Args:
            recipe: Its name.
            budget: The budget. Default: any.
        """
        places = [place for place in self.failed if place[0] == recipe]
        at = [place for place in places if budget is None or place[1] in (budget, 0)]
        return self.failed[at[0]] if at else ""

    @property
    def headline(self) -> Row | None:
        """The gain that the report opens with, if one was measured."""
        said = self.study.get("headline") or {}
        for row in self.rows:
            if row.kind == "gain" and row.row == said.get("row"):
                return row
        return None

    @property
    def focus(self) -> int:
        """The budget of figures that show one: the headline's, else the largest."""
        chosen = self.headline.budget if self.headline else self.budgets[-1]
        return chosen if chosen in self.budgets else self.budgets[-1]

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes from the best to the worst at the largest budget that measured them."""

        def worth(recipe: Recipe) -> float:
            for budget in reversed(self.budgets):
                row = self.score(recipe.name, budget)
                if row is not None and row.measured:
                    return self.primary.sign * row.value
            return -math.inf

        return tuple(sorted(self.given, key=worth, reverse=True))

    def title_of(self, recipe: str) -> str:
        """The title of a recipe by its name."""
        return next((known.title for known in self.given if known.name == recipe), recipe)

    def find(
        self,
        kind: str,
        recipe: str,
        budget: int,
        metric: str,
        *,
        baseline: str = "",
        split: str | None = None,
        x: str = "",
    ) -> Row | None:
        """The row of a number over all seeds, or nothing where it was not measured.

        A recipe that uses no target labels is stored at budget 0 and stands at every budget.
        """
        for chosen in (budget, 0):
            side = (split or self.side) if kind in _SIDED else ""
            row = self._index.get((kind, recipe, str(chosen), metric, baseline, x, side))
            if row is not None:
                return row
        return None

    def score(self, recipe: str, budget: int, metric: str | None = None) -> Row | None:
        """The score of a recipe on the target's test rows. Default metric: the primary one."""
        return self.find("score", recipe, budget, metric or self.primary.name)

    def cost(self, recipe: str, budget: int, metric: str) -> Row | None:
        """What a recipe cost, mean over seeds."""
        cost = self.find("cost", recipe, budget, metric)
        return cost if cost is not None else self.find("score", recipe, budget, metric)

    def of(self, kind: str) -> Iterable[Row]:
        """All rows of a kind, in their order."""
        return (row for row in self.rows if row.kind == kind)

    def has(self, kind: str) -> bool:
        """Whether there is a row of this kind."""
        return any(True for _ in self.of(kind))

    @cached_property
    def metrics(self) -> tuple[Measure, ...]:
        """The scores on the target, the primary one first, without costs and calibration."""
        names = [
            row.metric
            for row in self.of("score")
            if (row.split == self.side if self.tasks else row.split != "source")
        ]
        shown = (name for name in names if name not in COSTS and name not in CALIBRATION)
        ordered = dict.fromkeys((self.primary.name, *shown))
        return tuple(measure_of(name) for name in ordered)


_SIDED = ("run", "score", "cost", "gain")


def _key(row: Row, otherwise: str) -> tuple[str, ...]:
    side = (row.split or otherwise) if row.kind in _SIDED else ""
    return (row.kind, row.recipe, str(row.budget), row.metric, row.baseline, row.x, side)
