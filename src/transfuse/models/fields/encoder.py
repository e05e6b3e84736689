"""Structured columns behind the `Encoder` interface: nothing in it trains.

It gives each row's numbers and the places of its categories as one vector of fixed length, so that
it is kept and fused like any other. What is learnt of fields, embeddings and a small network,
stands at the entrance of the fusion and trains with the heads.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn

from transfuse.data.fields import FieldRows, FieldTable
from transfuse.data.schema import Role
from transfuse.models.encoder import Batch, Encoded, Encoder

__all__ = ["FieldEncoder"]


class FieldEncoder(Encoder):
    """Rows of numbers and categories as vectors.

    Args:
        table: What is known of the columns.

    Raises:
        ValueError: If there are no columns.
    """

    reads = (Role.FIELDS,)

    def __init__(self, table: FieldTable) -> None:
        super().__init__()
        if not table.width:
            raise ValueError("expected at least one structured column")
        self.table = table
        self.dim = table.width
        self.depth = 1

    @cached_property
    def preprocessing(self) -> str:
        """See `Encoder.preprocessing`."""
        told = json.dumps(self.table.to_dict(), sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()

    def layers(self) -> list[list[nn.Module]]:
        """See `Encoder.layers`; there is nothing in the one layer."""
        return [[]]

    def preprocess(self, rows: Sequence[Any]) -> FieldRows:
        """See `Encoder.preprocess`; a row is a dict from column to value."""
        return self.table.vectors(rows)

    def collate(self, rows: FieldRows) -> Batch:
        """See `Encoder.collate`; the batch holds `values`, float32 [n, dim]."""
        return {"values": torch.from_numpy(rows.matrix.copy())}

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """See `Encoder.forward`; a row is one token."""
        tokens = batch["hidden"] if from_layer else batch["values"][:, None]
        return Encoded(tokens[:, 0], tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.int64))

    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """See `Encoder.prefix`."""
        if layers != 1:
            raise ValueError(f"expected layers from 1 to 1, got {layers}")
        return batch["values"][:, None]

    def can_resume(self, layers: int) -> bool:
        """See `Encoder.can_resume`; nothing happens on the way."""
        return layers in (0, 1)

    def probe_batch(self) -> Batch:
        """See `Encoder.probe_batch`; rows with nothing in them, and with something unknown."""
        rows: list[dict[str, Any]] = [{}, {}, {}]
        for number in self.table.numbers:
            rows[1][number.name] = number.middle + number.spread
        for kind in self.table.categories:
            rows[1][kind.name] = "".join((*kind.values, "?"))
            rows[2][kind.name] = next(iter(kind.values), "?")
        return self.collate(self.preprocess(rows))

    def fingerprint(self, layers: int) -> str:
        """See `Encoder.fingerprint`."""
        return self.preprocessing

    def reset(self, seed: int) -> None:
        """See `Encoder.reset`; there are no weights."""
        return
