"""What the runs of a study of several tasks say: each task's numbers, and their mean."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from transfuse.evaluation import Bootstrap, Replicates, apply_temperature, mean_replicates
from transfuse.study.analysis import costs
from transfuse.study.gains import efficiency, gains
from transfuse.study.numbers import MEAN, Cell, Number, Side, budgets_of
from transfuse.study.plan import StudyPlan
from transfuse.study.runs import Run
from transfuse.study.tasks import common_metric, merged
from transfuse.transfer import Prepared

__all__ = ["analyse_tasks"]

Cells = Mapping[Cell, Sequence[Run]]


def analyse_tasks(study: StudyPlan, prepared: Prepared, runs: Sequence[Run]) -> list[Number]:
    """All numbers of a study of several tasks.

    The `split` of a number is the task whose test rows it is of, or `mean`: the mean over the
    tasks, which all count the same. There is a mean where the tasks are compared on one metric.

    Args:
        study: What was compared.
        prepared: The data.
        runs: The finished runs.

    Returns:
        One entry per number; gains of the mean come before those of tasks.
    """
    cells: dict[Cell, list[Run]] = {}
    for run in sorted(merged(runs, prepared), key=lambda run: run.key.seed):
        cells.setdefault((run.key.recipe, run.key.budget), []).append(run)
    sides = {
        name: Side(
            domain,
            {cell: _stack(own, name) for cell, own in cells.items() if name in own[0].tasks},
            len(study.comparison.seeds),
            study.comparison.replicates,
            # Test rows of different tasks are drawn independently.
            seed=place + 1,
        )
        for place, (name, domain) in enumerate(prepared.tasks.items())
    }
    measured = {
        name: {cell: side.replicates(cell, side.domain.task.primary) for cell in side.scores}
        for name, side in sides.items()
    }
    every = _everything(study, prepared)
    mean = {} if common_metric(prepared) is None else _means(measured, cells)
    numbers = [*_runs(cells), *_scores(sides, cells), *_mean_scores(every, mean)]
    budgets = budgets_of(cells)
    if mean:
        numbers += gains(study, [(MEAN, every, mean)], budgets)
    per_task = [(name, side.bootstrap, measured[name]) for name, side in sides.items()]
    numbers += gains(study, per_task, budgets)
    numbers += efficiency(study, mean, budgets)
    return [*numbers, *costs(cells)]


def _stack(runs: Sequence[Run], task: str) -> NDArray[np.float64]:
    return np.stack([np.asarray(run.tasks[task].scores, np.float64) for run in runs])


def _everything(study: StudyPlan, prepared: Prepared) -> Bootstrap:
    """The bootstrap over the test documents of all tasks."""
    documents = [
        f"{name}/{document}"
        for name, domain in prepared.tasks.items()
        for document in domain.documents(domain.parts.test)
    ]
    comparison = study.comparison
    return Bootstrap(documents, len(comparison.seeds), comparison.replicates)


def _means(
    measured: Mapping[str, Mapping[Cell, Replicates]], cells: Cells
) -> dict[Cell, Replicates]:
    """The mean over tasks of every recipe that learns them all."""
    return {
        cell: mean_replicates([each[cell] for each in measured.values()])
        for cell in cells
        if all(cell in each for each in measured.values())
    }


def _runs(cells: Cells) -> list[Number]:
    numbers = []
    for cell, runs in cells.items():
        for run in runs:
            seed = run.key.seed
            for task, own in run.tasks.items():
                told = {**own.scorecard.metrics, "temperature": own.scorecard.temperature}
                numbers += [
                    Number("run", *cell, name, value, seed=seed, split=task)
                    for name, value in told.items()
                ]
            numbers += [
                Number("run", *cell, name, value, seed=seed, split=MEAN)
                for name, value in run.scorecard.costs.items()
            ]
    return numbers


def _scores(sides: Mapping[str, Side], cells: Cells) -> list[Number]:
    numbers = []
    for name, side in sides.items():
        task = side.domain.task
        for cell in side.scores:
            found = {metric: side.replicates(cell, metric) for metric in task.metrics}
            if task.kind == "classification":
                scaled = [
                    apply_temperature(own.scores, own.scorecard.temperature)
                    for run in cells[cell]
                    for own in (run.tasks[name],)
                ]
                found["ece_scaled"] = side.replicates(cell, "ece", np.stack(scaled))
            numbers += [
                _score(cell, metric, side.bootstrap, replicates, name)
                for metric, replicates in found.items()
            ]
    return numbers


def _mean_scores(every: Bootstrap, mean: Mapping[Cell, Replicates]) -> list[Number]:
    return [
        _score(cell, replicates.metric.name, every, replicates, MEAN)
        for cell, replicates in mean.items()
    ]


def _score(
    cell: Cell, metric: str, bootstrap: Bootstrap, replicates: Replicates, split: str
) -> Number:
    found = bootstrap.interval(replicates)
    return Number("score", *cell, metric, found.value, split=split, low=found.low, high=found.high)
