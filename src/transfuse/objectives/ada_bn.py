"""Measure batch normalisation's means and variances on the target."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from transfuse.errors import Problem, RecipeError
from transfuse.models import Batch, Network
from transfuse.objectives.base import Facts, Objective, Step
from transfuse.objectives.domains import logits_of, nothing, shared_task

__all__ = ["AdaBN"]

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_Normaliser = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def _normalisers(network: nn.Module) -> list[_Normaliser]:
    """The layers that keep statistics of what they saw."""
    found = [part for part in network.modules() if isinstance(part, _KINDS)]
    return [layer for layer in found if layer.running_mean is not None]


class _Moments:
    """Mean and variance of each channel over everything that enters one layer.

    Batches are joined as in Chan, Golub and LeVeque (1983), so their sizes may differ.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.squares = torch.zeros(())

    def __call__(self, layer: nn.Module, entering: tuple[Any, ...]) -> None:
        values = entering[0].detach().transpose(0, 1).flatten(1).double()
        rows, mean = values.shape[1], values.mean(1)
        squares = (values - mean[:, None]).square().sum(1)
        total = self.count + rows
        gap = mean - self.mean
        self.mean = self.mean + gap * rows / total
        self.squares = self.squares + squares + gap.square() * self.count * rows / total
        self.count = total

    def write(self, layer: _Normaliser) -> None:
        """Makes them the layer's running statistics."""
        assert layer.running_mean is not None
        assert layer.running_var is not None
        if self.count > 1:
            layer.running_mean.copy_(self.mean)
            layer.running_var.copy_(self.squares / (self.count - 1))


@contextmanager
def _by_batch(layers: Iterable[_Normaliser]) -> Iterator[None]:
    """Inside, the layers normalise by their batch and keep no statistics of it."""
    layers = list(layers)
    for layer in layers:
        layer.train()
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
            layer.eval()


@dataclass(frozen=True)
class AdaBN(Objective):
    """Statistics of batch normalisation are those of the target's rows in the end (AdaBN).

    Li, Wang, Shi, Liu and Hou (2016), 'Revisiting batch normalization for practical domain
    adaptation' (arXiv:1603.04779).
    """

    @property
    def weight(self) -> float:
        """Of a loss that is always 0."""
        return 1.0

    @property
    def streams(self) -> tuple[str, ...]:
        """The unlabelled rows."""
        return ("unlabelled",)

    @property
    def names(self) -> tuple[str, ...]:
        """A loss that is always 0: what it does, it does when training has ended."""
        return ("ada_bn",)

    @property
    def rewrites_encoder(self) -> bool:
        """Its statistics are the encoder's."""
        return True

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there is something to measure."""
        shared_task("ada_bn", facts)
        if not _normalisers(network):
            raise RecipeError(
                Problem(
                    "learn",
                    "ada_bn re-estimates batch normalisation, and this network has none",
                    "an encoder with BatchNorm layers that keep running statistics",
                    "Text encoders normalise each row by itself; try mcc or coral instead.",
                )
            )

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """0."""
        return {"ada_bn": nothing(logits_of(step, "unlabelled"))}

    def finish(self, network: Network, batches: Mapping[str, Iterable[Batch]]) -> None:
        """Measure mean and variance of what enters each layer over all unlabelled rows.

        A batch of one row is left out, since it cannot be normalised by itself.
        """
        layers = _normalisers(network)
        moments = [_Moments() for _ in layers]
        hooks = [
            layer.register_forward_pre_hook(seen)
            for layer, seen in zip(layers, moments, strict=True)
        ]
        try:
            with torch.no_grad(), _by_batch(layers):
                for batch in batches["unlabelled"]:
                    if len(next(iter(batch.values()))) > 1:
                        network(batch)
        finally:
            for hook in hooks:
                hook.remove()
        for layer, seen in zip(layers, moments, strict=True):
            seen.write(layer)
