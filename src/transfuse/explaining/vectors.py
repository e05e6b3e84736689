"""A text as vectors of its tokens, for integrated gradients."""

import bisect
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from transfuse.answering import ModelFolder
from transfuse.answering.reading import mended_texts
from transfuse.explaining.explanation import TokenWeight
from transfuse.explaining.offsets import origins
from transfuse.explaining.words import words
from transfuse.models import Network
from transfuse.models.network import Outputs
from transfuse.models.static import StaticBag
from transfuse.models.tokens import padding_id

__all__ = ["TokenVectors"]


@dataclass(frozen=True)
class _Row:
    """A text as the network reads it."""

    ids: torch.Tensor
    """[1, T]."""

    bare: torch.Tensor
    """The ids of the same text without its words, [1, T]."""

    spans: list[tuple[int, int]]
    """The characters of each token in the text as it was given; empty for special tokens."""


class TokenVectors:
    """The vectors of a text's tokens, beside those of a text of mask tokens; see `Entering`.

    Args:
        model: The model that the text is mended for.
        network: A copy of its network.
        text: The text.
    """

    size = None

    def __init__(self, model: ModelFolder, network: Network, text: str) -> None:
        self.text = text
        self._head = model.head
        self._network = network
        self._layer = _embedding(network)
        self._row = _read(network, text, mended_texts(model, [text])[0])
        self.values = self._layer(self._row.ids).detach()
        self.bare = self._layer(self._row.bare).detach()

    @property
    def cost(self) -> int:
        """See `Entering.cost`."""
        return self._row.ids.shape[1]

    def logits(self, values: torch.Tensor) -> torch.Tensor:
        """See `Entering.logits`; one text has no padding."""
        ids = self._row.ids.expand(len(values), -1)
        handle = self._layer.register_forward_hook(lambda _layer, _ids, _vectors: values)
        try:
            batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            outputs: Outputs = self._network(batch, 0, [self._head])
            return outputs.logits[self._head]
        finally:
            handle.remove()

    def weights(self, shares: torch.Tensor) -> list[float]:
        """See `Entering.weights`; one for each token."""
        found: list[float] = shares.sum(-1)[0].double().tolist()
        return found

    def units(self, weights: list[float]) -> tuple[TokenWeight, ...]:
        """See `Entering.units`."""
        return _by_word(self.text, self._row.spans, weights)


def _embedding(network: Network) -> nn.Module:
    """The layer that turns ids into vectors."""
    backbone: Any = network.encoder.backbone
    layer = backbone.embedding if isinstance(backbone, StaticBag) else None
    found: nn.Module = backbone.get_input_embeddings() if layer is None else layer
    return found


def _read(network: Network, text: str, mended: str) -> _Row:
    encoder: Any = network.encoder
    ids = torch.from_numpy(encoder.preprocess([mended])[0].astype("int64"))[None]
    # `preprocess` has left the tokenizer with the encoder's own cut.
    found = encoder.tokenizer.backend_tokenizer.encode(mended)
    if found.ids != ids[0].tolist():
        # A text without tokens is read as a filler, which is no word of it.
        return _Row(ids, ids, [(0, 0)] * ids.shape[1])
    special = torch.tensor(found.special_tokens_mask, dtype=torch.bool)[None]
    tokenizer = encoder.tokenizer
    nothing = tokenizer.mask_token_id
    if nothing is None or isinstance(encoder.backbone, StaticBag):
        # The padding vector of a static encoder is 0.
        nothing = padding_id(tokenizer)
    places = [*origins(text, mended), len(text)]
    spans = [
        (0, 0) if first >= last else (places[first], places[last - 1] + 1)
        for first, last in found.offsets
    ]
    return _Row(ids, torch.where(special, ids, nothing), spans)


def _by_word(
    text: str, spans: list[tuple[int, int]], weights: list[float]
) -> tuple[TokenWeight, ...]:
    """The weights of tokens summed by the words that they stand in; none is lost.

    A token goes to the word that it shares most characters with, or to the next one after it.
    """
    parts = words(text)
    if not parts:
        return ()
    sums = [0.0] * len(parts)
    starts = [start for start, _ in parts]
    for (first, last), weight in zip(spans, weights, strict=True):
        near = bisect.bisect_right(starts, first) - 1
        window = range(max(0, near), min(len(parts), near + 3))
        shared = {at: min(last, parts[at][1]) - max(first, parts[at][0]) for at in window}
        best = max(shared, key=lambda at: (shared[at], -at))
        sums[best] += weight
    return tuple(
        TokenWeight(text[start:end], start, end, weight)
        for (start, end), weight in zip(parts, sums, strict=True)
    )
