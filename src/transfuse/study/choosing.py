"""Which run of a study leaves its model: chosen on validation rows, never on the scored ones."""

from collections.abc import Callable, Sequence
from functools import partial

from transfuse.evaluation import METRICS, evaluate, information_maximisation
from transfuse.study.order import reads_labels
from transfuse.study.plan import StudyPlan
from transfuse.study.runs import Run
from transfuse.study.tasks import common_metric, validation_of_tasks
from transfuse.transfer import Prepared

__all__ = ["chosen"]


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
    every = candidates
    # A baseline is there to be compared with; it is kept only where nothing else was tried.
    aside = {*study.baselines, *study.comparison.ceilings}
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

    if study.comparison.keep == "lightest" and study.baselines:
        return _lightest(study, candidates, every, runs, score)
    return max(candidates, key=score, default=None)


def _lightest(
    study: StudyPlan,
    candidates: Sequence[Run],
    every: Sequence[Run],
    runs: Sequence[Run],
    score: Callable[[Run], float],
) -> Run | None:
    """The lightest of the runs that keep enough of the first baseline's validation score."""
    base = next((run for run in every if run.key.recipe == study.baselines[0]), None)
    if base is None:
        return None
    whole, within = score(base), study.comparison.within
    # A score below zero is an error with its sign turned.
    least = whole * within if whole >= 0 else whole / within

    def weight(run: Run) -> float:
        same = [r for r in runs if (r.key.recipe, r.key.budget) == (run.key.recipe, run.key.budget)]
        costs = [r.scorecard.costs for r in same if "size_mb" in r.scorecard.costs]
        return sum(cost["size_mb"] * cost["row_ms"] for cost in costs) / max(len(costs), 1)

    return min((run for run in candidates if score(run) >= least), key=weight, default=base)


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
