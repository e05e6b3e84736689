"""What an encoder is to the rest of Transfuse: rows in, one vector per row out, in known layers.

Everything that freezes, caches or re-weighs parts of a model talks to this interface and never to
a particular architecture.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from transfuse.data.rows import Preprocessed
from transfuse.data.schema import Role
from transfuse.models.copies import copied_as
from transfuse.models.engine import Engine
from transfuse.models.portable import Portable

__all__ = ["Adaptable", "Batch", "Encoded", "Encoder", "close"]

Batch = dict[str, torch.Tensor]
"""Tensors of one batch by name.

Models read what their encoder's `collate` makes, such as `input_ids` and `attention_mask`
(int64 [n, T]) of texts or `pixels` [n, 3, H, W] of pictures, or `hidden` ([n, T, d], with
`attention_mask`) in its place, or `pooled` ([n, d]) alone. They leave the other names (`targets`,
`rows`) alone.
"""


@dataclass
class Encoded:
    """What an encoder makes of a batch.

    Args:
        pooled: One vector per row [n, d].
        tokens: One vector per token [n, T, d]; None where only the pooled vectors were cached.
        mask: 1 where a token is real, 0 where it is padding, int64 [n, T]; None without tokens.
        by_task: The encoding that the head of each task reads, where a fusion makes one for each;
            None where all heads read this one.
        parts: The encoding of each column by the name of its role, where several were encoded.
    """

    pooled: torch.Tensor
    tokens: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    by_task: dict[str, "Encoded"] | None = None
    parts: dict[str, "Encoded"] | None = None

    def of(self, task: str) -> "Encoded":
        """The encoding that a task's head reads.

        Args:
            task: The task's name.

        Raises:
            KeyError: If a fusion makes encodings for other tasks only.
        """
        return self if self.by_task is None else self.by_task[task]


@dataclass(frozen=True)
class Adaptable:
    """A place that holds a backbone, where an adapter may be put around it.

    Args:
        owner: The module that holds it.
        name: The attribute's name.
        role: What the backbone reads.
    """

    owner: nn.Module
    name: str
    role: Role

    @property
    def backbone(self) -> Any:
        """The backbone as it is now."""
        return getattr(self.owner, self.name)

    def put(self, backbone: nn.Module) -> None:
        """Puts another in its place."""
        setattr(self.owner, self.name, backbone)


class Encoder(nn.Module, ABC):
    """A backbone that turns rows into vectors, seen as layers from input to output.

    Attributes:
        reads: The roles of the columns that it reads.
        dim: Length of the pooled vector, d.
        depth: Number of layers; the embeddings count as one.
        keeps_tokens: Whether what is kept of it when all of it is frozen are its tokens, which
            heads for places in a picture need, and not its pooled vectors.
    """

    keeps_tokens: bool = False
    reads: tuple[Role, ...] = (Role.TEXT,)
    dim: int
    depth: int

    @property
    @abstractmethod
    def preprocessing(self) -> str:
        """Names `preprocess` by content: equal for encoders that make the same of every row."""

    @abstractmethod
    def layers(self) -> list[list[nn.Module]]:
        """The modules with parameters, from input to output.

        Returns:
            `depth` lists. The first holds what runs before the blocks (embeddings), the last
            holds the last block and what runs after it (final norm, pooler). No module stands in
            two lists and none contains another.
        """

    @abstractmethod
    def preprocess(self, rows: Sequence[Any]) -> Preprocessed:
        """Prepares rows for `collate`: texts become token ids, pictures stay to be decoded.

        Args:
            rows: What `Table.inputs` gives for the roles of `reads`.

        Returns:
            The prepared rows.
        """

    @abstractmethod
    def collate(self, rows: Any) -> Batch:
        """Builds a batch from rows that `preprocess` prepared.

        Args:
            rows: Some of them, as `take` gives them.

        Returns:
            The tensors that `forward` reads; those of texts are padded on the right to the
            longest.
        """

    @abstractmethod
    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """Encodes a batch.

        Args:
            batch: As described at `Batch`.
            from_layer: The number of layers whose output the batch already carries as `hidden`.
                Default 0: nothing was computed before.

        Returns:
            The vectors.
        """

    @abstractmethod
    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """The output of the first layers, in evaluation mode and without gradients.

        Args:
            batch: What `collate` makes.
            layers: How many layers to run, from 1 to `depth`.

        Returns:
            Hidden states [n, T, d]; `forward` takes them up again as `hidden` with
            `from_layer=layers`.
        """

    @abstractmethod
    def can_resume(self, layers: int) -> bool:
        """Whether `prefix` followed by `forward` gives what a plain `forward` gives.

        Args:
            layers: The length of the prefix, from 0 to `depth`.

        Returns:
            True where it was tried and found equal; 0 is always true.
        """

    @abstractmethod
    def probe_batch(self) -> Batch:
        """A few short rows of different lengths, for trying out what a model can do.

        Returns:
            A batch on the encoder's device.
        """

    @abstractmethod
    def fingerprint(self, layers: int) -> str:
        """Names by content what `prefix(batch, layers)` computes.

        Args:
            layers: The length of the prefix, from 1 to `depth`; at `depth` the pooling counts too.

        Returns:
            A hexadecimal hash of the weights, the architecture and the preprocessing.
        """

    @abstractmethod
    def reset(self, seed: int) -> None:
        """Gives it fresh weights, in place: the same network as if it had never been trained.

        Args:
            seed: Seed of the fresh weights.
        """

    def adaptable(self) -> list[Adaptable]:
        """Where adapters can be put. Default: nowhere."""
        return []

    @property
    def pooling_used(self) -> str:
        """Which of several ways gives a row's vector. Default: the only one, without a name."""
        return ""

    def set_attention(self, attention: str) -> bool:
        """Switches how attention is computed; the answer stays the same up to rounding.

        Args:
            attention: `sdpa` or `eager`.

        Returns:
            Whether it computes that way now. Default: True, of an encoder without attention.
        """
        return True

    @property
    def finishes(self) -> bool:
        """Whether `finish` has something to do. Default: False."""
        return False

    def finish(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """What is left to do when its last step is done, such as measuring statistics anew.

        Args:
            batches: Gives all rows that were trained on, batch by batch, each time it is called.
        """
        return

    def suited(self, engine: Engine) -> Engine:
        """The arithmetic to train in where nobody chose one.

        Args:
            engine: What was fastest for a transformer on this machine.

        Returns:
            That, where the encoder is like one. Default: it is.
        """
        return engine

    def portable(self, folder: Path) -> Portable | None:
        """What its graph reads, once that has left torch.

        Args:
            folder: Where the files that the inputs are made with are written.

        Returns:
            The inputs; None where no graph can be made of it. Default: None.
        """
        return None

    def copied_as(self, dtype: torch.dtype) -> Self:
        """A copy for inference whose parameters have another number type.

        Args:
            dtype: The number type, for instance `torch.bfloat16`.

        Returns:
            A copy in evaluation mode without gradients. Parameters that have the type already
            share their memory with it.
        """
        return copied_as(self, dtype)


def close(expected: torch.Tensor, got: torch.Tensor) -> bool:
    """Whether two ways to compute the same thing agree up to rounding.

    Args:
        expected: The result of one way.
        got: The result of the other.

    Returns:
        True where no entry differs by more than 1e-5 in 32 bits (more only for coarser numbers),
        relative to the largest entry where that is above 1.
    """
    if expected.shape != got.shape:
        return False
    tolerance = max(1e-5, 4 * torch.finfo(expected.dtype).eps)
    return bool((expected - got).abs().max() <= tolerance * expected.abs().max().clamp(min=1.0))
