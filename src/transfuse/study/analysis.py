"""What the runs of a study say together: a tidy table with every number of its report."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.evaluation import (
    METRICS,
    Bootstrap,
    Replicates,
    apply_temperature,
    confusion,
    holm,
    labels_needed,
    reliability,
)
from transfuse.study.jobs import Run
from transfuse.study.plan import StudyPlan
from transfuse.transfer import Domain, Prepared

__all__ = ["Number", "analyse"]

COSTS = ("trained_parameters", "total_parameters", "seconds", "peak_memory_mb", "latency_ms")
_MOST_CLASSES = 30
"""Above this many classes a confusion matrix is kept as its most confused pairs."""

_MOST_PAIRS = 50


@dataclass(frozen=True)
class Number:
    """One number of a study: a row of `study.parquet`."""

    kind: str
    """run, score, gain, efficiency, forgetting, reliability, confusion or cost."""

    recipe: str
    budget: int
    metric: str
    value: float
    seed: int | None = None
    split: str = ""
    baseline: str = ""
    x: str = ""
    """The place on an axis: a bin, or `true→predicted`."""

    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan


Cell = tuple[str, int]
"""A recipe at a budget."""


def analyse(study: StudyPlan, prepared: Prepared, runs: Sequence[Run]) -> list[Number]:
    """All numbers of a study.

    Args:
        study: What was compared.
        prepared: The data.
        runs: The finished runs.

    Returns:
        One entry per number, in the order of the report.
    """
    cells: dict[Cell, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.key.seed):
        cells.setdefault((run.key.recipe, run.key.budget), []).append(run)
    target = _Side(
        study, prepared.target, {cell: _stack(own, "target") for cell, own in cells.items()}
    )
    primary = prepared.target.task.primary
    replicates = {cell: target.replicates(cell, primary) for cell in cells}
    numbers = [*_runs(runs, primary), *_scores(target, cells, prepared)]
    numbers += _gains(study, target, replicates, _budgets(cells))
    numbers += _efficiency(study, replicates, _budgets(cells))
    numbers += _forgetting(study, prepared, cells)
    if prepared.target.task.kind == "classification":
        numbers += _reliability(target, cells)
        numbers += _confusion(target, cells)
    return [*numbers, *_costs(cells)]


class _Side:
    """The test rows of one domain under one bootstrap."""

    def __init__(
        self, study: StudyPlan, domain: Domain, scores: Mapping[Cell, NDArray[np.float64]]
    ) -> None:
        self.domain = domain
        self.scores = scores
        self.labels = domain.targets[domain.parts.test]
        self.bootstrap = Bootstrap(
            domain.documents(domain.parts.test),
            len(study.comparison.seeds),
            study.comparison.replicates,
        )

    def replicates(
        self, cell: Cell, metric: str, scores: NDArray[np.float64] | None = None
    ) -> Replicates:
        given = self.scores[cell] if scores is None else scores
        return self.bootstrap.replicates(METRICS[metric], given, self.labels)


def _budgets(cells: Iterable[Cell]) -> list[int]:
    """The budgets that were compared; recipes without target labels stand at each of them."""
    budgets = sorted({budget for _, budget in cells})
    return [budget for budget in budgets if budget > 0] or budgets


def _stack(runs: Sequence[Run], side: str) -> NDArray[np.float64]:
    scores = [run.scores if side == "target" else run.source_scores for run in runs]
    return np.stack([np.asarray(each, np.float64) for each in scores])


def _scaled(runs: Sequence[Run]) -> NDArray[np.float64]:
    return np.stack([apply_temperature(run.scores, run.scorecard.temperature) for run in runs])


def _runs(runs: Sequence[Run], primary: str) -> list[Number]:
    numbers = []
    for run in runs:
        key = run.key
        measured = {**run.scorecard.metrics, "temperature": run.scorecard.temperature}
        for name, value in {**measured, **run.scorecard.costs}.items():
            split, metric = ("source", primary) if name == "source_score" else ("target", name)
            numbers.append(
                Number("run", key.recipe, key.budget, metric, value, seed=key.seed, split=split)
            )
    return numbers


def _scores(target: _Side, cells: Mapping[Cell, Sequence[Run]], prepared: Prepared) -> list[Number]:
    task = prepared.target.task
    numbers = []
    for cell, runs in cells.items():
        measured = {name: target.replicates(cell, name) for name in task.metrics}
        if task.kind == "classification":
            measured["ece_scaled"] = target.replicates(cell, "ece", _scaled(runs))
        for name, replicates in measured.items():
            found = target.bootstrap.interval(replicates)
            numbers.append(
                Number(
                    "score",
                    *cell,
                    name,
                    found.value,
                    split="target",
                    low=found.low,
                    high=found.high,
                )
            )
        mean = float(np.mean([run.scorecard.temperature for run in runs]))
        numbers.append(Number("score", *cell, "temperature", mean, split="target"))
    return numbers


def _at(replicates: Mapping[Cell, Replicates], recipe: str, budget: int) -> Replicates | None:
    """A recipe at a budget; one without target labels is kept at 0 and stands at each."""
    return replicates.get((recipe, budget), replicates.get((recipe, 0)))


def _gains(
    study: StudyPlan,
    target: _Side,
    replicates: Mapping[Cell, Replicates],
    budgets: Sequence[int],
) -> list[Number]:
    numbers = []
    for baseline in study.baselines:
        for budget in budgets:
            below = _at(replicates, baseline, budget)
            others = {
                name: own
                for name in study.plans
                if name != baseline and (own := _at(replicates, name, budget)) is not None
            }
            if below is None or not others:
                continue
            gains = {name: target.bootstrap.gain(own, below) for name, own in others.items()}
            adjusted = holm([gain.p for gain in gains.values()])
            for (name, gain), p_holm in zip(gains.items(), adjusted, strict=True):
                numbers.append(
                    Number(
                        "gain",
                        name,
                        budget,
                        below.metric.name,
                        gain.value,
                        baseline=baseline,
                        low=gain.low,
                        high=gain.high,
                        p=gain.p,
                        p_holm=float(p_holm),
                    )
                )
    return numbers


def _efficiency(
    study: StudyPlan, replicates: Mapping[Cell, Replicates], budgets: Sequence[int]
) -> list[Number]:
    numbers = []
    for baseline in study.baselines:
        curve = {b: replicates[baseline, b] for b in budgets if (baseline, b) in replicates}
        if len(curve) < 2:
            continue
        higher = next(iter(curve.values())).metric.higher_is_better
        for name in study.plans:
            for budget in budgets:
                own = replicates.get((name, budget))
                if name == baseline or own is None:
                    continue
                needed = labels_needed(
                    list(curve), [each.value for each in curve.values()], own.value, higher
                )
                for metric, value in (("labels_needed", needed), ("label_ratio", needed / budget)):
                    numbers.append(
                        Number("efficiency", name, budget, metric, value, baseline=baseline)
                    )
    return numbers


def _forgetting(
    study: StudyPlan, prepared: Prepared, cells: Mapping[Cell, Sequence[Run]]
) -> list[Number]:
    """The source's score of the reference less that of each recipe; positive is forgotten."""
    known = {
        cell: runs
        for cell, runs in cells.items()
        if all(run.source_scores is not None for run in runs)
    }
    if prepared.source is None or not known:
        return []
    source = _Side(
        study, prepared.source, {cell: _stack(runs, "source") for cell, runs in known.items()}
    )
    primary = prepared.target.task.primary
    replicates = {cell: source.replicates(cell, primary) for cell in known}
    numbers = []
    for cell, own in replicates.items():
        found = source.bootstrap.interval(own)
        numbers.append(
            Number(
                "score", *cell, primary, found.value, split="source", low=found.low, high=found.high
            )
        )
    if study.reference is None:
        return numbers
    for (name, budget), own in replicates.items():
        above = _at(replicates, study.reference, budget)
        if name == study.reference or above is None:
            continue
        lost = source.bootstrap.gain(above, own)
        numbers.append(
            Number(
                "forgetting",
                name,
                budget,
                primary,
                lost.value,
                split="source",
                baseline=study.reference,
                low=lost.low,
                high=lost.high,
                p=lost.p,
            )
        )
    return numbers


