"""What the runs of a study say together: a tidy table with every number of its report."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from transfuse.evaluation import apply_temperature, confusion, reliability
from transfuse.study.columns import column_numbers
from transfuse.study.gains import efficiency, gains
from transfuse.study.memory import ANSWERING_MEMORY
from transfuse.study.numbers import Cell, Number, Side, at, budgets_of
from transfuse.study.plan import StudyPlan
from transfuse.study.runs import Run
from transfuse.transfer import Domain, Prepared

__all__ = ["analyse", "costs"]

COSTS = (
    "trained_parameters",
    "total_parameters",
    "seconds",
    "peak_memory_mb",
    "latency_ms",
    "row_ms",
    "size_mb",
    ANSWERING_MEMORY,
)
CHOICE = ("selected_step", "oracle_step", "regret")
"""What a run tells that chose its weights without labels; see `training.choice_told`."""

_MOST_CLASSES = 30
"""Above this many classes a confusion matrix is kept as its most confused pairs."""

_MOST_PAIRS = 50


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
    target = _side(
        study, prepared.target, {cell: _stack(own, "target") for cell, own in cells.items()}
    )
    primary = prepared.target.task.primary
    replicates = {cell: target.replicates(cell, primary) for cell in cells}
    numbers = [*_runs(runs, primary), *_scores(target, cells, prepared)]
    numbers += gains(study, [("", target.bootstrap, replicates)], budgets_of(cells))
    numbers += column_numbers(target, cells, primary)
    numbers += efficiency(study, replicates, budgets_of(cells))
    numbers += _forgetting(study, prepared, cells)
    if prepared.target.task.kind == "classification":
        numbers += _reliability(target, cells)
        numbers += _confusion(target, cells)
    return [*numbers, *_choices(cells), *costs(cells)]


def _side(study: StudyPlan, domain: Domain, scores: Mapping[Cell, NDArray[np.float64]]) -> Side:
    comparison = study.comparison
    return Side(domain, scores, len(comparison.seeds), comparison.replicates)


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


def _scores(target: Side, cells: Mapping[Cell, Sequence[Run]], prepared: Prepared) -> list[Number]:
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
    stacked = {cell: _stack(runs, "source") for cell, runs in known.items()}
    source = _side(study, prepared.source, stacked)
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
        above = at(replicates, study.reference, budget)
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


def _reliability(target: Side, cells: Mapping[Cell, Sequence[Run]]) -> list[Number]:
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


def _confusion(target: Side, cells: Mapping[Cell, Sequence[Run]]) -> list[Number]:
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


def _choices(cells: Mapping[Cell, Sequence[Run]]) -> list[Number]:
    """What choosing weights without labels came to, mean over seeds."""
    return [
        Number("choice", *cell, name, float(np.mean([run.scorecard.metrics[name] for run in runs])))
        for cell, runs in cells.items()
        for name in CHOICE
        if all(name in run.scorecard.metrics for run in runs)
    ]


def costs(cells: Mapping[Cell, Sequence[Run]]) -> list[Number]:
    """What each recipe cost, mean over seeds."""
    return [
        Number("cost", *cell, name, float(np.mean([run.scorecard.costs[name] for run in runs])))
        for cell, runs in cells.items()
        for name in COSTS
        if all(name in run.scorecard.costs for run in runs)
    ]
