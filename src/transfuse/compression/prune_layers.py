"""Fewer layers: whole transformer blocks are left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.compression.prune_rebuild import (
    rebuilt,
    resizable_network,
)
from transfuse.compression.prune_units import sizes
from transfuse.compression.recovery import RECOVERY, Recovery, recover
from transfuse.compression.saliency import Saliency, saliency
from transfuse.errors import ModelError, Problem
from transfuse.models import Network
from transfuse.models.resizable import Resizable, block_prefix
from transfuse.models.resize import layer_settings, reconfigured
from transfuse.models.students import chosen_layers

__all__ = ["PruneLayers", "keep_blocks"]


@dataclass(frozen=True)
class PruneLayers(Stage):
    """Transformer blocks are left out: those that matter least, or by their place.

    `similarity` is that of Men et al. (2024), 'ShortGPT: layers in large language models are more
    redundant than you expect' (arXiv:2403.03853): a block that turns its input least goes first.
    """

    layers: int | None = None
    """How many stay. Default: half of them, rounded up."""

    by: Literal["taylor", "similarity", "spread", "first", "last"] = "taylor"
    """Which stay: those that the loss needs most to first order, those that change their input
    most, those at even distances, or the first or last ones. Default: taylor."""

    rows: int = 500
    """Rows at the most that `taylor` and `similarity` look at. Default: 500."""

    recover: Recovery = RECOVERY
    """How the rest learns from the unpruned model; `{epochs: 0}` leaves it as it was cut."""

    def __post_init__(self) -> None:
        if self.layers is not None and self.layers < 1:
            raise ValueError("layers is at least 1")
        if self.rows < 1:
            raise ValueError("rows is at least 1")

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        (folder,) = models
        network, encoder = resizable_network(folder, "prune_layers")
        total = len(encoder.anatomy.blocks)
        if block_prefix(encoder) is None:
            name = type(encoder.backbone).__name__
            raise ModelError(
                Problem(name, "it has no list of layers", fix="Prune its width instead.")
            )
        layer_settings(encoder.config, range(total))  # so that what cannot be is told at once
        count = (total + 1) // 2 if self.layers is None else self.layers
        told: dict[str, Any] = {}
        if self.by in ("taylor", "similarity") and count < total:
            found = saliency(
                network,
                folder.head,
                folder.task,
                evidence.train,
                {},
                rows=self.rows,
                seed=seed,
                tell=tell,
            )
            kept = _ranked(encoder, found, self.by, count)
            told["taylor"] = [float(f"{score:.4g}") for score in found.layers]
            told["similarity"] = [round(float(each), 4) for each in found.similarity]
        else:
            take = self.by if self.by in ("first", "last") else "spread"
            kept = chosen_layers(total, count, take)
        if len(kept) == total:
            return Made(network, folder.task, {"kept": list(kept), "layers": [total, total]})
        smaller = keep_blocks(network, kept)
        told |= {
            "kept": list(kept),
            "layers": [total, count],
            "parameters": [sizes(network), sizes(smaller)],
            "recovery": recover(smaller, folder, evidence.train, self.recover, seed, tell),
        }
        return Made(smaller, folder.task, told)


def keep_blocks(network: Network, kept: Sequence[int]) -> Network:
    """A network with some of another's transformer blocks, and with all else.

    Args:
        network: One encoder of one backbone, and its heads; it stays as it is.
        kept: The blocks that stay, ascending.

    Returns:
        The network, in evaluation mode, with memory of its own.

    Raises:
        ModelError: If the architecture cannot do without those that are left out.
    """
    encoder = network.encoder
    assert isinstance(encoder, Resizable)
    prefix = block_prefix(encoder)
    assert prefix is not None
    places = {str(old): new for new, old in enumerate(kept)}
    weights = {}
    for name, weight in encoder.backbone.state_dict().items():
        if not name.startswith(prefix):
            weights[name] = weight
            continue
        number, _, rest = name.removeprefix(prefix).partition(".")
        if number in places:
            weights[f"{prefix}{places[number]}.{rest}"] = weight
    config = reconfigured(encoder.config, layer_settings(encoder.config, kept))
    return rebuilt(network, config, weights)


def _ranked(encoder: Resizable, found: Saliency, by: str, count: int) -> tuple[int, ...]:
    """The blocks of the best scores, ascending."""
    total = len(found.layers)
    if not 1 <= count <= total:
        raise ModelError(
            Problem("layers", f"{count}, of a model with {total} layers", f"1 to {total}")
        )
    score: NDArray[np.float64] = found.layers if by == "taylor" else -found.similarity
    first, second = (
        {name for name, _ in encoder.anatomy.blocks[place].named_parameters()} for place in (0, 1)
    )
    if first != second:
        # What the first block has beyond the others (T5's positions) all of them need.
        score = score.copy()
        score[0] = np.inf
    order = np.argsort(-score, kind="stable")
    return tuple(sorted(order[:count].tolist()))
