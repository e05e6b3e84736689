"""The errors that every part of Transfuse raises for something a person can mend.

Each carries one or more `Problem`s, so that a table with ninety bad rows or a recipe with three
mistakes is reported whole, and the command line prints them without a traceback (exit code 2).
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "DataError",
    "ModelError",
    "Problem",
    "RecipeError",
    "RunLockedError",
    "StudyError",
    "TrainingError",
    "TransfuseError",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and how to mend it.

    Args:
        where: The place: a file with row and column, or a dotted path in a recipe.
        what: What was found there.
        expected: What would have been right. Default: nothing to add.
        fix: What the person can do about it. Default: nothing to add.
    """

    where: str
    what: str
    expected: str = ""
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        if self.expected:
            text += f"; expected {self.expected}"
        if self.fix:
            text += f". {self.fix}"
        return text


class TransfuseError(Exception):
    """Something a person can mend. `problems` holds every one that was found."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type["TransfuseError"], tuple[tuple[Problem, ...]]]:
        # Errors cross process boundaries in a study; the default would hand back the joined text.
        return type(self), (self.problems,)


class DataError(TransfuseError):
    """A table, a column or a row is not what the job needs."""


class RecipeError(TransfuseError):
    """A recipe does not say something that can be run."""


class ModelError(TransfuseError):
    """A model cannot be found, loaded or used for this job."""


class TrainingError(TransfuseError):
    """Training cannot go on, for instance because a loss is not finite."""


class StudyError(TransfuseError):
    """Some runs of a study failed; the others are done, compared and kept."""


class RunLockedError(TransfuseError):
    """Another process is working in the same output folder."""
