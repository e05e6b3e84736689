"""Runs that failed: what a study says of them, and what it compares without them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transfuse.errors import Problem, StudyError, TransfuseError
from transfuse.study.runs import Run, RunKey

__all__ = ["Failure", "after_failure", "complete", "failure", "notes_on", "raise_for"]


@dataclass(frozen=True)
class Failure:
    """A run that failed, and why."""

    key: RunKey
    error: TransfuseError
    """What it raised, each place led by the recipe's name and labels."""

    why: str
    """The same in one line, without these."""

    def to_json(self) -> dict[str, Any]:
        """What `study.json` keeps of it."""
        key = self.key
        told = {"recipe": key.recipe, "budget": key.budget, "seed": key.seed, "why": self.why}
        return {**told, **({"task": key.task} if key.task else {})}


def failure(key: RunKey, error: TransfuseError) -> Failure:
    """What a run's error is in its study.

    Args:
        key: The run.
        error: What it raised.
    """
    task = f"{key.task}, " if key.task else ""
    begin = f"{key.recipe}, {task}{key.budget} labels"
    placed = [replace(each, where=f"{begin}: {each.where}") for each in error.problems]
    why = "; ".join(f"{each.where}: {each.what}" for each in error.problems)
    return Failure(key, type(error)(placed), why)


def after_failure(key: RunKey, after: Sequence[RunKey], failed: Iterable[RunKey]) -> Failure | None:
    """The failure of a run that begins from one that failed; None where none did.

    Args:
        key: The run.
        after: The runs that it begins from.
        failed: Those that failed.
    """
    lost = sorted(
        {each.recipe for each in after} & {each.recipe for each in set(failed) & set(after)}
    )
    if not lost:
        return None
    return failure(key, StudyError(Problem("study", f"begins from {lost[0]}, which failed")))


def complete(runs: Sequence[Run], failures: Iterable[Failure]) -> list[Run]:
    """The runs that can be compared: of a recipe at a budget all seeds, or none.

    Args:
        runs: The finished runs.
        failures: Those that failed.
    """
    lost = {(each.key.recipe, each.key.budget) for each in failures}
    return [run for run in runs if (run.key.recipe, run.key.budget) not in lost]


def notes_on(
    recipes: Iterable[str],
    baselines: Sequence[str],
    failures: Iterable[Failure],
    runs: Sequence[Run],
) -> list[str]:
    """What a reader of the study has to know of what is missing.

    Args:
        recipes: What was to be compared.
        baselines: Those that gains are measured against.
        failures: The runs that failed.
        runs: Those that are compared.
    """
    left = {run.key.recipe for run in runs}
    first: dict[str, Failure] = {}
    for each in failures:
        first.setdefault(each.key.recipe, each)
    notes = []
    for name in recipes:
        if name not in first:
            continue
        where = "everywhere" if name not in left else "at some budgets"
        text = f"{name} failed and is left out {where}: {first[name].why}."
        if name in baselines:
            text += f" No gain over {name} can be stated there."
        notes.append(text)
    return notes


def raise_for(failures: Mapping[RunKey, Failure]) -> None:
    """Raise what failed, if anything did.

    Args:
        failures: The runs that failed.

    Raises:
        StudyError: With every problem of every run.
    """
    problems = [problem for each in failures.values() for problem in each.error.problems]
    if problems:
        raise StudyError(dict.fromkeys(problems))
