"""One delta per linear layer that interferes least with what each model's delta reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from transfuse.fusion.merges.base import Scaled
from transfuse.fusion.merges.directions import by_linear_layer
from transfuse.fusion.merges.family import Weights
from transfuse.fusion.merges.work import Work

__all__ = ["Wudi", "least_interference"]


@dataclass(frozen=True)
class Wudi(Scaled):
    """Each linear layer's delta is optimised to interfere least with every model's, without data.

    The rows of a model's delta lie in the span of the inputs that it learnt from, so they stand in
    for them. Weights that are not of linear layers get the mean delta. Cheng et al. (2025),
    'Whoever started the interference should end it: guiding data-free model merging via task
    vectors' (arXiv:2503.08099).
    """

    scale: float | None = 1.0
    """Factor of the merged delta; null searches it on validation rows. Default: 1."""

    steps: int = 300
    """Steps of Adam for each layer. Default: 300."""

    rate: float = 1e-5
    """Learning rate: about what a weight moves in a step. Default: 1e-5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 0 or not self.rate > 0:
            raise ValueError("steps is at least 0 and rate above 0")

    def direction(self, work: Work) -> Weights:
        """The optimised deltas of linear layers, the mean of all others."""
        return by_linear_layer(work, lambda parts: least_interference(parts, self.steps, self.rate))


def least_interference(
    deltas: Sequence[torch.Tensor], steps: int = 300, rate: float = 1e-5
) -> torch.Tensor:
    """Adam on Σ_i ‖(τ - τ_i) τ_iᵀ‖² / ‖τ_i‖², from τ = Σ τ_i.

    The loss is quadratic: its gradient is 2 (τ H - B), with H = Σ τ_iᵀτ_i / ‖τ_i‖² and
    B = Σ τ_i τ_iᵀτ_i / ‖τ_i‖² computed once. The few steps are part of the method: what no model's
    delta reads stays near the sum.

    Args:
        deltas: What each model has learnt, [out, in].
        steps: Steps of Adam. Default: 300.
        rate: Learning rate. Default: 1e-5.

    Returns:
        The merged delta, [out, in].
    """
    moving = [delta for delta in deltas if bool(delta.any())]
    merged = torch.stack(list(deltas)).sum(0)
    if len(moving) < 2:
        return merged
    scaled = [delta / delta.norm() for delta in moving]
    inputs = torch.stack([each.T @ each for each in scaled])
    pull, target = inputs.sum(0), torch.zeros_like(merged)
    for delta, product in zip(moving, inputs, strict=True):
        target.addmm_(delta, product)
    merged.requires_grad_(True)
    adam = torch.optim.Adam([merged], lr=rate)
    for _ in range(steps):
        merged.grad = 2 * (merged.detach() @ pull - target)
        adam.step()
    return merged.detach()
