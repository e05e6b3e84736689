"""An encoder of pictures whose tokens hold several of its feature maps.

A backbone makes maps that get coarser and know more. Finding and outlining things needs fine ones
too. `Pyramid` runs the backbone once and packs the maps of its last resolutions into one token for
each place of the coarsest map: a place's token holds the coarse vector, then the vectors of the
2 x 2 places of the next finer map that lie there, and so on. Nothing is repeated, so that frozen
maps are kept in the feature store at their own size; `unpacked` gives the maps back.

Each map is normalised over its channels, without weights, so that none drowns another.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional

from transfuse.data.rows import Preprocessed
from transfuse.data.schema import Role
from transfuse.errors import ModelError, Problem
from transfuse.models.anatomy import evaluating
from transfuse.models.copies import copied_as
from transfuse.models.encoder import Adaptable, Batch, Encoded, Encoder, close
from transfuse.models.engine import Engine

__all__ = ["Level", "Pyramid", "levels_of", "levels_of_maps", "packed", "unpacked"]


@dataclass(frozen=True)
class Level:
    """One feature map.

    Args:
        channels: Length of a place's vector.
        factor: Places of this map in one of the coarsest, along each side.
        layer: After how many of the encoder's layers it stands.
    """

    channels: int
    factor: int
    layer: int


def levels_of(encoder: Encoder) -> tuple[Level, ...]:
    """The maps that an encoder's tokens hold, from the coarsest on."""
    if isinstance(encoder, Pyramid):
        return encoder.levels
    return (Level(encoder.dim, 1, encoder.depth),)


def unpacked(tokens: torch.Tensor, levels: Sequence[Level]) -> list[torch.Tensor]:
    """The maps that tokens hold.

    Args:
        tokens: [n, T, d], the places of a square map row by row. Tokens before the last square
            number of them belong to no place (a class token) and are left out.
        levels: What they hold.

    Returns:
        For each level a map [n, channels, side, side].
    """
    side = math.isqrt(tokens.shape[1])
    square = tokens[:, tokens.shape[1] - side**2 :].transpose(1, 2).unflatten(2, (side, side))
    parts = square.split([level.channels * level.factor**2 for level in levels], dim=1)
    return [
        functional.pixel_shuffle(part, level.factor) if level.factor > 1 else part
        for part, level in zip(parts, levels, strict=True)
    ]


def levels_of_maps(maps: Sequence[torch.Tensor]) -> tuple[Level, ...]:
    """What maps hold that all layers together make.

    Args:
        maps: From the coarsest on, [n, channels, side, side].
    """
    side = maps[0].shape[-1]
    return tuple(Level(each.shape[1], round(each.shape[-1] / side), 0) for each in maps)


def packed(maps: Sequence[torch.Tensor], levels: Sequence[Level], *, even: bool) -> torch.Tensor:
    """Maps as one token for each place of the coarsest; the inverse of `unpacked`.

    Args:
        maps: From the coarsest on, [n, channels, side, side] or tokens.
        levels: What they are.
        even: Whether each is normalised over its channels.

    Returns:
        [n, T, d].
    """
    squares = [_square(each) for each in maps]
    side = squares[0].shape[-1]
    parts = []
    for square, level in zip(squares, levels, strict=True):
        if even:
            square = functional.layer_norm(square.movedim(1, 3), (level.channels,)).movedim(3, 1)
        wanted = side * level.factor
        if square.shape[-1] != wanted:
            # An odd side was rounded on the way down.
            square = functional.interpolate(square, (wanted, wanted), mode="bilinear")
        parts.append(functional.pixel_unshuffle(square, level.factor))
    return torch.cat(parts, dim=1).flatten(2).transpose(1, 2)


