"""A network is encoders, a fusion and heads; the file to read first in this package.

One text encoder and one head is the plain case. Several columns or several tasks are the same
thing with more entries.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models.anatomy import evaluating
from transfuse.models.copies import copied_as
from transfuse.models.encoder import Batch, Encoded, Encoder, close
from transfuse.models.heads import Head

__all__ = ["Network", "OnlyOne", "Outputs", "reads_pooled"]


@dataclass
class Outputs:
    """What one forward pass gives.

    Args:
        features: The fused vector of each row [n, d]. Where a fusion makes one for each task it is
            that of the only task that ran, and the encoder's where several ran.
        logits: Logits [n, outputs] of each task that ran, by task.
        encoded: The fused encoding that `features` belong to, with tokens where there are any.
    """

    features: torch.Tensor
    logits: dict[str, torch.Tensor]
    encoded: Encoded


class OnlyOne(nn.Module):
    """The fusion of one encoder: its output as it is."""

    def forward(self, encoded: Mapping[str, Encoded]) -> Encoded:
        """Hands on the only encoding.

        Args:
            encoded: One encoding by column.

        Returns:
            That encoding.
        """
        (only,) = encoded.values()
        return only


class Network(nn.Module):
    """Encoders → fusion → heads.

    Args:
        encoders: Encoder of each column.
        heads: Head of each task.
        fusion: Makes one encoding of those of all columns, or one for each task (see
            `models/fusion`). Default: the only one as it is.

    Raises:
        ValueError: If there are no encoders, or several without a fusion.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        heads: Mapping[str, Head],
        fusion: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not encoders or (fusion is None and len(encoders) > 1):
            raise ValueError(f"expected one encoder or a fusion, got {sorted(encoders)}")
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = fusion if fusion is not None else OnlyOne()
        self.heads = nn.ModuleDict(heads)

    @classmethod
    def for_text(
        cls, encoder: Encoder, heads: Mapping[str, Head], column: str = "text"
    ) -> "Network":
        """The plain case: one text column.

        Args:
            encoder: Encodes the column.
            heads: Head of each task.
            column: The column's name. Default `text`.

        Returns:
            The network.
        """
        return cls({column: encoder}, heads)

    @property
    def encoder(self) -> Encoder:
        """The only encoder.

        Raises:
            ValueError: If there are several.
        """
        if len(self.encoders) != 1:
            raise ValueError(f"expected one encoder, the network has {sorted(self.encoders)}")
        (only,) = self.encoders.values()
        assert isinstance(only, Encoder)
        return only

    @property
    def dim(self) -> int:
        """Length of the vectors that the heads read.

        Raises:
            ValueError: If there are several encoders and the fusion does not say.
        """
        return getattr(self.fusion, "dim", None) or self.encoder.dim

    def forward(
        self, batch: Batch, from_layer: int = 0, tasks: Iterable[str] | None = None
    ) -> Outputs:
        """Encodes a batch and runs the heads.

        Args:
            batch: As described at `Batch`; with `pooled` the encoder does not run at all.
            from_layer: The number of layers whose output the batch carries as `hidden`.
                Default 0.
            tasks: The heads to run. Default: all.

        Returns:
            Features, logits by task, and the encoding.
        """
        if "pooled" in batch:
            (column,) = self.encoders
            encoded = {column: Encoded(batch["pooled"])}
        else:
            encoded = {name: encoder(batch, from_layer) for name, encoder in self.encoders.items()}
        fused: Encoded = self.fusion(encoded)
        names = tuple(self.heads if tasks is None else tasks)
        logits = {name: self.heads[name](fused.of(name), batch) for name in names}
        seen = fused.of(names[0]) if len(names) == 1 else fused
        return Outputs(seen.pooled, logits, seen)

    def can_resume(self, layers: int) -> bool:
        """Whether cached output of the first layers gives the logits that the rows would give.

        Args:
            layers: The length of the cached prefix. Below the encoder's depth a batch carries
                `hidden`; at its depth `pooled` alone, unless the encoder `keeps_tokens`.

        Returns:
            True where encoder and heads were tried and agree; False with several encoders.
        """
        if layers == 0:
            return True
        if len(self.encoders) != 1:
            return False
        encoder = self.encoder
        if layers == encoder.depth and not encoder.keeps_tokens:
            return all(self._answers_alike(name, pooled=True) for name in self.heads)
        return encoder.can_resume(layers) and all(
            self._answers_alike(name, pooled=False) for name in self.heads
        )

    def _answers_alike(self, task: str, *, pooled: bool) -> bool:
        """Whether a head needs neither token ids nor, for `pooled`, anything but pooled vectors."""
        (column,) = self.encoders
        encoder, head = self.encoder, self.heads[task]
        assert isinstance(head, Head)
        batch = encoder.probe_batch()
        with evaluating(encoder), evaluating(head), evaluating(self.fusion):
            encoded = encoder(batch)
            plain = self.fusion({column: encoded}).of(task)
            if pooled:
                fused = self.fusion({column: Encoded(encoded.pooled)}).of(task)
                return close(head(plain, batch), head(fused, {}))
            masks = {name: each for name, each in batch.items() if name == "attention_mask"}
            return close(head(plain, batch), head(plain, masks))

    def copied_as(self, dtype: torch.dtype) -> "Network":
        """A copy for inference whose parameters have another number type.

        Args:
            dtype: The number type, for instance `torch.bfloat16`; an `exact` head stays in 32 bits.

        Returns:
            A copy in evaluation mode without gradients. Parameters that have the type already
            share their memory with it.
        """
        made: dict[nn.Module, nn.Module] = {
            each: each.copied_as(dtype)
            for each in self.encoders.values()
            if isinstance(each, Encoder)
        }
        for head in self.heads.values():
            if isinstance(head, Head) and head.exact:
                made[head] = copied_as(head, torch.float32)
        return copied_as(self, dtype, made)


def reads_pooled(encoder: Encoder, head: Head) -> bool:
    """Whether a head's answer depends on the encoder's pooled vector alone, without a fusion.

    Args:
        encoder: The encoder.
        head: The head.

    Returns:
        What trying it on a few rows showed.
    """
    batch = encoder.probe_batch()
    with evaluating(encoder), evaluating(head):
        encoded = encoder(batch)
        return close(head(encoded, batch), head(Encoded(encoded.pooled), {}))
