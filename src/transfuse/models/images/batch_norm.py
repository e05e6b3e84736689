"""What becomes of BatchNorm's running statistics in training.

- `frozen`: every row is normalised by the statistics of pretraining, in training too. A batch of
  few rows of a narrow domain would give noisy ones, and what layers above learn would be lost as
  soon as the kept statistics take their place.
- `adapted`: layers that train normalise by the batch and let the running statistics follow.
- `recomputed`: as adapted, and after the last step the statistics are measured anew over all
  training rows with the final weights.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfuse.errors import ModelError, Problem
from transfuse.recipe.methods import nearest

__all__ = ["BatchNorm", "check_batch_norm", "measure", "normalisers"]

BatchNorm = Literal["frozen", "adapted", "recomputed"]


def check_batch_norm(wanted: str) -> None:
    """Checks an option.

    Args:
        wanted: `frozen`, `adapted` or `recomputed`.

    Raises:
        ModelError: For another.
    """
    known = get_args(BatchNorm)
    if wanted not in known:
        raise ModelError(
            Problem(
                "batch_norm",
                f"got {wanted!r}",
                f"one of {', '.join(known)}",
                nearest(wanted, known),
            )
        )


def normalisers(module: nn.Module) -> list[_BatchNorm]:
    """The layers that keep running statistics.

    Args:
        module: Any module.
    """
    found = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    return [layer for layer in found if layer.track_running_stats]


def measure(
    module: nn.Module,
    layers: Sequence[_BatchNorm],
    batches: Iterable[Any],
    run: Callable[[Any], object],
) -> None:
    """Measures running statistics anew, in place: the mean over batches.

    While they are measured the layers normalise by the batch, as they did in training. Modes are
    afterwards as they were.

    Args:
        module: What holds the layers.
        layers: Those whose statistics are measured.
        batches: The rows.
        run: Runs the module on a batch.
    """
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
