"""An ensemble: several models that answer as one, kept in one folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from transfuse.answering.base import Answerer, Open
from transfuse.answering.members import (
    Opened,
    aligned_scores,
    open_members,
    parameters_of,
    save_members,
    vectors_of,
)
from transfuse.answering.rules import RULES, Rule
from transfuse.data import READ, Role, narrowed

__all__ = ["Ensemble"]

_ABOUT = "ensemble.json"
_ARRAYS = "ensemble.safetensors"


@dataclass(frozen=True, eq=False)
class Ensemble(Answerer):
    """Members and the rule that makes one answer of theirs.

    Members may be networks of different encoders, classical models, other ensembles: whatever a
    model folder holds. Each answers with its own temperature.
    """

    members: tuple[Opened, ...]
    rule: Rule
    labels: tuple[str, ...]
    """The names of the outputs; a member answers 0 for a class that it does not know."""

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
        return self.rule.combine(self._kind, self.answers(rows), self._vectors(rows))

    def answers(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """What each member says, [members, n, outputs], in the order of the ensemble's labels.

        Args:
            rows: The rows.
        """
        found = np.empty((len(self.members), len(rows), len(self.labels)))
        if not len(rows):
            return found
        known: dict[int, NDArray[np.float64]] = {}
        for place, member in enumerate(self.members):
            if id(member) not in known:
                scores = member.scores(narrowed(rows, self.reads, member.reads))
                known[id(member)] = aligned_scores(scores, member.task.label_names, self.labels)
            found[place] = known[id(member)]
        return found

    def disagreement(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """How far the members are from saying the same, [n]; 0 where they do.

        For classes and labels it is the mutual information between the answer and the member, in
        nats: the entropy of the mean less the mean entropy (of several labels, their sum). It is
        high where members are sure of different things and low where all are unsure, which is
        what more training rows could not mend (Houlsby et al., 2011, arXiv:1112.5745). For numbers
        it is the variance between members. Members count as the rule weighs them, and equally
        where it does not.

        Args:
            rows: The rows.
        """
        answers = self.answers(rows)
        shares = self.rule.shares(answers, self._vectors(rows))[:, :, None]
        mean = (shares * answers).sum(axis=0)
        if self._kind == "regression":
            spread: NDArray[np.float64] = (shares * (answers - mean) ** 2).sum(axis=(0, 2))
            return spread
        whole, each = _surprise(mean), _surprise(answers)
        if self._kind == "multilabel":
            whole, each = whole + _surprise(1 - mean), each + _surprise(1 - answers)
        found = whole.sum(axis=1) - (shares * each).sum(axis=(0, 2))
        above: NDArray[np.float64] = np.maximum(found, 0.0)  # rounding can take it below
        return above

    def save(self, folder: Path) -> None:
        """Write the ensemble into a folder, with the folders of its members.

        Args:
            folder: The folder, which is there.
        """
        about = {
            "rule": next(name for name, kind in RULES.items() if type(self.rule) is kind),
            "labels": self.labels,
            "members": save_members(self.members, folder),
        }
        text = json.dumps(about, ensure_ascii=False, indent=2)
        (folder / _ABOUT).write_text(text, encoding="utf-8")
        arrays = {name: np.ascontiguousarray(array) for name, array in self.rule.arrays().items()}
        save_file(arrays, folder / _ARRAYS)

    @classmethod
    def load(cls, folder: Path, open_member: Open) -> Self:
        """See `Answerer.load`."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        rule = RULES[about["rule"]](**load_file(folder / _ARRAYS))
        members = open_members(folder, about["members"], open_member)
        return cls(members, rule, tuple(about["labels"]))

    def _vectors(self, rows: Sequence[Any]) -> NDArray[np.float64] | None:
        if not self.rule.reads_vectors:
            return None
        return vectors_of(self.members[0], narrowed(rows, self.reads, self.members[0].reads))

    @property
    def _kind(self) -> str:
        return self.members[0].task.kind


def _surprise(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """−p · ln p, 0 at 0."""
    logs = np.log(np.maximum(shares, np.finfo(np.float64).tiny))
    found: NDArray[np.float64] = -shares * logs
    return found
