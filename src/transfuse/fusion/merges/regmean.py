"""Linear layers whose outputs stay closest to those of every model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from transfuse.fusion.merges.base import Merge, Solution
from transfuse.fusion.merges.linear_layers import linear_layers, linear_share, products_of
from transfuse.fusion.merges.soup import mean
from transfuse.fusion.merges.work import Work

__all__ = ["RegMean", "regression_mean"]


@dataclass(frozen=True)
class RegMean(Merge):
    """Each linear layer solved in closed form: its outputs stay close to those of all models.

    Weights that are not of linear layers are averaged. Jin, Ren, Preotiuc-Pietro and Cheng (2023),
    'Dataless knowledge fusion by merging weights of language models' (arXiv:2212.09849).
    """

    rows: int = 500
    """Rows that pass through each model, of those that it learnt from. Default: 500."""

    shrinkage: float = 0.1
    """How far products of different inputs are drawn to 0: 0 trusts them, 1 drops them.
    Default: 0.1."""

    def __post_init__(self) -> None:
        if self.rows < 1 or not 0 <= self.shrinkage <= 1:
            raise ValueError("rows is at least 1 and shrinkage between 0 and 1")

    def solve(self, work: Work) -> Solution:
        """See `Merge.solve`."""
        family = work.family
        found, used = [], []
        for number, network in enumerate(family.networks):
            encoder, rows = network.encoder, work.inputs(self.rows, number)
            used.append(len(rows))
            found.append(products_of(encoder, linear_layers(encoder), work.batches(rows)))
            work.tell("inputs of linear layers", number + 1, len(family.networks))
        weights = mean(family.weights)
        solved = [name for name in found[0] if name in weights]
        for done, name in enumerate(solved, start=1):
            weights[name] = regression_mean(
                [own[name] for own in family.weights],
                [products[name] for products in found],
                self.shrinkage,
            )
            work.tell("linear layers", done, len(solved))
        told = {
            "layers": len(solved),
            "share": linear_share(family.encoder, solved),
            "rows": dict(zip(family.names, used, strict=True)),
        }
        return Solution(weights, told=told)


def regression_mean(
    weights: Sequence[torch.Tensor], products: Sequence[torch.Tensor], shrinkage: float
) -> torch.Tensor:
    """The W that is the least of Σ_i ‖X_i Wᵀ - X_i W_iᵀ‖²: (Σ G_i) Wᵀ = Σ G_i W_iᵀ.

    Solved by Cholesky in float64. The diagonal gets a millionth of its mean on top, which decides
    only what the inputs leave open, and there for the mean of the weights.

    Args:
        weights: The weight of the layer in each model, [out, in] or [out, in, 1, 1].
        products: G_i = X_iᵀX_i of each model's inputs, [in, in].
        shrinkage: By how much entries off the diagonals of G_i are shrunk, from 0 to 1.

    Returns:
        The merged weight, of the first one's shape and type.
    """
    size = weights[0].shape[1]
    total = torch.zeros(size, size, dtype=torch.float64)
    right = torch.zeros(size, weights[0].shape[0], dtype=torch.float64)
    for weight, product in zip(weights, products, strict=True):
        given = (1 - shrinkage) * product.double()
        given.diagonal().copy_(product.double().diagonal())
        given.diagonal().add_(max(1e-6 * float(product.diagonal().mean()), 1e-12))
        total += given
        right += given @ weight.flatten(1).double().T
    factor = torch.linalg.cholesky(total)
    found = torch.cholesky_solve(right, factor).T.to(weights[0].dtype).contiguous()
    return found.reshape(weights[0].shape)
