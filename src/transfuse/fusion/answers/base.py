"""What fusions of answers share: the members' answers to rows, and the way to an ensemble."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.answering.ensemble import Ensemble
from transfuse.answering.members import aligned_scores, common_task, names_of, vectors_of
from transfuse.answering.rules import Gated, Rule, WeightedMean
from transfuse.data import Table, seed_for
from transfuse.errors import DataError, ModelError, Problem
from transfuse.evaluation import Metric, metric_named
from transfuse.tasks import Task

__all__ = ["AnswerFusion", "Gathered", "metric_of"]

Array = NDArray[np.float64]

_MOST_UNSEEN = 2000
"""Training rows that are asked about at the most, beside the validation rows."""

_ALL_KINDS = "average, by_score, learned and greedy do every kind of task"

_FLOOR = 1e-12
"""The least probability that a logarithm is taken of."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """What the members say of labelled rows that none of them learnt from."""

    names: tuple[str, ...]
    task: Task
    answers: Array
    """[members, rows, outputs], the outputs in the order of the task's labels."""

    targets: NDArray[Any]
    """As the task encodes labels."""

    groups: Sequence[Any] | None
    """The group of each row, if rows have any."""

    validation: int
    """So many rows, the first ones, are validation rows."""

    vectors: Array | None = None
    """The first member's vectors of the rows, [rows, d], where they were asked for."""

    @property
    def metric(self) -> Metric:
        """The task's primary metric."""
        return metric_named(self.task.primary)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.answers.shape[1])

    def at(self, rows: NDArray[np.int64]) -> "Gathered":
        """The same of some rows, all of which then count as validation rows.

        Args:
            rows: Row numbers; a row may come more than once.
        """
        groups = None if self.groups is None else [self.groups[row] for row in rows]
        answers, targets = self.answers[:, rows], self.targets[rows]
        vectors = None if self.vectors is None else self.vectors[rows]
        return Gathered(self.names, self.task, answers, targets, groups, len(rows), vectors)

    def score(self, answers: Array) -> float | None:
        """The primary metric of answers to all rows, on the validation rows; None without any.

        Args:
            answers: [rows, outputs].
        """
        if not self.validation:
            return None
        return self.metric(answers[: self.validation], self.targets[: self.validation])

    def scores(self) -> list[float]:
        """The primary metric of each member."""
        found = [self.score(answers) for answers in self.answers]
        return [score for score in found if score is not None]

    def truths(self) -> Array:
        """The probability that each member gave to what is true, [rows, members].

        Of several labels each is a row of its own: [rows · labels, members].
        """
        return np.stack([self.at_truth(answers) for answers in self.answers], axis=1)

    def at_truth(self, answers: Array) -> Array:
        """The probability that answers to all rows give to what is true, above 0.

        Args:
            answers: [rows, outputs].

        Returns:
            [rows]; of several labels [rows · labels].
        """
        if self.task.kind == "multilabel":
            found = np.where(self.targets == 1, answers, 1 - answers).ravel()
        else:
            found = answers[np.arange(self.rows), self.targets]
        true: Array = np.maximum(found, _FLOOR)
        return true

    def loss(self, answers: Array) -> float:
        """Log-loss of answers to all rows in nats; of numbers the mean squared error.

        Args:
            answers: [rows, outputs].
        """
        if self.task.kind == "regression":
            return float(((answers[:, 0] - self.targets) ** 2).mean())
        return float(-np.log(self.at_truth(answers)).mean())


class AnswerFusion(Stage):
    """Several models to an ensemble; the methods differ in how they choose its rule."""

    least: ClassVar[int] = 2
    most: ClassVar[int | None] = None
    learns: ClassVar[bool] = False

    kinds: ClassVar[tuple[str, ...]] = ("classification", "multilabel", "regression")
    """Kinds of task that the method makes sense for."""

    needs_rows: ClassVar[bool] = True
    """Whether there must be validation rows."""

    fits: ClassVar[bool] = False
    """Whether so much is fitted that training rows which no member learnt from are used too."""

    @property
    def reads_vectors(self) -> bool:
        """Whether it looks at the first member's vectors of the rows too."""
        return False

    @abstractmethod
    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """The rule, and what there is to tell of it.

        Args:
            gathered: The members' answers.
            seed: Seed of all randomness.
            tell: Hears how far it has come.

        Raises:
            ModelError: If the options do not fit the members.
            DataError: If the rows do not suffice.
        """

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        task = common_task(models)
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        if task.kind not in self.kinds:
            wanted = " or ".join(self.kinds)
            raise ModelError(Problem(name, f"the models do {task.kind}", wanted, f"{_ALL_KINDS}."))
        if self.needs_rows and not len(evidence.validation):
            raise DataError(
                Problem(
                    name,
                    "there are no validation rows",
                    "rows that no model learnt from, to choose by",
                    "Give `split.validation` a share, or use `average` or `voting`.",
                )
            )
        table, validation = evidence.validation, len(evidence.validation)
        extra = _unseen(models, evidence.train, seed) if self.fits else table.take([])
        if len(extra):
            table = table.append(extra)
        gathered = _gather(models, task, table, validation, tell)
        if self.reads_vectors:
            gathered = replace(
                gathered, vectors=vectors_of(models[0], table.inputs(models[0].reads))
            )
        rule, told = self.choose(gathered, seed, tell)
        facts = _facts(gathered, rule) | told
        model = _without_idle(models, rule, task.label_names)
        return Made(model, task, facts)