class Pyramid(Encoder):
    """An encoder of pictures with the maps of its last resolutions in its tokens.

    The pooled vector is the mean of the coarsest map.

    Args:
        inner: The encoder.
        levels: How many maps, from the coarsest on; an encoder that has fewer gives what it has,
            and one that keeps its resolution (ViT) gives one. Default: 3.
        even: Whether maps are normalised over their channels; a pretrained head wants them as
            they are. Default: True.

    Raises:
        ModelError: If the encoder gives no tokens.
    """

    keeps_tokens = True

    def __init__(self, inner: Encoder, levels: int = 3, *, even: bool = True) -> None:
        super().__init__()
        self.inner = inner
        self.reads: tuple[Role, ...] = inner.reads
        self.depth = inner.depth
        self.even = even
        self.levels = _found(inner)[:levels]
        self.dim = self.levels[0].channels

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """See `Encoder.forward`."""
        if from_layer == self.depth:
            return self._encoded(batch["hidden"])
        with _watching(self.inner, [level.layer for level in self.levels]) as seen:
            last = self.inner(batch, from_layer)
        if from_layer:
            seen[from_layer] = batch["hidden"]
        seen[self.depth] = last.tokens
        maps = [seen[level.layer] for level in self.levels]
        return self._encoded(packed(maps, self.levels, even=self.even))

    def _encoded(self, tokens: torch.Tensor) -> Encoded:
        wide = torch.promote_types(tokens.dtype, torch.float32)
        pooled = tokens[..., : self.dim].to(wide).mean(dim=1).to(tokens.dtype)
        return Encoded(pooled, tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.int64))

    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """See `Encoder.prefix`; all layers give the packed maps."""
        if layers < self.depth:
            return self.inner.prefix(batch, layers)
        with torch.no_grad(), evaluating(self):
            tokens: torch.Tensor = self(batch).tokens
        return tokens

    def can_resume(self, layers: int) -> bool:
        """See `Encoder.can_resume`; a map that lies before the kept layer is lost."""
        if layers in (0, self.depth):
            return True
        known = all(level.layer >= layers for level in self.levels)
        return known and self.inner.can_resume(layers)

    @property
    def preprocessing(self) -> str:
        """See `Encoder.preprocessing`."""
        return self.inner.preprocessing

    def layers(self) -> list[list[nn.Module]]:
        """See `Encoder.layers`."""
        return self.inner.layers()

    def preprocess(self, rows: Sequence[Any]) -> Preprocessed:
        """See `Encoder.preprocess`."""
        return self.inner.preprocess(rows)

    def collate(self, rows: Any) -> Batch:
        """See `Encoder.collate`."""
        return self.inner.collate(rows)

    def probe_batch(self) -> Batch:
        """See `Encoder.probe_batch`."""
        return self.inner.probe_batch()

    def fingerprint(self, layers: int) -> str:
        """See `Encoder.fingerprint`; the levels count where all layers have run."""
        inner = self.inner.fingerprint(layers)
        name = f"{inner}-pyramid{len(self.levels)}{'' if self.even else '-plain'}"
        return name if layers == self.depth else inner

    def reset(self, seed: int) -> None:
        """See `Encoder.reset`."""
        self.inner.reset(seed)

    def adaptable(self) -> list[Adaptable]:
        """See `Encoder.adaptable`."""
        return self.inner.adaptable()

    def suited(self, engine: Engine) -> Engine:
        """See `Encoder.suited`."""
        return self.inner.suited(engine)

    def copied_as(self, dtype: torch.dtype) -> Self:
        """See `Encoder.copied_as`; as the encoder copies itself."""
        return copied_as(self, dtype, {self.inner: self.inner.copied_as(dtype)})

    def set_attention(self, attention: str) -> bool:
        """See `Encoder.set_attention`."""
        return self.inner.set_attention(attention)


def _square(hidden: torch.Tensor) -> torch.Tensor:
    """What a layer gives as a map [n, C, side, side], without class tokens."""
    if hidden.ndim == 4:
        return hidden
    side = math.isqrt(hidden.shape[1])
    places = hidden[:, hidden.shape[1] - side**2 :]
    square: torch.Tensor = places.transpose(1, 2).unflatten(2, (side, side))
    return square


def _found(encoder: Encoder) -> tuple[Level, ...]:
    """The last map of each resolution, from the coarsest on, found by trying."""
    batch = encoder.probe_batch()
    with torch.no_grad(), evaluating(encoder):
        with _watching(encoder, range(1, encoder.depth)) as seen:
            tokens = encoder(batch).tokens
        if tokens is None:
            raise ModelError(
                Problem("model", "the encoder gives one vector for each picture", "feature maps")
            )
        seen[encoder.depth] = tokens
        last = _square(tokens)
        found = [Level(last.shape[1], 1, encoder.depth)]
        side = last.shape[-1]
        for layer in range(encoder.depth - 1, 0, -1):
            here = _square(seen[layer]) if layer in seen else last
            if here.shape[-1] > side and _is_prefix(encoder, batch, layer, here):
                side = here.shape[-1]
                factor = round(side / last.shape[-1])
                found.append(Level(here.shape[1], factor, layer))
    return tuple(found)


def _is_prefix(encoder: Encoder, batch: Batch, layer: int, here: torch.Tensor) -> bool:
    """Whether what was seen is what the first layers give, as caching has it."""
    return close(_square(encoder.prefix(batch, layer)), here)


@contextmanager
def _watching(encoder: Encoder, places: Sequence[int] | range) -> Iterator[dict[int, torch.Tensor]]:
    """Inside, notes what enters the layer after each of the given numbers of layers."""
    seen: dict[int, torch.Tensor] = {}
    layers = encoder.layers()

    def note(place: int) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            given = [*args, *kwargs.values()]
            seen.setdefault(place, next(each for each in given if torch.is_tensor(each)))

        return hook

    handles = [
        layers[place][0].register_forward_pre_hook(note(place), with_kwargs=True)
        for place in places
        if place < encoder.depth and layers[place]
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
