"""Tables that are ready to be learnt from: read, cleaned, split, with labels as numbers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.data import DataCard, Split, Table, few_shot, take_budget
from transfuse.errors import DataError, Problem
from transfuse.tasks import Task

__all__ = ["Domain", "Prepared"]


@dataclass(frozen=True)
class Domain:
    """One table, split, with its labels as numbers."""

    table: Table
    parts: Split
    targets: NDArray[Any]
    task: Task
    labelled: bool = True
    """Whether learning may see the targets."""

    def documents(self, rows: NDArray[np.int64]) -> list[Any]:
        """The document of each row: its group, or the row itself."""
        groups = self.table.groups()
        return [int(row) if groups is None else groups[row] for row in rows]


@dataclass(frozen=True)
class Prepared:
    """The data of a plan, ready to be learnt from."""

    target: Domain
    source: Domain | None
    cards: Mapping[str, DataCard]
    notes: tuple[str, ...] = ()
    extra: Domain | None = None
    """Rows of the target's domain without labels, where a table of them was named."""

    tasks: Mapping[str, Domain] = field(default_factory=dict)
    """With several tasks each one's rows; the first is the target too."""

    @property
    def fingerprint(self) -> str:
        """Names the rows, their split and the task; of results of other data nothing is reused."""
        digest = hashlib.blake2b(digest_size=16)
        # The first task is the target.
        others = list(self.tasks.values())[1:]
        for domain in (self.target, self.source, self.extra, *others):
            if domain is not None:
                digest.update(repr(domain.task).encode())
                digest.update(np.ascontiguousarray(domain.targets).tobytes())
                # The rows in their order, since a run is scored on rows by number.
                digest.update(b"".join(domain.table.row_keys()))
                for part in (domain.parts.train, domain.parts.validation, domain.parts.test):
                    digest.update(part.tobytes())
        return digest.hexdigest()

    @property
    def shared_head(self) -> bool:
        """Whether source and target have the same labels and so answer with one head."""
        return self.source is not None and self.source.task == self.target.task

    def domain(self, name: str) -> Domain:
        """The domain that feeds a stream."""
        if name in self.tasks:
            return self.tasks[name]
        match name:
            case "target":
                return self.target
            case "unlabelled":
                # Without a table of its own it is the target's training rows, labels withheld.
                return self.extra or replace(self.target, labelled=False)
            case _:
                assert self.source is not None
                return self.source

    def of_task(self, name: str) -> "Prepared":
        """The data of one of several tasks, as of a recipe that has no other."""
        return Prepared(self.tasks[name], None, {})

    def training_rows(
        self, name: str, budget: int | None, seed: int, shots: int | None = None
    ) -> NDArray[np.int64]:
        """The rows of a stream that a run learns from.

        Args:
            name: The stream.
            budget: Labelled target rows, or rows of each of several tasks; None for all training
                rows. Other streams have no budget.
            seed: The run's seed; it draws the rows within the budget. Smaller budgets of one seed
                are parts of larger ones.
            shots: Labelled target rows of each class, in place of a budget.

        Raises:
            DataError: If there are fewer training rows than asked for.
        """
        domain = self.domain(name)
        rows = domain.parts.train
        learnt = name == "target" or name in self.tasks
        if learnt and shots is not None:
            return rows[_few(domain, shots, seed)]
        if not learnt or budget is None:
            return rows
        if budget > len(rows):
            raise DataError(
                Problem(
                    domain.table.name,
                    f"{len(rows)} training rows for a budget of {budget}",
                    f"a budget of at most {len(rows)}",
                    "Lower the budget, or the shares of test and validation rows.",
                )
            )
        known = domain.targets[rows]
        labels = known.tolist() if known.ndim == 1 else list(known)
        return rows[take_budget(labels, budget, seed)]


def _few(domain: Domain, shots: int, seed: int) -> NDArray[np.int64]:
    """Places among the training rows of so many rows of each class."""
    shown = domain.task.classes(domain.targets[domain.parts.train])
    if shown is None:
        what = f"the task {domain.task.kind} has no classes"
        raise DataError(Problem("shots", what, fix="Give a `budget` of rows instead."))
    return few_shot(shown, shots, seed, domain.task.label_names)
