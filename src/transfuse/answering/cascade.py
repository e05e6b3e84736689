"""A cascade: a small model answers, and asks the next larger one where it is not sure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.base import Answerer, Open
from transfuse.answering.members import (
    Opened,
    aligned_scores,
    confidence_of,
    open_members,
    parameters_of,
    save_members,
)
from transfuse.data import READ, Role, narrowed, picked

__all__ = ["Cascade"]

_ABOUT = "cascade.json"


@dataclass(frozen=True, eq=False)
class Cascade(Answerer):
    """Members from small to large, and how sure each must be to answer."""

    members: tuple[Opened, ...]
    thresholds: tuple[float, ...]
    """The least confidence at which a member answers, for all but the last; 0 lets it answer every
    row, and one above 1 none, so that it is not even asked."""

    labels: tuple[str, ...]
    """The names of the outputs; a member answers 0 for a class that it does not know."""

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.members) - 1:
            raise ValueError("every member but the last has a threshold")
        if not all(threshold >= 0 for threshold in self.thresholds):
            raise ValueError("thresholds are at least 0")

    @property
    def parameters(self) -> int:
        """The parameters of all members."""
        return parameters_of(self.members)

    @property
    def reads(self) -> tuple[Role, ...]:
        """See `Answerer.reads`; what any member reads."""
        return tuple(role for role in READ if any(role in each.reads for each in self.members))

    def scores(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """See `Answerer.scores`."""
        return self.answer(rows)[0]

    def answer(self, rows: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Probabilities for rows, [n, outputs], and which member gave them, [n].

        Only rows of which a member is not sure go on to the next.

        Args:
            rows: The rows.
        """
        scores = np.empty((len(rows), len(self.labels)))
        members = np.empty(len(rows), np.int64)
        open_rows = np.arange(len(rows))
        for place, member in enumerate(self.members):
            threshold = self.thresholds[place] if place < len(self.thresholds) else 0.0
            if not len(open_rows):
                break
            if threshold > 1:
                continue
            left = narrowed(picked(rows, open_rows.tolist()), self.reads, member.reads)
            found = member.scores(left)
            sure = confidence_of(member.task.kind, found) >= threshold
            answered = open_rows[sure]
            scores[answered] = aligned_scores(found[sure], member.task.label_names, self.labels)
            members[answered] = place
            open_rows = open_rows[~sure]
        return scores, members

    def save(self, folder: Path) -> None:
        """Write the cascade into a folder, with the folders of its members.

        Args:
            folder: The folder, which is there.
        """
        about = {
            "thresholds": self.thresholds,
            "labels": self.labels,
            "members": save_members(self.members, folder),
        }
        text = json.dumps(about, ensure_ascii=False, indent=2)
        (folder / _ABOUT).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, open_member: Open) -> Self:
        """See `Answerer.load`."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        members = open_members(folder, about["members"], open_member)
        return cls(members, tuple(about["thresholds"]), tuple(about["labels"]))
