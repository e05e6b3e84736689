"""Fewer attention heads, where an architecture's config can say so."""

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
from transfuse.models.resizable import Resizable
from transfuse.models.resize import own_name, reconfigured

__all__ = ["PruneHeads"]

# How architectures name a head's width where it does not follow from the hidden size. Qwen2 and
# others read `head_dim` though their configs do not list it.
_WIDTHS = ("head_dim", "d_kv")


@dataclass(frozen=True)
class PruneHeads(Stage):
    """Attention heads are left out, as many in every layer; heads that share keys go together.

    Only where the config has a width of heads of its own (Llama, Qwen, Gemma, EuroBERT, T5, ViT and
    their kin): elsewhere, as in BERT, all heads together are as wide as the model. Ranked as
    Michel, Levy and Neubig (2019), 'Are sixteen heads really better than one?' (arXiv:1905.10650).
    """

    keep: float = 0.5
    """Share of the heads that stay. Default: 0.5."""

    by: By = "taylor"
    """What heads are ranked by: the change of the loss to first order, or the length of their
    weights. Default: taylor."""

    rows: int = 500
    """Rows at the most that `taylor` looks at. Default: 500."""

    recover: Recovery = RECOVERY
    """How the rest learns from the unpruned model; `{epochs: 0}` leaves it as it was cut."""

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError("keep lies above 0 and at 1 at the most")
        if self.rows < 1:
            raise ValueError("rows is at least 1")

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        (folder,) = models
        network, encoder = resizable_network(folder, "prune_heads")
        units = self.units(encoder)
        if units is None:
            return Made(network, folder.task, {"heads": [_heads(encoder.config)[0]] * 2})
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
            "heads": [_heads(encoder.config)[0], _heads(units.config)[0]],
            "dropped": pruned.dropped,
            **pruned.told,
        }
        return Made(pruned.network, folder.task, told)

    def units(self, encoder: Resizable) -> Units | None:
        """The heads of an encoder, by groups that share keys, and how many stay; None for all.

        Args:
            encoder: The encoder.

        Raises:
            ModelError: If its config cannot say how many heads it has.
        """
        config = encoder.config
        heads, shared = _heads(config)
        # With one key for all heads, heads go one by one.
        count = shared if shared > 1 else heads
        kept = max(round(self.keep * count), 1)
        if kept == count:
            return None
        known = config.to_dict()
        changed: dict[str, Any] = {own_name(config, "num_attention_heads"): heads * kept // count}
        if "num_key_value_heads" in known and shared > 1:
            changed["num_key_value_heads"] = kept
        width = next((name for name in _WIDTHS if known.get(name)), _WIDTHS[0])
        changed[width] = known.get(width) or config.hidden_size // heads
        smaller = reconfigured(config, changed)
        try:
            cuts = find_cuts(encoder, smaller)
            groups = grouped(encoder, cuts)
        except ModelError:
            cuts, groups = [], []
        if not groups or any(cut.length % count for cut in cuts):
            raise ModelError(
                Problem(
                    type(config).__name__,
                    "its config cannot say that there are fewer heads: all of them together are "
                    "as wide as the model",
                    "an architecture with a width of heads of its own, such as `head_dim`",
                    "Prune width or layers instead.",
                )
            )
        return Units(smaller, tuple(groups), count, kept, stacked=False)


def _heads(config: Any) -> tuple[int, int]:
    """The number of heads, and of those that have keys of their own."""
    heads = getattr(config, "num_attention_heads", None)
    if not isinstance(heads, int):
        raise ModelError(
            Problem(
                type(config).__name__,
                "its config names no number of attention heads",
                "a transformer",
                "Distil it into a smaller model instead: `learn: [target, distil]`.",
            )
        )
    return heads, int(config.to_dict().get("num_key_value_heads") or heads)