def metric_of(gathered: Gathered, name: str | None, where: str) -> Metric:
    """The metric of that name, or the task's own.

    Args:
        gathered: The members' answers.
        name: One of `METRICS`, or None.
        where: The option that names it.

    Raises:
        ModelError: If the metric is for another kind of task.
    """
    metric = gathered.metric if name is None else metric_named(name)
    if metric.kind != gathered.task.kind:
        raise ModelError(Problem(where, f"{name!r} is for {metric.kind}", gathered.task.kind))
    return metric


def _gather(
    models: Sequence[ModelFolder], task: Task, table: Table, validation: int, tell: Tell
) -> Gathered:
    """Ask every model about the rows, the first of which are validation rows."""
    names = names_of(models)
    answers = np.empty((len(models), len(table), task.outputs))
    known: dict[int, Array] = {}
    for place, model in enumerate(models):
        if len(table) and id(model) not in known:
            tell(f"answers of {names[place]}", place, len(models))
            known[id(model)] = model.scores(table.inputs(model.reads))
        if len(table):
            found = known[id(model)]
            answers[place] = aligned_scores(found, model.task.label_names, task.label_names)
    tell("answers", len(models), len(models))
    targets = task.targets(table) if len(table) else np.empty(0)
    return Gathered(names, task, answers, targets, table.groups(), validation)


def _unseen(models: Sequence[ModelFolder], train: Table, seed: int) -> Table:
    """Training rows that no model learnt from, as there are beside models that learnt nothing."""
    learnt = frozenset[bytes]().union(*(model.training_keys for model in models))
    rows = np.flatnonzero([key not in learnt for key in train.row_keys()])
    if len(rows) > _MOST_UNSEEN:
        rng = np.random.default_rng(seed_for(seed, "answers", "unseen"))
        rows = np.sort(rng.choice(rows, _MOST_UNSEEN, replace=False))
    return train.take(rows)


def _facts(gathered: Gathered, rule: Rule) -> dict[str, Any]:
    """What every fusion of answers tells."""
    members: list[dict[str, Any]] = [{"name": name} for name in gathered.names]
    if isinstance(rule, WeightedMean):
        for member, weight in zip(members, rule.weights, strict=True):
            member["weight"] = float(weight)
    elif isinstance(rule, Gated) and gathered.rows:
        for member, shares in zip(
            members, rule.shares(gathered.answers, gathered.vectors), strict=True
        ):
            member["weight"] = float(shares.mean())
    facts: dict[str, Any] = {"members": members, "rows": gathered.rows}
    if gathered.validation:
        scores = gathered.scores()
        for member, score in zip(members, scores, strict=True):
            member["score"] = score
        sign = 1 if gathered.metric.higher_is_better else -1
        facts["metric"] = gathered.metric.name
        facts["best_member"] = gathered.names[int(np.argmax(sign * np.array(scores)))]
        found = rule.combine(gathered.task.kind, gathered.answers, gathered.vectors)
        facts["score"] = gathered.score(found)
    extra = gathered.rows - gathered.validation
    facts["fitted_on"] = "validation rows" + (
        f" and {extra} training rows that no member learnt from" if extra else ""
    )
    return facts


def _without_idle(models: Sequence[ModelFolder], rule: Rule, labels: tuple[str, ...]) -> Ensemble:
    """The ensemble, without members that count nothing: they would cost time and space."""
    if not isinstance(rule, WeightedMean):
        return Ensemble(tuple(models), rule, labels)
    used = rule.weights > 0
    kept = WeightedMean(rule.weights[used] / rule.weights[used].sum())
    members = tuple(model for model, uses in zip(models, used, strict=True) if uses)
    return Ensemble(members, kept, labels)
