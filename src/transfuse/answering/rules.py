"""How the answers of several members become one: small rules over arrays.

Answers are [members, n, outputs], the outputs of all members in one order. Every rule looks at one
row at a time, so that a row alone is answered as among others.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOOR", "RULES", "Gated", "Logistic", "Rule", "Vote", "WeightedMean", "gate_features"]

Array = NDArray[np.float64]

FLOOR = 1e-6
"""The least probability that stacking takes the logarithm of: one member that is sure and wrong
must not outvote all others by 36 nats."""


class Rule(ABC):
    """A frozen dataclass of arrays with a way from the members' answers to one."""

    @abstractmethod
    def combine(self, kind: str, answers: Array, vectors: Array | None = None) -> Array:
        """One answer of several.

        Args:
            kind: The task's kind.
            answers: [members, n, outputs].
            vectors: The first member's vectors of the rows, [n, d], if `reads_vectors`.

        Returns:
            [n, outputs].
        """

    @property
    def reads_vectors(self) -> bool:
        """Whether it looks at the first member's vectors too."""
        return False

    def shares(self, answers: Array, vectors: Array | None = None) -> Array:
        """What each member counts in each row, [members, n]; sums to 1 over members.

        Args:
            answers: [members, n, outputs].
            vectors: As for `combine`.
        """
        members, rows = answers.shape[:2]
        return np.full((members, rows), 1.0 / members)

    def arrays(self) -> dict[str, Array]:
        """The fields by name, each an array, as a file keeps them."""
        return {name: np.ascontiguousarray(array) for name, array in vars(self).items()}


@dataclass(frozen=True, eq=False)
class WeightedMean(Rule):
    """Σ_k weight_k · answer_k."""

    weights: Array
    """[members], not negative, sum 1."""

    def combine(self, kind: str, answers: Array, vectors: Array | None = None) -> Array:
        """See `Rule.combine`."""
        return _mixed(self.shares(answers, vectors), answers)

    def shares(self, answers: Array, vectors: Array | None = None) -> Array:
        """See `Rule.shares`."""
        return np.repeat(self.weights[:, None], answers.shape[1], axis=1)


@dataclass(frozen=True, eq=False)
class Vote(Rule):
    """What most members say, as sure as those who say it are in the mean.

    Ties go to the answer with the greater mean probability over all members.
    """

    def combine(self, kind: str, answers: Array, vectors: Array | None = None) -> Array:
        """See `Rule.combine`."""
        if kind == "multilabel":
            return self._yes_or_no(answers)
        choices = answers.argmax(axis=2)
        votes = (choices[:, :, None] == np.arange(answers.shape[2])).sum(axis=0)
        # A mean probability is at most 1 and a vote is 1, so halving it can only break ties.
        winner = (votes + answers.mean(axis=0) / 2).argmax(axis=1)
        return _mean_of(choices == winner, answers)

    def _yes_or_no(self, answers: Array) -> Array:
        """Each label for itself."""
        yes = answers >= 0.5
        lead = 2 * yes.sum(axis=0) - len(answers)
        said = np.where(lead == 0, answers.mean(axis=0) >= 0.5, lead > 0)
        voters = np.where((lead == 0)[None], True, yes == said)
        total: Array = (answers * voters).sum(axis=0) / voters.sum(axis=0)
        return total


@dataclass(frozen=True, eq=False)
class Logistic(Rule):
    """Multinomial logistic regression over the members' log-probabilities."""

    coefficients: Array
    """[members, outputs, outputs]: of each member, from its output to that of the whole."""

    intercepts: Array
    """[outputs]."""

    def combine(self, kind: str, answers: Array, vectors: Array | None = None) -> Array:
        """See `Rule.combine`."""
        logs = np.log(np.maximum(answers, FLOOR))
        return _softmax(np.einsum("knc,kcd->nd", logs, self.coefficients) + self.intercepts)


@dataclass(frozen=True, eq=False)
class Gated(Rule):
    """Σ_k share_k(row) · answer_k: the shares depend on what `gate_features` says of the row."""

    offsets: Array
    """[members]: log-shares where the features are at their mean."""

    coefficients: Array
    """[features, members]."""

    centres: Array
    """[features]: mean of each feature."""

    scales: Array
    """[features]: deviation of each feature."""

    @property
    def reads_vectors(self) -> bool:
        """See `Rule.reads_vectors`."""
        return len(self.centres) > 2 * len(self.offsets)

    def combine(self, kind: str, answers: Array, vectors: Array | None = None) -> Array:
        """See `Rule.combine`."""
        return _mixed(self.shares(answers, vectors), answers)

    def shares(self, answers: Array, vectors: Array | None = None) -> Array:
        """See `Rule.shares`."""
        features = (gate_features(answers, vectors) - self.centres) / self.scales
        values = np.einsum("nf,fk->nk", features, self.coefficients) + self.offsets
        return _softmax(values).T


RULES: dict[str, type[Rule]] = {
    "weighted_mean": WeightedMean,
    "vote": Vote,
    "logistic": Logistic,
    "gated": Gated,
}
"""Rules by the name that a folder gives them."""


def gate_features(answers: Array, vectors: Array | None = None) -> Array:
    """What a gate sees of a row: each member's confidence and entropy, and a vector if it is given.

    Args:
        answers: Probabilities of classes, [members, n, classes].
        vectors: The first member's vectors of the rows, [n, d]. Default: none.

    Returns:
        [n, 2 · members + d]; the entropy as a share of the greatest there can be.
    """
    logs = np.log(np.maximum(answers, np.finfo(np.float64).tiny))
    entropy = -(answers * logs).sum(axis=2) / np.log(max(2, answers.shape[2]))
    found: Array = np.concatenate([answers.max(axis=2), entropy]).T
    return found if vectors is None else np.hstack([found, vectors])


def _mixed(shares: Array, answers: Array) -> Array:
    """The sum of answers times shares, member by member, so that rows do not touch each other."""
    total = np.zeros(answers.shape[1:])
    for share, answer in zip(shares, answers, strict=True):
        total += share[:, None] * answer
    return total


def _mean_of(chosen: NDArray[np.bool_], answers: Array) -> Array:
    """The mean answer of the chosen members of each row; at least one is chosen."""
    return _mixed(chosen / chosen.sum(axis=0), answers)


def _softmax(values: Array) -> Array:
    shares = np.exp(values - values.max(axis=1, keepdims=True))
    found: Array = shares / shares.sum(axis=1, keepdims=True)
    return found