def _reliability(target: _Side, cells: Mapping[Cell, Sequence[Run]]) -> list[Number]:
    numbers = []
    for cell, runs in cells.items():
        for baseline, scores in (("", target.scores[cell]), ("scaled", _scaled(runs))):
            curve = reliability(
                scores.reshape(-1, scores.shape[-1]), np.tile(target.labels, len(runs))
            )
            for number, share in enumerate(curve.share):
                if share == 0:
                    continue
                for metric, value in (
                    ("bin_confidence", curve.confidence[number]),
                    ("bin_accuracy", curve.accuracy[number]),
                    ("bin_share", share),
                ):
                    numbers.append(
                        Number(
                            "reliability",
                            *cell,
                            metric,
                            float(value),
                            split="target",
                            baseline=baseline,
                            x=str(number),
                        )
                    )
    return numbers


def _confusion(target: _Side, cells: Mapping[Cell, Sequence[Run]]) -> list[Number]:
    names = target.domain.task.label_names
    numbers = []
    for cell in cells:
        counts = np.mean(
            [confusion(scores, target.labels, len(names)) for scores in target.scores[cell]], axis=0
        )
        pairs = [(true, said) for true in range(len(names)) for said in range(len(names))]
        if len(names) > _MOST_CLASSES:
            wrong = [(true, said) for true, said in pairs if true != said and counts[true, said]]
            wrong.sort(key=lambda pair: -counts[pair])
            pairs = wrong[:_MOST_PAIRS]
        numbers += [
            Number(
                "confusion",
                *cell,
                "count",
                float(counts[true, said]),
                split="target",
                x=f"{names[true]}→{names[said]}",
            )
            for true, said in pairs
        ]
    return numbers


def _costs(cells: Mapping[Cell, Sequence[Run]]) -> list[Number]:
    return [
        Number("cost", *cell, name, float(np.mean([run.scorecard.costs[name] for run in runs])))
        for cell, runs in cells.items()
        for name in COSTS
    ]


def as_columns(numbers: Sequence[Number]) -> dict[str, list[Any]]:
    """The numbers as columns, with the number of each row in front."""
    rows = [asdict(number) for number in numbers]
    columns: dict[str, list[Any]] = {"row": list(range(len(rows)))}
    for name in Number.__dataclass_fields__:
        columns[name] = [row[name] for row in rows]
    return columns
