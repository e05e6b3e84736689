"""Which run of a study leaves its model: chosen on validation rows, never on the scored ones."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from transfuse.evaluation import (
    METRICS,
    Bootstrap,
    Replicates,
    evaluate,
    information_maximisation,
)
from transfuse.study.order import reads_labels
from transfuse.study.plan import StudyPlan
from transfuse.study.runs import Run
from transfuse.study.tasks import common_metric, validation_of_tasks
from transfuse.transfer import Prepared
from transfuse.transfer.choices import Folders

__all__ = ["chosen"]

_SURE = 0.8
"""Of the two-sided interval: its lower end holds with a probability of nine in ten."""


def chosen(study: StudyPlan, prepared: Prepared, runs: Sequence[Run]) -> Run | None:
    """The first run of the recipe that a study keeps, at its largest budget.

    Args:
        study: What was compared.
        prepared: Its data.
        runs: Every finished run.

    Returns:
        Of the recipe that validates best over all seeds, or of the lightest that validates well
        enough; None where there is nothing to choose by.
    """
    if prepared.tasks:
        # A network that knows one task is no model of all.
        runs = [run for run in runs if not run.key.task]
    domains = prepared.tasks.values() or (prepared.target,)
    if not runs or not any(len(domain.parts.validation) for domain in domains):
        return None
    names = {run.key.recipe for run in runs}
    largest = {name: max(r.key.budget for r in runs if r.key.recipe == name) for name in names}
    candidates = [
        run
        for run in runs
        if run.key.seed == study.comparison.seeds[0] and run.key.budget == largest[run.key.recipe]
    ]
    # A baseline is there to be compared with; it is kept only where nothing else was tried, or
    # where it is a model that somebody has already, such as one of those that are fused.
    trained = {name for name, plan in study.plans.items() if isinstance(plan.model, Folders)}
    aside = {*study.baselines} - trained | {*study.comparison.ceilings}
    candidates = [run for run in candidates if run.key.recipe not in aside] or candidates
    if prepared.tasks and common_metric(prepared) is None and len(candidates) > 1:
        # There is no mean of unlike metrics to choose by.
        return None

    # Recipes that learn without labels of the target are not ranked by them either.
    free = not any(reads_labels(run.key.recipe, study.plans) for run in candidates)

    def score(run: Run) -> float:
        same = [r for r in runs if (r.key.recipe, r.key.budget) == (run.key.recipe, run.key.budget)]
        judge = _unlabelled if free else partial(_validated, prepared=prepared)
        return sum(judge(each) for each in same) / len(same)

    if study.comparison.keep == "lightest" and study.baselines and not prepared.tasks:
        return _lightest(study, candidates, prepared, runs)
    return max(candidates, key=score, default=None)


def _lightest(
    study: StudyPlan, candidates: Sequence[Run], prepared: Prepared, runs: Sequence[Run]
) -> Run | None:
    """The lightest of the runs that surely keep enough of the first baseline's validation score.

    With few validation rows many a model looks as good as the baseline by chance, and the lightest
    of them would be one that is not. So what counts is the lower end of the paired interval.
    """
    base = next((run for run in runs if run.key.recipe == study.baselines[0]), None)
    target = prepared.target
    rows = target.parts.validation
    if base is None or len(set(target.documents(rows))) < 2:
        return base
    metric = METRICS[target.task.primary]
    bootstrap = Bootstrap(target.documents(rows), len(study.comparison.seeds), confidence=_SURE)

    def cell(run: Run) -> list[Run]:
        key = run.key.recipe, run.key.budget
        return [each for each in runs if (each.key.recipe, each.key.budget) == key]

    def answers(run: Run) -> Replicates:
        scores = [each.validation_scores for each in cell(run)]
        return bootstrap.replicates(metric, np.stack(scores), target.targets[rows])

    whole = answers(base)
    bearable = (1 - study.comparison.within) * abs(whole.value)

    def weight(run: Run) -> float:
        costs = [each.scorecard.costs for each in cell(run)]
        sized = [cost["size_mb"] * cost["row_ms"] for cost in costs if "size_mb" in cost]
        return sum(sized) / max(len(sized), 1)

    kept = [run for run in candidates if bootstrap.gain(answers(run), whole).low >= -bearable]
    return min(kept, key=weight, default=base)


def _unlabelled(run: Run) -> float:
    """How sure and how varied a run's answers to the validation rows are, whatever their labels."""
    return information_maximisation(run.validation_scores)


def _validated(run: Run, prepared: Prepared) -> float:
    """A run's score on the validation rows, turned so that more is better."""
    if prepared.tasks:
        return validation_of_tasks(run, prepared)
    target = prepared.target
    primary = target.task.primary
    labels = target.targets[target.parts.validation]
    sign = 1 if METRICS[primary].higher_is_better else -1
    return sign * evaluate([primary], run.validation_scores, labels)[primary]
