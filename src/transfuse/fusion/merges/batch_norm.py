"""BatchNorm after merging: statistics are measured anew, never added or averaged.

Running means and variances belong to the activations of one set of weights. Adding deltas to them
can even make a variance negative, and between models that were averaged the activations shrink, so
that averaged statistics are too wide for them. REPAIR (Jordan et al., 2023, 'REPAIR: renormalizing
permuted activations for interpolation repair', arXiv:2211.08403) gives every channel the mean and
the spread that it has on average in the models that were merged.

Here that is done by the running statistics alone. What a BatchNorm layer hands on, before its own
factor, has in each model some mean and spread: 0 and 1 where its statistics are those of the rows,
others where they were frozen in training. The merged layer is given the statistics under which it
hands on the mean of these. Rows are passed through all models batch by batch, so that a merge of
one model with itself is that model.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfuse.answering import Tell
from transfuse.models import Batch, Encoder
from transfuse.models.anatomy import evaluating
from transfuse.models.images.batch_norm import normalisers

__all__ = ["Moments", "Repair", "has_batch_norm", "moments_of"]


@dataclass(frozen=True)
class Moments:
    """What a BatchNorm layer hands on for a batch, before its own factor and shift.

    Args:
        mean: Of each channel.
        spread: Standard deviation of each channel.
    """

    mean: torch.Tensor
    spread: torch.Tensor


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a module keeps running statistics.

    Args:
        module: The module.
    """
    return bool(normalisers(module))


class Repair:
    """The statistics that a merged encoder's BatchNorm layers need.

    Args:
        members: The encoders that are merged, of one architecture; they stay as they are.
        batches: Rows to measure on; no labels are looked at.
        tell: Hears which members have seen them.
    """

    def __init__(self, members: Sequence[Encoder], batches: Sequence[Batch], tell: Tell) -> None:
        self._members, self._batches = members, batches
        self._moments: list[list[dict[int, Moments]]] = []
        for number, member in enumerate(members, start=1):
            self._moments.append([moments_of(member, batch) for batch in batches])
            tell("statistics of BatchNorm", number, len(members))

    @property
    def rows(self) -> int:
        """How many rows are measured on."""
        return sum(_rows(batch) for batch in self._batches)

    def measure(self, encoder: Encoder, shares: Sequence[float] | None = None) -> int:
        """Gives a merged encoder the statistics of its own activations, in place.

        All else stays as it is. A layer is measured on what the repaired layers below hand on.

        Args:
            encoder: The merged encoder.
            shares: What each member counts. Default: the same.

        Returns:
            The number of layers whose statistics are new.
        """
        shares = shares or (1.0,) * len(self._members)
        layers = normalisers(encoder)
        sums: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for batch, parts in zip(self._batches, zip(*self._moments, strict=True), strict=True):
            wanted = _mean(parts, shares)
            count = _rows(batch)

            def correct(
                place: int,
                layer: _BatchNorm,
                given: torch.Tensor,
                wanted: dict[int, Moments] = wanted,
                count: int = count,
            ) -> torch.Tensor:
                mean, variance = _measured(given)
                spread = (variance + layer.eps).sqrt() / wanted[place].spread
                centre = mean - wanted[place].mean * spread
                before = sums.get(place, (0.0, 0.0))
                # The layer itself will add its eps.
                sums[place] = (
                    before[0] + count * centre,
                    before[1] + count * (spread.square() - layer.eps),
                )
                return nn.functional.batch_norm(
                    given,
                    centre,
                    spread.square() - layer.eps,
                    layer.weight,
                    layer.bias,
                    eps=layer.eps,
                )

            with evaluating(encoder), _watching(layers, correct):
                encoder(batch)
        for place, (mean, variance) in sums.items():
            _put(layers[place], mean / self.rows, variance / self.rows)
        return len(sums)

    def average(self, encoder: Encoder) -> None:
        """Gives an encoder the mean of the members' statistics, as they are, for comparison.

        Args:
            encoder: The merged encoder.
        """
        every = [normalisers(member) for member in self._members]
        for layer, own in zip(normalisers(encoder), zip(*every, strict=True), strict=True):
            means, variances = zip(*(_kept(each) for each in own), strict=True)
            _put(layer, torch.stack(means).mean(0), torch.stack(variances).mean(0))


def moments_of(encoder: Encoder, batch: Batch) -> dict[int, Moments]:
    """What the BatchNorm layers of a trained encoder hand on for a batch.

    Args:
        encoder: The encoder; it runs in evaluation mode and stays as it is.
        batch: The rows.

    Returns:
        The moments of each layer by its place among `normalisers`; a layer that is not called is
        missing.
    """
    found: dict[int, Moments] = {}

    def look(place: int, layer: _BatchNorm, given: torch.Tensor) -> None:
        mean, variance = _measured(given)
        own_mean, own_variance = _kept(layer)
        own = (own_variance + layer.eps).sqrt()
        found[place] = Moments((mean - own_mean) / own, (variance + layer.eps).sqrt() / own)

    with evaluating(encoder), _watching(normalisers(encoder), look):
        encoder(batch)
    return found


def _mean(parts: Sequence[dict[int, Moments]], shares: Sequence[float]) -> dict[int, Moments]:
    """The mean of what several models' layers hand on."""
    weights = torch.tensor(shares) / sum(shares)
    found = {}
    for place in parts[0]:
        means = torch.stack([part[place].mean for part in parts])
        spreads = torch.stack([part[place].spread for part in parts])
        found[place] = Moments(weights @ means, weights @ spreads)
    return found


def _rows(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def _measured(given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of each channel, over rows and places."""
    axes = [axis for axis in range(given.dim()) if axis != 1]
    variance, mean = torch.var_mean(given, axes, correction=0)
    return mean, variance


def _kept(layer: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and the variance that a layer normalises by."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var


def _put(layer: _BatchNorm, mean: torch.Tensor, variance: torch.Tensor) -> None:
    kept_mean, kept_variance = _kept(layer)
    kept_mean.copy_(mean)
    kept_variance.copy_(variance.clamp(min=0.0))


@contextmanager
def _watching(
    layers: Sequence[_BatchNorm],
    look: Callable[[int, _BatchNorm, torch.Tensor], torch.Tensor | None],
) -> Iterator[None]:
    """Inside, `look` gets what enters each layer, and may give what leaves it."""

    def hook(place: int) -> Any:
        def take(layer: _BatchNorm, args: tuple[torch.Tensor, ...], _output: Any) -> Any:
            return look(place, layer, args[0])

        return take

    handles = [layer.register_forward_hook(hook(place)) for place, layer in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
