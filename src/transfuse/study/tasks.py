"""Studies of several tasks: which runs they need, and which model is the best."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transfuse.evaluation import METRICS, evaluate
from transfuse.study.plan import Comparison
from transfuse.study.runs import Run, RunKey, TaskRun
from transfuse.transfer import Plan, Prepared

__all__ = ["budgeted_tasks", "common_metric", "merged", "validation_of_tasks"]

_SUMMED = ("seconds", "trained_parameters", "total_parameters")
"""Costs that networks of single tasks add up to; of the others the largest counts."""


def budgeted_tasks(comparison: Comparison, plan: Plan, prepared: Prepared) -> dict[int, Plan]:
    """A recipe at each budget: labelled rows of each task, or all rows of all tasks.

    Args:
        comparison: What is compared.
        plan: The recipe.
        prepared: The data.
    """
    shots = comparison.shots or ((plan.shots,) if plan.shots is not None else ())
    if shots and not comparison.budgets:
        outputs = sum(len(domain.task.label_names) or 1 for domain in prepared.tasks.values())
        return {each * outputs: replace(plan, budget=None, shots=each) for each in shots}
    budgets = comparison.budgets or ((plan.budget,) if plan.budget else ())
    if budgets:
        return {each: replace(plan, budget=each, shots=None) for each in budgets}
    return {sum(len(domain.parts.train) for domain in prepared.tasks.values()): plan}


def merged(runs: Sequence[Run], prepared: Prepared) -> list[Run]:
    """The runs, with those of single tasks of a recipe at a budget and a seed put into one.

    Args:
        runs: The finished runs.
        prepared: The data.
    """
    alone: dict[RunKey, dict[str, Run]] = {}
    for run in runs:
        if run.key.task:
            alone.setdefault(replace(run.key, task=""), {})[run.key.task] = run
    others = [run for run in runs if not run.key.task]
    return others + [_merge(key, parts, prepared) for key, parts in alone.items()]


def _merge(key: RunKey, parts: Mapping[str, Run], prepared: Prepared) -> Run:
    ordered = {name: parts[name] for name in prepared.tasks if name in parts}
    first = next(iter(ordered.values()))
    costs = {
        name: (sum if name in _SUMMED else max)(
            run.scorecard.costs[name] for run in ordered.values()
        )
        for name in first.scorecard.costs
    }
    tasks = {
        name: TaskRun(run.scorecard, run.scores, run.validation_scores)
        for name, run in ordered.items()
    }
    card = replace(first.scorecard, costs=costs)
    return Run(key, card, first.scores, first.validation_scores, tasks=tasks)


def common_metric(prepared: Prepared) -> str | None:
    """The metric that all tasks are compared on; None where they have different ones."""
    primary = {domain.task.primary for domain in prepared.tasks.values()}
    return primary.pop() if len(primary) == 1 else None


def validation_of_tasks(run: Run, prepared: Prepared) -> float:
    """The mean over tasks of a run's validation scores, turned so that more is better.

    Args:
        run: The run.
        prepared: The data.
    """
    found = []
    for name, own in run.tasks.items():
        domain = prepared.tasks[name]
        checked = domain.parts.validation
        if len(checked):
            metric = domain.task.primary
            sign = 1 if METRICS[metric].higher_is_better else -1
            value = evaluate([metric], own.validation_scores, domain.targets[checked])[metric]
            found.append(sign * value)
    return sum(found) / len(found)
