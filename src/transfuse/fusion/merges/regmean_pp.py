"""RegMean layer by layer, on what the layers merged so far hand on."""

from dataclasses import dataclass

import torch

from transfuse.data import Preprocessed
from transfuse.fusion.merges.base import Merge, Solution
from transfuse.fusion.merges.family import Weights
from transfuse.fusion.merges.linear_layers import (
    linear_layers,
    linear_share,
    names_by_layer,
    watching,
)
from transfuse.fusion.merges.regmean import regression_mean
from transfuse.fusion.merges.soup import mean
from transfuse.fusion.merges.work import Work

__all__ = ["RegMeanPlusPlus"]


@dataclass(frozen=True)
class RegMeanPlusPlus(Merge):
    """RegMean from input to output, each layer on what the layers that are merged hand on to it.

    A model's own layer runs behind the merged ones below it, so that it is solved for the inputs
    that it is going to get. Nguyen et al. (2025), 'RegMean++: Enhancing effectiveness and
    generalization of regression mean for model merging' (arXiv:2508.03121).
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
        weights = mean(family.weights)
        work.put(weights)
        work.measure()
        count = len(family.members)
        rows = [work.inputs(self.rows, number) for number in range(count)]
        layers = linear_layers(work.network.encoder)
        depth, solved = family.encoder.depth, list[str]()
        for place, names in enumerate(names_by_layer(family.encoder)):
            linear = [name for name in names if name in layers]
            if linear:
                found = [
                    self._products(work, number, place, names, rows[number])
                    for number in range(count)
                ]
                for name in linear:
                    if all(name in products for products in found):
                        weights[name] = regression_mean(
                            [own[name] for own in family.weights],
                            [products[name] for products in found],
                            self.shrinkage,
                        )
                        solved.append(name)
                work.put({name: weights[name] for name in names})
            work.tell("layers", place + 1, depth)
        told = {
            "layers": len(solved),
            "share": linear_share(family.encoder, solved),
            "rows": dict(zip(family.names, map(len, rows), strict=True)),
        }
        return Solution(weights, told=told)

    def _products(
        self, work: Work, number: int, place: int, names: list[str], rows: Preprocessed
    ) -> Weights:
        """XᵀX of a member's layer behind the merged layers below it."""
        encoder = work.network.encoder
        own = work.family.weights[number]
        work.put({name: own[name] for name in names})
        layers = {name: part for name, part in linear_layers(encoder).items() if name in names}
        products: Weights = {}
        with torch.no_grad():
            for batch in work.batches(rows):
                with watching(layers, batch.get("attention_mask"), products):
                    encoder.prefix(batch, place + 1)
        return products
