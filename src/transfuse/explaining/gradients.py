"""Integrated gradients: what each part adds on the way from nothing to what is there.

Sundararajan et al. (2017, arXiv:1703.01365). With F the score, x what enters the network (the
vectors of tokens, the colours of pixels) and x' the same of a row that says nothing (mask tokens,
an emptied picture), the weight of entry i is

    (x_i - x'_i) . integral over a from 0 to 1 of dF / dx_i at x' + a (x - x')

and that of a part is the sum over its entries. The weights sum to F(x) - F(x') but for the error of
the sum that stands for the integral.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch

from transfuse.answering import ModelFolder
from transfuse.errors import ModelError, Problem
from transfuse.explaining.deadline import Deadline
from transfuse.explaining.explanation import Explanation, Units, relative_gap
from transfuse.models import Network

__all__ = ["Entering", "integrate", "network_of"]

_TOKENS = 4096
"""Tokens, or patches of 16 by 16 pixels, that are sent through the network at a time."""

_DOUBLINGS = 5


class Entering(Protocol):
    """A row as the numbers that a network can be followed from."""

    values: torch.Tensor
    """What the row is, [1, ...]."""

    bare: torch.Tensor
    """What a row is that says nothing, of the same shape."""

    @property
    def text(self) -> str | None:
        """See `Explanation.text`."""

    @property
    def size(self) -> tuple[int, int] | None:
        """See `Explanation.size`."""

    @property
    def cost(self) -> int:
        """The work of one pass, in tokens."""

    def logits(self, values: torch.Tensor) -> torch.Tensor:
        """Logits [n, outputs].

        Args:
            values: What enters, [n, ...].
        """

    def weights(self, shares: torch.Tensor) -> list[float]:
        """Shares summed; nothing is lost.

        Args:
            shares: Of each entry, shaped like `values`.
        """

    def units(self, weights: list[float]) -> Units:
        """The parts with their weights.

        Args:
            weights: What `weights` gave.
        """


def integrate(
    model: ModelFolder,
    entering: Callable[[], Entering],
    label: int | None,
    steps: int,
    tolerance: float,
    deadline: Deadline | None = None,
) -> Explanation:
    """Explain an answer by integrated gradients.

    Args:
        model: The model.
        entering: Makes what enters its network; called where gradients can be had.
        label: The label's number; None for the most probable.
        steps: Points of the integral to begin with (Gauss-Legendre); they are doubled, at most
            five times, until the gap is within the tolerance.
        tolerance: The gap that is tolerated.
        deadline: When to give up. Default: never.

    Returns:
        The explanation.

    Raises:
        ModelError: If captum is not installed, or the time is over.
    """
    # Also where a caller has turned gradients off.
    with torch.inference_mode(False), torch.enable_grad():
        row = entering()
        both = row.logits(torch.cat([row.values, row.bare])).detach()
        if torch.equal(row.values, row.bare):
            # Rows of one batch may differ in their last bits, which no integral could make up for.
            both = both[:1].expand(2, -1)
        chosen = int(both[0].argmax()) if label is None else label

        def score(values: torch.Tensor) -> torch.Tensor:
            if deadline is not None:
                deadline.check()
            return _score(model, row.logits(values), chosen)

        full, without = _score(model, both, chosen).tolist()
        weights, gap, points = _integral(score, row, full - without, steps, tolerance)
    note = "" if gap <= tolerance else f"The integral did not close with {points:,} points."
    return Explanation(
        label=model.task.label_names[chosen],
        method="integrated_gradients",
        score=full,
        baseline=without,
        units=row.units(weights),
        gap=gap,
        text=row.text,
        size=row.size,
        probability=None if model.task.kind == "regression" else (1 + math.tanh(full / 2)) / 2,
        steps=points,
        note=note,
    )


def _integral(
    score: Callable[[torch.Tensor], torch.Tensor],
    row: Entering,
    difference: float,
    steps: int,
    tolerance: float,
) -> tuple[list[float], float, int]:
    """The summed weights, the gap and the points that it took."""
    method = _captum()(score, multiply_by_inputs=True)
    for doubling in range(_DOUBLINGS + 1):
        points = steps << doubling
        shares = method.attribute(
            row.values,
            baselines=row.bare,
            n_steps=points,
            method="gausslegendre",
            internal_batch_size=max(1, _TOKENS // row.cost),
        )
        weights = row.weights(shares.detach())
        gap = relative_gap(weights, difference)
        if gap <= tolerance:
            break
    return weights, gap, points


def _captum() -> Any:
    """Captum's class, which only this needs."""
    try:
        from captum.attr import IntegratedGradients
    except ModuleNotFoundError:
        raise ModelError(
            Problem(
                "integrated_gradients",
                "captum is not installed",
                fix="Install it with `pip install 'transfuse[explain]'`, or use occlusion.",
            )
        ) from None
    return IntegratedGradients


def network_of(model: ModelFolder) -> Network:
    """A copy of the model's network; it shares the weights, and the original may be at work.

    Args:
        model: The model.

    Raises:
        ModelError: If it is no network with one encoder.
    """
    if not isinstance(model.model, Network) or len(model.model.encoders) != 1:
        raise ModelError(
            Problem(
                str(model.path),
                "is not a network with one encoder, so it has no gradients",
                "a network",
                "Use the method occlusion, which works for every model.",
            )
        )
    return model.model.copied_as(torch.float32)


def _score(model: ModelFolder, logits: torch.Tensor, chosen: int) -> torch.Tensor:
    """The label's calibrated log-odds, or the predicted number, [n]."""
    match model.task.kind:
        case "classification":
            scaled = logits / model.temperature
            others = torch.arange(scaled.shape[1], device=scaled.device) != chosen
            return scaled[:, chosen] - scaled[:, others].logsumexp(-1)
        case "multilabel":
            return logits[:, chosen]
    return model.task.scores(logits)[:, chosen]
