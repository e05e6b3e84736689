"""An encoder for each of several columns, as one encoder.

Everything that freezes, caches or trains talks to it as to any other encoder. Its pooled vector is
those of the columns side by side, and then a flag for each column: 1 where the row has it, 0 where
not. A column that a row does not have is not encoded; its part of the vector is 0.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from transfuse.data.rows import Records
from transfuse.data.schema import Role
from transfuse.errors import DataError, Problem
from transfuse.models.anatomy import evaluating
from transfuse.models.columns import Column
from transfuse.models.encoder import Adaptable, Batch, Encoded, Encoder
from transfuse.models.engine import Engine
from transfuse.models.fields import FieldEncoder
from transfuse.models.joined.rows import JoinedRows, Part, values_of

__all__ = ["PRESENT", "JoinedEncoder"]

PRESENT = "present"
"""The name in a batch of which columns each row has, float32 [n, columns]."""

_PROBED = 3


class JoinedEncoder(Encoder):
    """Encoders of several columns side by side.

    Args:
        parts: The encoder of each column by the name of its role.
        width: Width of the small network that reads structured columns. Default: 64.
        columns: What a fusion knows of the columns. Default: found by running the encoders.

    Raises:
        ValueError: If there are no encoders, or one stands under another role's name.
    """

    def __init__(
        self,
        parts: Mapping[str, Encoder],
        width: int = 64,
        columns: tuple[Column, ...] | None = None,
    ) -> None:
        super().__init__()
        odd = [name for name, each in parts.items() if each.reads != (Role(name),)]
        if not parts or odd:
            raise ValueError(f"expected an encoder for each role, got {sorted(parts)}, odd: {odd}")
        self.parts = nn.ModuleDict(parts)
        self.width = width
        self.reads = tuple(Role(name) for name in parts)
        self.dim = sum(each.dim for each in parts.values()) + len(parts)
        self.depth = max(each.depth for each in parts.values())
        self.columns = columns or tuple(self._column(name, each) for name, each in parts.items())

    def encoders(self) -> Iterator[tuple[str, Encoder]]:
        """Name and encoder of each column."""
        for name, part in self.parts.items():
            assert isinstance(part, Encoder)
            yield name, part

    @property
    def preprocessing(self) -> str:
        """See `Encoder.preprocessing`."""
        return _named({name: each.preprocessing for name, each in self.encoders()})

    def layers(self) -> list[list[nn.Module]]:
        """See `Encoder.layers`; the encoders are aligned at their outputs."""
        joined: list[list[nn.Module]] = [[] for _ in range(self.depth)]
        for _, part in self.encoders():
            for place, modules in enumerate(part.layers(), self.depth - part.depth):
                joined[place].extend(modules)
        return joined

    def preprocess(self, rows: Sequence[Any]) -> JoinedRows:
        """See `Encoder.preprocess`.

        Args:
            rows: `Records`, or rows of such; for one column alone its values will do. A column
                that they lack is missing in every row.

        Raises:
            DataError: If they are values of one column where several are read.
        """
        columns = self._columns_of(rows)
        parts, places = {}, {}
        for name, encoder in self.encoders():
            column = columns.get(name, [None] * len(rows))
            places[name], values = values_of(column)
            parts[name] = Part(encoder.preprocess(values))
        return JoinedRows(parts, places)

    def _columns_of(self, rows: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
        if isinstance(rows, Records):
            return rows.parts
        if all(isinstance(row, Mapping) for row in rows):
            return Records.of(rows, self.parts).parts
        if len(self.parts) > 1:
            names = ", ".join(self.parts)
            raise DataError(
                Problem(
                    "rows",
                    "are values of one column",
                    f"rows of {names}",
                    f"Give each row as a dict of {names}.",
                )
            )
        return dict.fromkeys(self.parts, rows)

    def collate(self, rows: JoinedRows) -> Batch:
        """See `Encoder.collate`.

        Returns:
            The tensors of each column under its name and a dot, with 0 in rows that do not have
            it, none where no row has it; and `present`.
        """
        batch = self.flags(rows)
        for name, encoder in self.encoders():
            numbers, values = rows.part(name)
            if len(numbers):
                places = torch.from_numpy(numbers)
                for key, tensor in encoder.collate(values).items():
                    batch[f"{name}.{key}"] = _spread(tensor, places, len(rows))
        return batch

    def flags(self, rows: JoinedRows) -> Batch:
        """The part of a batch that says which columns each row has.

        Args:
            rows: The rows.
        """
        return {PRESENT: torch.from_numpy(rows.present.astype(np.float32))}

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """See `Encoder.forward`; a column may be given by its pooled vectors alone, under `pooled`.

        Raises:
            ValueError: If it is to begin in the middle.
        """
        if from_layer == self.depth:
            return Encoded(batch["hidden"][:, 0])
        if from_layer:
            raise ValueError(f"begins at 0 or ends at {self.depth}, got from_layer={from_layer}")
        present = batch[PRESENT]
        parts = {
            column.name: self._encoded(column, batch, has > 0.5)
            for column, has in zip(self.columns, present.T, strict=True)
        }
        pooled = torch.cat([*(part.pooled for part in parts.values()), present], dim=1)
        return Encoded(pooled, parts=parts)

    def _encoded(self, column: Column, batch: Batch, has: torch.Tensor) -> Encoded:
        """The encoding of one column, of the rows that have it."""
        own, count = _own(column.name, batch, has), len(has)
        if own is None:
            nothing = batch[PRESENT].new_zeros(count, column.dim)
            tokens = batch[PRESENT].new_zeros(count, 1, column.tokens)
            return Encoded(nothing, tokens, has.new_zeros(count, 1, dtype=torch.int64))
        # A column whose encoder does not move may come as the vectors that were kept of it.
        found = Encoded(own["pooled"]) if "pooled" in own else self.parts[column.name](own)
        rows = has.nonzero()[:, 0]
        return Encoded(
            _spread(found.pooled, rows, count),
            None if found.tokens is None else _spread(found.tokens, rows, count),
            None if found.mask is None else _spread(found.mask, rows, count),
        )

    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """See `Encoder.prefix`; at the end alone, where a row is one vector, [n, 1, dim]."""
        if layers != self.depth:
            raise ValueError(f"several columns have no common layer {layers} of {self.depth}")
        with evaluating(self):
            pooled: torch.Tensor = self(batch).pooled
        return pooled[:, None]

    def can_resume(self, layers: int) -> bool:
        """See `Encoder.can_resume`; only at the beginning and at the end."""
        return layers in (0, self.depth)

    def probe_batch(self) -> Batch:
        """See `Encoder.probe_batch`; of several columns, the first row lacks the last one."""
        probes = {name: each.probe_batch() for name, each in self.encoders()}
        count = min(_PROBED, *(len(each) for probe in probes.values() for each in probe.values()))
        device = next((each.device for each in self.parameters()), torch.device("cpu"))
        present = torch.ones(count, len(self.columns))
        if len(self.columns) > 1:
            present[0, -1] = 0
        batch = {PRESENT: present}
        for name, probe in probes.items():
            batch |= {f"{name}.{key}": tensor[:count] for key, tensor in probe.items()}
        return {key: tensor.to(device) for key, tensor in batch.items()}

    def fingerprint(self, layers: int) -> str:
        """See `Encoder.fingerprint`."""
        told = {}
        for name, each in self.encoders():
            own = layers - (self.depth - each.depth)
            told[name] = each.fingerprint(own) if own > 0 else each.preprocessing
        return _named(told)

    def reset(self, seed: int) -> None:
        """See `Encoder.reset`."""
        for _, each in self.encoders():
            each.reset(seed)

    def adaptable(self) -> list[Adaptable]:
        """See `Encoder.adaptable`."""
        return [place for _, each in self.encoders() for place in each.adaptable()]

    def set_attention(self, attention: str) -> bool:
        """See `Encoder.set_attention`; every encoder is switched."""
        switched = [each.set_attention(attention) for _, each in self.encoders()]
        return all(switched)

    def suited(self, engine: Engine) -> Engine:
        """See `Encoder.suited`; what one of the encoders cannot do well, none does."""
        chosen = [each.suited(engine) for _, each in self.encoders()]
        return next((each for each in chosen if each != engine), engine)

    @property
    def finishes(self) -> bool:
        """See `Encoder.finishes`; whether any encoder does."""
        return any(each.finishes for _, each in self.encoders())

    def finish(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """See `Encoder.finish`; each encoder sees the rows that have its column."""
        for place, (name, each) in enumerate(self.encoders()):
            if each.finishes:
                each.finish(partial(_part_batches, name, place, batches))

    def copied_as(self, dtype: torch.dtype) -> Self:
        """See `Encoder.copied_as`; each encoder copies itself in its own way."""
        parts = {name: each.copied_as(dtype) for name, each in self.encoders()}
        return type(self)(parts, self.width, self.columns).eval()

    def _column(self, name: str, encoder: Encoder) -> Column:
        with evaluating(encoder):
            tokens = encoder(encoder.probe_batch()).tokens
        length = encoder.dim if tokens is None else tokens.shape[-1]
        if not isinstance(encoder, FieldEncoder):
            return Column(name, encoder.dim, length)
        sizes = tuple(each.size for each in encoder.table.categories)
        return Column(name, encoder.dim, length, sizes, self.width)


def _own(name: str, batch: Batch, has: torch.Tensor) -> Batch | None:
    """A batch of one column, of the rows that have it; None where no row does."""
    own = {
        key.removeprefix(f"{name}."): tensor
        for key, tensor in batch.items()
        if key.startswith(f"{name}.")
    }
    if not own or not has.any():
        return None
    return own if has.all() else {key: tensor[has] for key, tensor in own.items()}


def _part_batches(name: str, place: int, batches: Callable[[], Iterable[Batch]]) -> Iterator[Batch]:
    """The batches of one column."""
    for batch in batches():
        own = _own(name, batch, batch[PRESENT][:, place] > 0.5)
        if own is not None:
            yield own


def _spread(values: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Values of some rows in their places among all, with 0 in the others, [count, ...]."""
    if len(values) == count:
        return values
    return values.new_zeros(count, *values.shape[1:]).index_copy(0, rows, values)


def _named(told: Mapping[str, str]) -> str:
    said = json.dumps(list(told.items()))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
