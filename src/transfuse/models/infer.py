"""Logits of many rows, as fast as the machine allows."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch

from transfuse.data import evaluation_batches
from transfuse.models.ahead import ahead
from transfuse.models.engine import Engine
from transfuse.models.feed import Feed
from transfuse.models.network import Network, Outputs

__all__ = ["Inference"]


class Inference:
    """A network ready to answer; made anew after its weights have changed.

    Args:
        network: The network; its mode and its weights are left as they are.
        engine: The arithmetic. Default: plain float32.
        batch_tokens: Padded tokens of a batch at the most. Default: 2,048, which stays in cache.
    """

    def __init__(
        self, network: Network, engine: Engine | None = None, batch_tokens: int = 2048
    ) -> None:
        self._engine = engine or Engine()
        self._source = network
        self._device = next(network.parameters()).device
        self._batch_tokens = batch_tokens

    @cached_property
    def _whole(self) -> Network:
        whole = self._source.copied_as(self._engine.dtype)
        # It costs nothing beside the encoder, and in 16 bits its answers would be coarse.
        whole.fusion = self._heads.fusion
        return whole

    @cached_property
    def _heads(self) -> Network:
        # Over kept vectors only the heads run: in 32 bits, and without copying the encoder.
        return self._source.copied_as(torch.float32)

    def logits(
        self, feed: Feed, head: str, progress: Callable[[int], None] | None = None
    ) -> torch.Tensor:
        """Logits of one head for all rows of a feed.

        Args:
            feed: The rows.
            head: The head's name.
            progress: Called with the number of rows of each batch that is done. Default: nobody.

        Returns:
            Logits [rows, outputs] float32, on the CPU, in the rows' order.
        """
        outputs = self._source.heads[head].outputs
        assert isinstance(outputs, int)
        found = torch.empty(len(feed.lengths), outputs)
        for rows, given in self._pass(feed, [head]):
            found[rows] = given.logits[head].float().cpu()
            if progress is not None:
                progress(len(rows))
        return found

    def features(self, feed: Feed) -> torch.Tensor:
        """The fused vector of each row of a feed, float32 [rows, d], on the CPU."""
        parts = [(rows, given.features.float().cpu()) for rows, given in self._pass(feed, [])]
        width = parts[0][1].shape[1] if parts else self._source.encoder.dim
        found = torch.empty(len(feed.lengths), width)
        for rows, vectors in parts:
            found[rows] = vectors
        return found

    def _pass(self, feed: Feed, heads: Sequence[str]) -> Iterator[tuple[torch.Tensor, Outputs]]:
        """Row numbers and outputs, batch by batch."""
        network = self._heads if feed.frozen == self._source.encoder.depth else self._whole
        with torch.inference_mode(), self._engine.apply(network):
            batches = evaluation_batches(feed.lengths, self._batch_tokens)
            for rows, made in ahead(batches, feed.batch):
                batch = {name: part.to(self._device) for name, part in made.items()}
                if "hidden" in batch:
                    batch["hidden"] = batch["hidden"].to(self._engine.dtype)
                yield torch.from_numpy(rows), network(batch, feed.frozen, heads)
