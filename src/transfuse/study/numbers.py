"""The numbers of a study: one row of `study.parquet` each."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.evaluation import METRICS, Bootstrap, Replicates
from transfuse.transfer import Domain

__all__ = ["MEAN", "Cell", "Number", "Side", "as_columns", "at", "budgets_of"]

MEAN = "mean"
"""The `split` of what is the mean over all tasks of a study with several."""

Cell = tuple[str, int]
"""A recipe at a budget."""


@dataclass(frozen=True)
class Number:
    """One number of a study: a row of `study.parquet`."""

    kind: str
    """run, score, gain, column, column_gain, efficiency, forgetting, reliability, confusion, choice
    or cost."""

    recipe: str
    budget: int
    metric: str
    value: float
    seed: int | None = None
    split: str = ""
    """Whose test rows: `target` or `source`; with several tasks a task's, or `mean`."""

    baseline: str = ""
    x: str = ""
    """The place on an axis: a bin, `true→predicted`, or columns put together with +."""

    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan


class Side:
    """The test rows of one domain under one bootstrap.

    Args:
        domain: The domain.
        scores: What each recipe answers for them, [seeds, rows, outputs].
        seeds: The seeds of the study.
        replicates: Replicates of the bootstrap.
        seed: Decides what is drawn. Default: 0.
    """

    def __init__(
        self,
        domain: Domain,
        scores: Mapping[Cell, NDArray[np.float64]],
        seeds: int,
        replicates: int,
        seed: int = 0,
    ) -> None:
        self.domain = domain
        self.scores = scores
        self.labels = domain.targets[domain.parts.test]
        documents = domain.documents(domain.parts.test)
        self.bootstrap = Bootstrap(documents, seeds, replicates, seed=seed)

    def replicates(
        self, cell: Cell, metric: str, scores: NDArray[np.float64] | None = None
    ) -> Replicates:
        """A recipe's metric under the bootstrap.

        Args:
            cell: The recipe at a budget.
            metric: The metric's name.
            scores: Answers in place of the measured ones. Default: those.
        """
        given = self.scores[cell] if scores is None else scores
        return self.bootstrap.replicates(METRICS[metric], given, self.labels)


def budgets_of(cells: Iterable[Cell]) -> list[int]:
    """The budgets that were compared; recipes without target labels stand at each of them."""
    budgets = sorted({budget for _, budget in cells})
    return [budget for budget in budgets if budget > 0] or budgets


def at(replicates: Mapping[Cell, Replicates], recipe: str, budget: int) -> Replicates | None:
    """A recipe at a budget; one without target labels is kept at 0 and stands at each."""
    return replicates.get((recipe, budget), replicates.get((recipe, 0)))


def as_columns(numbers: Sequence[Number]) -> dict[str, list[Any]]:
    """The numbers as columns, with the number of each row in front."""
    rows = [asdict(number) for number in numbers]
    columns: dict[str, list[Any]] = {"row": list(range(len(rows)))}
    for name in Number.__dataclass_fields__:
        columns[name] = [row[name] for row in rows]
    return columns
