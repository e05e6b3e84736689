"""Which layers bear few bits badly, and how many of them must keep more for a score to hold."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Tell
from transfuse.errors import ModelError, Problem
from transfuse.evaluation import metric_named
from transfuse.tasks import Task

__all__ = ["NARROWEST", "Search", "logit_error", "score_loss"]

NARROWEST = 16
"""Products of fewer inputs or outputs, such as a classifier's, and tables of fewer rows keep 32
bits: in 8 they would save next to nothing."""

M = TypeVar("M")


def logit_error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The squared error of logits, as a share of their spread over the rows.

    Args:
        found: Logits of rows, [n, outputs].
        wanted: The logits that they should be, [n, outputs].
    """
    spread = float(np.square(wanted - wanted.mean(axis=0)).sum())
    return float(np.square(found - wanted).sum()) / max(spread, 1e-12)


def score_loss(
    task: Task, found: NDArray[np.float64], wanted: NDArray[np.float64], labels: NDArray[Any]
) -> tuple[float, float]:
    """The primary metric of scores, and how much worse it is than that of other scores.

    Args:
        task: What is answered.
        found: Scores of rows, [n, outputs].
        wanted: The scores to compare with, [n, outputs].
        labels: The rows' labels, as the task encodes them.

    Returns:
        The metric, and the loss; below 0 where it is better.
    """
    metric = metric_named(task.primary)
    value, other = metric(found, labels), metric(wanted, labels)
    return value, other - value if metric.higher_is_better else value - other


@dataclass(frozen=True)
class Search(Generic[M]):
    """The fewest layers in higher precision for which a model's loss of score is small enough.

    Args:
        layers: The names of the layers that can have few bits.
        make: Makes the model in which some of them keep more.
        judge: A model's score, and its loss.
        alone: The error of the logits where this layer alone has few bits.
        tolerance: The greatest loss.
        tell: Hears how far it has come.
    """

    layers: Sequence[str]
    make: Callable[[Collection[str]], M]
    judge: Callable[[M], tuple[float, float]]
    alone: Callable[[str], float]
    tolerance: float
    tell: Tell

    def run(self, always: bool = False) -> tuple[M, dict[str, Any]]:
        """Search: none kept, then the worst ones, twice as many each time, then fewer again.

        Args:
            always: Whether every layer's error is measured even where no layer needs to be kept.
                Default: no, since it takes a pass for each layer.

        Returns:
            The model, and what was found: `kept`, `score`, `loss`, `tries`, and `sensitivity` by
            layer, from the worst to the best, where it was measured.

        Raises:
            ModelError: If the score is lost even where all layers are kept.
        """
        tries: list[dict[str, Any]] = []

        def attempt(kept: Sequence[str]) -> tuple[M, bool]:
            made = self.make(frozenset(kept))
            score, loss = self.judge(made)
            tries.append({"kept": len(kept), "score": score, "loss": loss})
            return made, loss <= self.tolerance

        self.tell("quantise", 0, 1)
        best, good = attempt(())
        kept: Sequence[str] = ()
        errors = {} if good and not always else self._errors()
        if not good:
            order = list(errors)
            low, high = 0, 1
            best, good = attempt(order[:high])
            while not good and high < len(order):
                low, high = high, min(2 * high, len(order))
                best, good = attempt(order[:high])
            if not good:
                raise ModelError(
                    Problem(
                        "quantise",
                        f"{tries[-1]['loss']:.4f} of the validation score is lost even with all "
                        f"{len(order)} layers kept",
                        f"at most {self.tolerance:g}",
                        "Allow a larger tolerance.",
                    )
                )
            while high - low > 1:
                middle = (low + high) // 2
                other, enough = attempt(order[:middle])
                best, low, high = (other, low, middle) if enough else (best, middle, high)
            kept = order[:high]
        last = next(one for one in tries if one["kept"] == len(kept))
        return best, {
            "layers": len(self.layers),
            "kept": list(kept),
            "score": last["score"],
            "loss": last["loss"],
            "tolerance": self.tolerance,
            "tries": tries,
            "sensitivity": errors,
        }

    def _errors(self) -> Mapping[str, float]:
        errors = {}
        for number, layer in enumerate(self.layers):
            errors[layer] = self.alone(layer)
            self.tell("sensitivity", number + 1, len(self.layers))
        return dict(sorted(errors.items(), key=lambda pair: -pair[1]))
