"""The data of several tasks together: no task learns from rows that another is scored on."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from transfuse.data import Split, overlap
from transfuse.errors import DataError, Problem
from transfuse.transfer.domains import Domain, Prepared

__all__ = ["joined"]


def joined(parts: Mapping[str, Prepared]) -> Prepared:
    """The data of all tasks.

    Args:
        parts: Each task's data by its name.

    Raises:
        DataError: If a task has no row left to learn from.
    """
    notes = [f"{name}: {note}" for name, part in parts.items() for note in part.notes]
    tasks = {}
    for name, part in parts.items():
        others = {other: each.target for other, each in parts.items() if other != name}
        tasks[name] = _unscored(name, part.target, others, notes)
    first = next(iter(tasks.values()))
    cards = {name: part.cards["target"] for name, part in parts.items()}
    return Prepared(first, None, cards, tuple(notes), tasks=tasks)


def _unscored(name: str, domain: Domain, others: Mapping[str, Domain], notes: list[str]) -> Domain:
    """A task without training rows that another task is scored on, whatever rows are.

    One encoder learns all tasks: what it was taught of a row by one would help it with that row
    in another.
    """
    parts = domain.parts
    own, found = domain.table.take(parts.train), set[int]()
    for other in others.values():
        scored = np.concatenate([other.parts.validation, other.parts.test])
        if len(scored):
            found.update(overlap(other.table.take(scored), own).rows)
    if not found:
        return domain
    if len(found) == len(parts.train):
        raise DataError(
            Problem(
                domain.table.name,
                "every training row is one that another task is scored on",
                "tasks with rows of their own",
            )
        )
    notes.append(
        f"{name}: {len(found)} training rows left out, since another task is scored on them "
        "or on rows that are nearly the same"
    )
    kept = np.delete(np.arange(len(domain.table)), parts.train[sorted(found)])
    train, validation, test = (
        np.flatnonzero(np.isin(kept, rows)) for rows in (parts.train, parts.validation, parts.test)
    )
    return replace(
        domain,
        table=domain.table.take(kept),
        targets=domain.targets[kept],
        parts=Split(train, validation, test, parts.notes),
    )
