"""BatchNorm after merging: statistics are measured anew, never added or averaged.

Running means and variances belong to the activations of one set of weights. Adding deltas to them
can even make a variance negative, and averages of them collapse the variance of a merged network
(Jordan et al., 2023, arXiv:2211.08403).
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["has_batch_norm", "recalibrate"]

B = TypeVar("B")


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a module keeps running statistics.

    Args:
        module: The module.
    """
    return any(_measures(part) for part in module.modules())


def recalibrate(module: nn.Module, batches: Iterable[B], run: Callable[[B], object]) -> int:
    """Measure the running statistics of all BatchNorm layers anew, in place.

    Weights, modes and momenta are afterwards as they were; every other layer runs in evaluation
    mode. The mean over batches counts batches alike.

    Args:
        module: The module.
        batches: Rows to measure on.
        run: Runs the module on a batch.

    Returns:
        The number of layers that were measured.
    """
    layers = [part for part in module.modules() if isinstance(part, _BatchNorm) and _measures(part)]
    modes = [(part, part.training) for part in module.modules()]
    momenta = [layer.momentum for layer in layers]
    module.eval()
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch's word for the plain mean over all batches
            layer.train()
        with torch.no_grad():
            for batch in batches if layers else ():
                run(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for part, training in modes:
            part.training = training
    return len(layers)


def _measures(part: nn.Module) -> bool:
    return isinstance(part, _BatchNorm) and part.track_running_stats
