"""BatchNorm after merging: statistics are measured anew, never added or averaged.

Running means and variances belong to the activations of one set of weights. Adding deltas to them
can even make a variance negative, and averages of them collapse the variance of a merged network
(Jordan et al., 2023, arXiv:2211.08403).
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import nn

from transfuse.models.images.batch_norm import measure, normalisers

__all__ = ["has_batch_norm", "recalibrate"]

B = TypeVar("B")


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a module keeps running statistics.

    Args:
        module: The module.
    """
    return bool(normalisers(module))


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
    layers = normalisers(module)
    measure(module, layers, batches, run)
    return len(layers)
