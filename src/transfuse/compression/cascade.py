"""A small model that answers where it is sure, and asks the next larger one where it is not."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.answering.cascade import Cascade
from transfuse.answering.members import (
    aligned_scores,
    common_task,
    confidence_of,
    names_of,
)
from transfuse.errors import DataError, ModelError, Problem
from transfuse.evaluation import metric_named
from transfuse.tasks import Task

__all__ = ["CascadeStage", "least_kept"]

Array = NDArray[np.float64]

_NEVER = 1.01
"""A threshold that no confidence reaches."""

_MOST_NEEDED = 100_000
"""Numbers of rows that are worth telling; of `keep: 1` no number is enough without a gain."""

_WARM = 8
"""Rows that a model answers before its time is taken."""


@dataclass(frozen=True)
class CascadeStage(Stage):
    """The first model answers, and defers to the next where its confidence is below a threshold.

    The models are given from small to large. One threshold serves all of them: the lowest at which
    the cascade still keeps the stated share of the largest model's validation score, with the
    stated certainty. Thresholds are tried from the highest, which defers every row, downwards, and
    the first that fails ends the search; testing in a fixed order needs no correction for the
    number of tries (Angelopoulos et al., 2021, arXiv:2110.01052).
    """

    keep: float = 0.99
    """Share of the largest model's score that is to be kept. Default: 0.99."""

    level: float = 0.95
    """How certain that must be from the validation rows, one-sided; 0.5 takes the score as it is
    measured, chance included. Default: 0.95."""

    steps: int = 50
    """Thresholds that are tried at the most, at equal shares of the rows. Default: 50."""

    least: ClassVar[int] = 2
    most: ClassVar[int | None] = None
    learns: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError("keep is above 0 and at most 1")
        if not 0.5 <= self.level < 1:
            raise ValueError("level is at least 0.5 and below 1")
        if self.steps < 1:
            raise ValueError("steps is at least 1")

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        task = common_task(models)
        if task.kind not in ("classification", "multilabel"):
            what, wanted = f"the models do {task.kind}", "classes or labels, which have confidence"
            raise ModelError(Problem("cascade", what, wanted))
        table = evidence.validation
        if not len(table):
            fix = "Give `split.validation` a share."
            raise DataError(Problem("cascade", "there are no validation rows", fix=fix))
        targets = task.targets(table)
        answers, sure, seconds = [], [], []
        for place, model in enumerate(models):
            tell("answers and seconds of each model", place, len(models))
            found, took = _timed(model, table.inputs(model.reads))
            answers.append(aligned_scores(found, model.task.label_names, task.label_names))
            sure.append(confidence_of(task.kind, found))
            seconds.append(took)
        tell("answers and seconds of each model", len(models), len(models))
        right = _right(task, np.stack(answers), targets)
        threshold, bound = self._threshold(right, np.stack(sure), table.groups())
        told = _told(task, np.stack(answers), np.stack(sure), targets, threshold, seconds)
        for member, name in zip(told["members"], names_of(models), strict=True):
            member["name"] = name
        told |= {"keep": self.keep, "level": self.level, "bound": bound}
        if threshold > 1:
            told["note"] = self._note(told["score_largest"], len(table))
        if seconds != sorted(seconds):
            told["order"] = "a model is slower than one that comes after it"
        return Made(_without_idle(models, threshold, task.label_names), task, told)

    def _threshold(
        self, right: Array, sure: Array, groups: Sequence[Any] | None
    ) -> tuple[float, float]:
        """The lowest threshold that holds, and by how much it surely does, in shares of rows."""
        # By the confidences alone: which thresholds are tried must not depend on the labels.
        shares = np.linspace(1, 0, self.steps + 1)[:-1]
        tried = np.unique(np.append(np.quantile(sure[:-1], shares), 0.0))[::-1]
        best, found = _NEVER, float((1 - self.keep) * right[-1].mean())
        for threshold in tried:
            chosen = _chosen(sure, threshold)
            kept = right[chosen, np.arange(len(chosen))]
            bound = least_kept(kept, right[-1], self.keep, self.level, groups)
            if bound < 0:
                break
            best, found = float(threshold), bound
        return best, found

    def _note(self, score: float, rows: int) -> str:
        """Why every row goes to the largest model."""
        said = (
            f"no threshold surely keeps {self.keep:.1%} of the score on {rows} validation rows, "
            "so the largest model answers alone"
        )
        needed = 10
        while needed < _MOST_NEEDED:
            perfect = (np.arange(needed) < round(score * needed)).astype(np.float64)
            if least_kept(perfect, perfect, self.keep, self.level) >= 0:
                break
            needed += needed // 10
        if rows < needed < _MOST_NEEDED:
            said += f"; it takes about {needed} rows to show it even of a cascade without a loss"
        return said


