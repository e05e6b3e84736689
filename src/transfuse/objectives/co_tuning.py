"""Keep the head of the source's labels at work on the target's rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from transfuse.evaluation.calibration import fit_temperature
from transfuse.models import Network
from transfuse.objectives.answers import class_task
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision
from transfuse.objectives.logistic import fit_logistic

__all__ = ["CoTuning", "relationship", "source_head"]

_PENALTY = 1e-2

Floats = NDArray[np.float64]


def relationship(
    shares: Floats, targets: NDArray[np.int64], classes: int, *, reverse: bool = False
) -> Floats:
    """p(source class | target class), [classes, source classes]; every row sums to 1.

    Args:
        shares: The source model's probabilities of the target's rows [n, source classes].
        targets: The target class of each row [n].
        classes: How many target classes there are; one without rows gets the mean of all rows.
        reverse: Whether to learn p(target | source) from the rows and turn it round by Bayes' rule
            instead of taking the mean over the rows of each class. Default false.
    """
    overall: Floats = shares.mean(0)
    found = np.tile(overall, (classes, 1))
    if reverse:
        weights = fit_logistic(shares, targets, classes, _PENALTY)
        # Asked of each source class by itself: the rows of the identity.
        forward = softmax(weights[:, :-1].T + weights[:, -1], axis=1)
        joint = forward.T * overall
        return np.asarray(joint / joint.sum(1, keepdims=True), dtype=np.float64)
    for number in np.unique(targets):
        found[number] = shares[targets == number].mean(0)
    found /= found.sum(1, keepdims=True)
    return found


def source_head(features: Floats, logits: Floats) -> nn.Linear:
    """The linear layer that best gives a teacher's logits from the start's vectors.

    Args:
        features: The start's vectors [n, d].
        logits: The teacher's logits [n, source classes].

    Returns:
        The ridge regression; near the teacher's own head where the run starts from the teacher.
    """
    mean, middle = features.mean(0), logits.mean(0)
    centred = features - mean
    scatter = centred.T @ centred
    ridge = 1e-3 * max(float(np.trace(scatter)) / len(scatter), np.finfo(float).tiny)
    weight = np.linalg.solve(
        scatter + ridge * np.eye(len(scatter)), centred.T @ (logits - middle)
    ).T
    head = nn.Linear(features.shape[1], logits.shape[1])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(middle - weight @ mean))
    return head


class _Shared(nn.Module):
    """The head of the source's labels, and how they relate to the target's."""

    relation: torch.Tensor

    def __init__(self, head: nn.Linear, relation: Floats) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("relation", torch.from_numpy(relation.astype(np.float32)))


@dataclass(frozen=True)
class CoTuning(Objective):
    """Learn, beside each row's label, what the source's labels would say of such rows.

    You, Kou, Long and Wang (2020), 'Co-Tuning for transfer learning', NeurIPS 33.
    """

    teacher: str
    """A model folder with a head for the source's labels; best the one that `model` names."""

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    relation: Literal["direct", "reverse"] = "direct"
    """p(source class | target class) as the mean over the rows of a class, or from a classifier
    that tells target classes from source classes, by Bayes' rule. Default: direct."""

    temperature: float = 1.0
    """Divides the teacher's logits; above 1 where it is too sure of itself. Default: 1."""

    calibrate: bool = False
    """Whether the temperature is fitted on the labelled rows of `data.source` instead, which
    should be rows that the teacher has not learnt from. Default: false."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise ValueError("temperature is above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's rows, and the source's where the temperature is fitted on them."""
        return ("target", "source") if self.calibrate else ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("co_tuning",)

    @property
    def questions(self) -> tuple[Question, ...]:
        """What the teacher says of the rows in its own labels, and the start's vectors of them."""
        asked = (
            Question("target", self.teacher, "logits", own_labels=True),
            Question("target", None, "features"),
        )
        return (*asked, Question("source", self.teacher, "logits")) if self.calibrate else asked

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module:
        """The head of the source's labels and the relationship."""
        known = facts["target"]
        task = class_task("co_tuning", facts, "target").task
        logits, features = (
            known.answers[question.name].astype(np.float64) for question in self.questions[:2]
        )
        logits /= self._temperature(facts)
        assert known.targets is not None
        relation = relationship(
            softmax(logits, axis=1), known.targets, task.outputs, reverse=self.relation == "reverse"
        )
        return _Shared(source_head(features, logits), relation)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Cross-entropy of the source's head with the relationship's row, mean over the rows."""
        assert isinstance(module, _Shared)
        features = features_of(step, "target")
        with full_precision(features):
            log_shares = module.head(features).log_softmax(-1)
        wanted = module.relation[step.batches["target"]["targets"]]
        return {"co_tuning": -(wanted * log_shares).sum(-1).mean()}

    def _temperature(self, facts: Mapping[str, Facts]) -> float:
        if not self.calibrate:
            return self.temperature
        class_task("co_tuning", facts, "source")
        source = facts["source"]
        assert source.targets is not None
        shares = softmax(source.answers[self.questions[2].name].astype(np.float64), axis=1)
        return fit_temperature(shares, source.targets)
