"""Narrower feed-forward blocks: neurons that matter least are left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.compression.prune_cuts import (
    find_cuts,
    grouped,
)
from transfuse.compression.prune_rebuild import (
    resizable_network,
)
from transfuse.compression.prune_units import By, Units, prune_units
from transfuse.compression.recovery import RECOVERY, Recovery
from transfuse.errors import ModelError, Problem
from transfuse.models.narrow import FEED_FORWARD
from transfuse.models.resizable import Resizable
from transfuse.models.resize import reconfigured

__all__ = ["PruneWidth", "feed_forward"]

_RATIO = "mlp_ratio"
"""How DINOv2 says its feed-forward width: as a whole multiple of the hidden size."""


def feed_forward(config: Any) -> tuple[str, int]:
    """How a config calls the width inside feed-forward blocks, and that width.

    Args:
        config: A transformers config.

    Raises:
        ModelError: If it names none.
    """
    known = config.to_dict()
    ratio = known.get(_RATIO)
    if isinstance(ratio, int) and isinstance(known.get("hidden_size"), int):
        return _RATIO, ratio * int(known["hidden_size"])
    name = next((name for name in FEED_FORWARD if name in known), None)
    if name is None:
        raise ModelError(
            Problem(
                type(config).__name__,
                "its config names no feed-forward width",
                "one of " + ", ".join(FEED_FORWARD),
                "Prune layers instead, or distil it into a smaller model: "
                "`learn: [target, distil]`.",
            )
        )
    # GPT-2 leaves it open, which means four times the hidden size.
    return name, int(known[name] or 4 * config.hidden_size)


@dataclass(frozen=True)
class PruneWidth(Stage):
    """Neurons of the feed-forward blocks are left out, as many in every layer.

    Ranked by the first-order Taylor score of Molchanov et al. (2019), 'Importance estimation for
    neural network pruning' (arXiv:1906.10771), on rows that the model learnt from.
    """

    keep: float = 0.5
    """Share of the neurons that stay. Default: 0.5."""

    by: By = "taylor"
    """What neurons are ranked by: the change of the loss to first order, or the length of their
    weights. Default: taylor."""

    multiple: int = 8
    """The new width is rounded to a multiple of this, which processors like; in architectures that
    say the width as a multiple of the hidden size, to one of that. Default: 8."""

    rows: int = 500
    """Rows at the most that `taylor` looks at. Default: 500."""

    recover: Recovery = RECOVERY
    """How the rest learns from the unpruned model; `{epochs: 0}` leaves it as it was cut."""

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError("keep lies above 0 and at 1 at the most")
        if self.multiple < 1 or self.rows < 1:
            raise ValueError("multiple and rows are at least 1")

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        (folder,) = models
        network, encoder = resizable_network(folder, "prune_width")
        units = self.units(encoder)
        if units is None:
            return Made(network, folder.task, {"width": [feed_forward(encoder.config)[1]] * 2})
        pruned = prune_units(
            folder,
            network,
            units,
            self.by,
            self.recover,
            evidence,
            rows=self.rows,
            seed=seed,
            tell=tell,
        )
        told = {
            "width": [units.count, units.kept],
            **pruned.told,
        }
        return Made(pruned.network, folder.task, told)

    def units(self, encoder: Resizable) -> Units | None:
        """The neurons of an encoder and how many stay; None where all do.

        Args:
            encoder: The encoder.

        Raises:
            ModelError: If its architecture has no such width, or uses it otherwise.
        """
        name, width = feed_forward(encoder.config)
        size = encoder.config.hidden_size if name == _RATIO else 1
        multiple = self.multiple if size == 1 else size
        kept = max(round(self.keep * width / multiple), 1) * multiple
        if kept >= width:
            return None
        config = reconfigured(encoder.config, {name: kept // size})
        cuts = find_cuts(encoder, config)
        odd = [cut.name for cut in cuts if cut.length % width]
        if odd or not cuts:
            raise ModelError(
                Problem(
                    type(encoder.backbone).__name__,
                    f"{name} is not the width of {odd[0]!r}" if odd else f"{name} changes nothing",
                    "neurons that stand side by side",
                    "Prune layers instead.",
                )
            )
        return Units(config, tuple(grouped(encoder, cuts)), width, kept, stacked=True)
