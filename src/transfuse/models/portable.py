"""What a network's graph reads once it has left torch: rows to arrays, without the network.

An encoder says by `Encoder.portable` what its graph's inputs are, and writes the files that they
are made with beside the graph.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from transfuse.data.ragged import Ragged
from transfuse.data.rows import Preprocessed
from transfuse.data.schema import Role
from transfuse.models.quiet import quiet_loading
from transfuse.models.tokens import pad_rows, padding_id, tokenise

__all__ = ["GraphInputs", "Portable", "TextInputs", "portable_texts"]


class GraphInputs(ABC):
    """A dataclass of a folder and settings that makes a graph's inputs of rows."""

    files: ClassVar[tuple[str, ...]]
    """Patterns of the names of the files that it reads in its folder."""

    reads: ClassVar[tuple[Role, ...]]
    """The roles of the columns that the rows come from."""

    folder: Path

    def settings(self) -> dict[str, Any]:
        """What `of` needs beside the folder, as JSON can hold it."""
        names = [field.name for field in fields(cast(Any, self)) if field.name != "folder"]
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, folder: Path, settings: Mapping[str, Any]) -> Self:
        """The inverse of `settings`.

        Args:
            folder: Where the files are.
            settings: What `settings` gave.
        """
        return cls(folder, **settings)  # type: ignore[call-arg]

    def paths(self) -> list[Path]:
        """The files that it reads."""
        return [path for pattern in self.files for path in self.folder.glob(pattern)]

    @abstractmethod
    def preprocess(self, rows: Sequence[Any]) -> Preprocessed:
        """Rows as the network's own encoder prepares them.

        Args:
            rows: What `Table.inputs` gives for the roles of `reads`.
        """

    @abstractmethod
    def collate(self, rows: Any) -> dict[str, NDArray[Any]]:
        """A batch of the graph's inputs, by name.

        Args:
            rows: Some of what `preprocess` gave, as `take` gives them.
        """

    @abstractmethod
    def made_up(self, count: int) -> list[Any]:
        """Rows without meaning, of many lengths where rows have lengths; the same each time.

        Args:
            count: How many.
        """


@dataclass(frozen=True)
class Portable:
    """An encoder's side of a graph.

    Args:
        inputs: How rows become the graph's inputs.
        names: The graph's inputs in order, each with the name of its tensor in the network's
            batch.
        batch: An example of such a batch.
        axes: The names of each input's axes that vary, by the graph's names; None for an axis
            that is fixed.
        other: A batch whose sides the graph should bear too, where axes beyond the first vary;
            where it does not, the graph is made with the first axis alone varying. Default: none.
    """

    inputs: GraphInputs
    names: Mapping[str, str]
    batch: Mapping[str, torch.Tensor]
    axes: Mapping[str, tuple[str | None, ...]]
    other: Mapping[str, torch.Tensor] | None = None


@dataclass(frozen=True)
class _Rules:
    """A tokenizer as `tokenise` wants it."""

    backend_tokenizer: Tokenizer


@dataclass(frozen=True)
class TextInputs(GraphInputs):
    """Token ids and their mask.

    Args:
        folder: Where `tokenizer.json` is.
        max_length: Longest text in tokens.
        padding: The token that fills short rows.
        filler: The token that stands for a text without tokens.
    """

    folder: Path
    max_length: int
    padding: int
    filler: int

    files: ClassVar[tuple[str, ...]] = ("*token*.json",)
    reads: ClassVar[tuple[Role, ...]] = (Role.TEXT,)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The network's tokenizer."""
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    def preprocess(self, rows: Sequence[str]) -> Ragged:
        """See `GraphInputs.preprocess`."""
        if not len(rows):
            return Ragged.from_rows([])
        return tokenise(_Rules(self.tokenizer), rows, self.max_length, filler=self.filler)

    def collate(self, rows: Any) -> dict[str, NDArray[Any]]:
        """See `GraphInputs.collate`."""
        ids, mask = pad_rows(rows, self.padding)
        return {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}

    def made_up(self, count: int) -> list[str]:
        """See `GraphInputs.made_up`; texts of random tokens, of one to the greatest length."""
        words = [self.tokenizer.decode([id_]) for id_ in range(self.tokenizer.get_vocab_size())]
        words = [word for word in words if word.strip()] or ["a"]
        rng = np.random.default_rng(0)
        lengths = np.geomspace(1, self.max_length, count).astype(int)
        return [" ".join(rng.choice(words, length)) for length in lengths]


def portable_texts(
    folder: Path, tokenizer: Any, max_length: int, filler: int, batch: Mapping[str, torch.Tensor]
) -> Portable:
    """A text encoder's side of a graph, whose batch and length vary.

    Args:
        folder: Where the tokenizer's files are written.
        tokenizer: A fast tokenizer of transformers.
        max_length: Longest text in tokens.
        filler: The token that stands for a text without tokens.
        batch: An example of a batch.
    """
    with quiet_loading():
        tokenizer.save_pretrained(folder)
    inputs = TextInputs(folder, max_length, padding_id(tokenizer), filler)
    axes = dict.fromkeys(batch, ("batch", "length"))
    return Portable(inputs, {name: name for name in batch}, batch, axes)