def least_kept(
    cascade: Array, largest: Array, keep: float, level: float, groups: Sequence[Any] | None = None
) -> float:
    """A lower bound of the cascade's score less the share of the largest's that is to be kept.

    The bound is that of a paired difference of shares with half a row added to each of the four
    outcomes, both right, one right, the other, none (Agresti and Min, 2005, Statistics in Medicine
    24): without them, no loss among a few rows would look like certainty. Rows of a group go wrong
    together, so that chance is counted by group, with Student's t for the number of groups, and
    the half rows are multiplied by how much more chance there is than among as many single rows.
    In simulations the bound of 95 % was too high in 5 to 7 of 100 samples of single rows, and in up
    to 10 where the mistakes stood in a few of 30 to 100 groups.

    Args:
        cascade: Whether the cascade is right, 0 or 1, [n].
        largest: Whether the largest model is, [n].
        keep: The share that is to be kept.
        level: Certainty, one-sided, from 0.5 to below 1.
        groups: The group (document) of each row. Default: each row stands alone.

    Returns:
        Where the score is kept, at least 0; minus infinity if there is only one group.
    """
    # Imported here: it takes a tenth of a second that other methods do not need.
    from scipy.special import stdtrit

    names = range(len(cascade)) if groups is None else groups
    places: dict[Any, int] = {}
    units = np.array([places.setdefault(name, len(places)) for name in names])
    if len(places) < 2:
        return -np.inf
    values, outcomes = cascade - keep * largest, np.array([1 - keep, -keep, 1.0, 0.0])
    single = ((values - values.mean()) ** 2).sum()
    grouped = (np.bincount(units, weights=values - values.mean()) ** 2).sum()
    excess = max(1.0, float(grouped / max(single, 1e-12)))
    total = len(values) + len(outcomes) * excess / 2
    mean = (values.sum() + outcomes.sum() * excess / 2) / total
    squares = (np.bincount(units, weights=values - mean) ** 2).sum()
    squares += ((outcomes - mean) ** 2).sum() * excess**2 / 2
    error = np.sqrt(squares * len(places) / (len(places) - 1)) / total
    return float(mean - stdtrit(len(places) - 1, level) * error)


def _timed(model: ModelFolder, texts: Sequence[str]) -> tuple[Array, float]:
    """A model's answers, and the seconds that it takes for a row."""
    model.scores(texts[:_WARM])
    start = time.perf_counter()
    found = model.scores(texts)
    return found, (time.perf_counter() - start) / len(texts)


def _right(task: Task, answers: Array, targets: NDArray[Any]) -> Array:
    """Whether each member is right on each row, of several labels on all, [members, rows]."""
    if task.kind == "multilabel":
        found: Array = ((answers >= 0.5) == targets).all(axis=2).astype(np.float64)
    else:
        found = (answers.argmax(axis=2) == targets).astype(np.float64)
    return found


def _chosen(sure: Array, threshold: float) -> NDArray[np.int64]:
    """Which member answers each row, [rows]."""
    enough = sure >= threshold
    enough[-1] = True
    chosen: NDArray[np.int64] = enough.argmax(axis=0)
    return chosen


def _told(
    task: Task,
    answers: Array,
    sure: Array,
    targets: NDArray[Any],
    threshold: float,
    seconds: Sequence[float],
) -> dict[str, Any]:
    """The facts of a cascade on the validation rows."""
    chosen = _chosen(sure, threshold)
    rows, members = len(chosen), len(answers)
    # What the small members cost is paid for rows that go on as well; one that is sure of no row
    # is not asked at all.
    asked = [float((chosen >= place).mean()) for place in range(members)]
    if threshold > 1:
        asked = [0.0] * (members - 1) + [1.0]
    metric = metric_named(task.primary)
    mean_seconds = float(np.dot(asked, seconds))
    return {
        "threshold": threshold if threshold <= 1 else None,
        "rows": rows,
        "metric": metric.name,
        "score": metric(answers[chosen, np.arange(rows)], targets),
        "score_largest": metric(answers[-1], targets),
        "score_smallest": metric(answers[0], targets),
        "deferred": float((chosen > 0).mean()),
        "members": [
            {
                "answers": float((chosen == place).mean()),
                "asked": asked[place],
                "seconds_a_row": seconds[place],
                "score": metric(answers[place], targets),
            }
            for place in range(members)
        ],
        "seconds_a_row": mean_seconds,
        "times_as_fast": seconds[-1] / max(mean_seconds, 1e-12),
    }


def _without_idle(
    models: Sequence[ModelFolder], threshold: float, labels: tuple[str, ...]
) -> Cascade:
    """The cascade, without members that never answer: they would cost space."""
    if threshold > 1:
        return Cascade((models[-1],), (), labels)
    if threshold <= 0:
        return Cascade((models[0],), (), labels)
    return Cascade(tuple(models), (threshold,) * (len(models) - 1), labels)
