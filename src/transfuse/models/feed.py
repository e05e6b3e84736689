"""Batches of one stream, starting from wherever the frozen part of the network ends.

A feed hides where its rows begin: at their tokens, at the kept output of frozen layers, or at the
kept pooled vectors. Training, solving and prediction ask it for batches and do not care.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transfuse.data.rows import Preprocessed
from transfuse.errors import ModelError, Problem
from transfuse.models.encoder import Batch, Encoder
from transfuse.models.engine import Engine
from transfuse.models.features import feature_space, pooled_features, prefix_features
from transfuse.models.joined import JoinedEncoder, JoinedFeatures, JoinedRows, held_columns
from transfuse.models.network import Network
from transfuse.models.store import Store
from transfuse.models.stored import StoredFeatures

__all__ = ["Feed", "Feeds", "Inputs", "read_inputs"]

Rows = NDArray[np.int64] | slice


@dataclass(frozen=True)
class Inputs:
    """The preprocessed rows of one column."""

    tokens: Preprocessed
    """What the encoder's `preprocess` gave."""

    keys: NDArray[Any]
    """The 16-byte content key of each row, under which its features are kept, [rows]."""

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: NDArray[np.int64]) -> "Inputs":
        """Some of the rows, in the given order."""
        return Inputs(self.tokens.take(rows), self.keys[rows])


def read_inputs(encoder: Encoder, rows: Sequence[Any]) -> Inputs:
    """Preprocess rows; the content key is a hash of what preprocessing made of a row.

    Args:
        encoder: Whose preprocessing it is.
        rows: The rows.
    """
    tokens = encoder.preprocess(rows)
    return Inputs(tokens, tokens.keys())


class Feed(ABC):
    """Batches of one stream."""

    frozen: int
    """How many of the encoder's layers the batches carry as done."""

    @property
    @abstractmethod
    def lengths(self) -> NDArray[np.int64]:
        """What each row costs, in tokens, int64 [rows]."""

    @abstractmethod
    def batch(self, rows: Rows) -> Batch:
        """A batch of these rows, without targets."""


class _Tokens(Feed):
    """Rows from the beginning."""

    frozen = 0

    def __init__(self, encoder: Encoder, inputs: Inputs) -> None:
        self._encoder = encoder
        self._inputs = inputs

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self._inputs.tokens.lengths

    def batch(self, rows: Rows) -> Batch:
        return self._encoder.collate(self._inputs.tokens.take(_numbers(rows, len(self._inputs))))


class _Hidden(Feed):
    """Rows from the kept output of the frozen layers."""

    def __init__(self, features: StoredFeatures, frozen: int) -> None:
        self.frozen = frozen
        self._features = features

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self._features.lengths

    def batch(self, rows: Rows) -> Batch:
        hidden, mask = self._features.batch(_numbers(rows, len(self._features)))
        return {"hidden": hidden, "attention_mask": mask}


class _Pooled(Feed):
    """Rows from the kept pooled vectors."""

    def __init__(self, vectors: NDArray[np.float32], frozen: int) -> None:
        self.frozen = frozen
        self._vectors = torch.from_numpy(vectors)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.ones(len(self._vectors), dtype=np.int64)

    def batch(self, rows: Rows) -> Batch:
        return {"pooled": self._vectors[rows]}


class _Held(Feed):
    """Rows of several columns, of which some come as their kept vectors."""

    frozen = 0

    def __init__(
        self, encoder: JoinedEncoder, rows: JoinedRows, vectors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self._encoder = encoder
        self._rows = rows
        self._left = rows.without(vectors)
        self._vectors = {name: torch.from_numpy(each) for name, each in vectors.items()}

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self._left.lengths

    def batch(self, rows: Rows) -> Batch:
        numbers = _numbers(rows, len(self._rows))
        batch = self._encoder.collate(self._left.take(numbers))
        batch |= self._encoder.flags(self._rows.take(numbers))
        places = torch.from_numpy(numbers)
        return batch | {f"{name}.pooled": each[places] for name, each in self._vectors.items()}


class Feeds:
    """Feeds that begin after the same frozen layers of the same network.

    Args:
        network: The network; the features of its frozen layers are computed where they are not
            kept yet.
        frozen: How many of the encoder's layers are frozen and can be resumed. Default: 0.
        store: Where features are kept; needed where layers are frozen.
        engine: The arithmetic that computes them; likewise.
        moving: Every parameter that trains. Of several columns, one whose encoder holds none of
            them is then read from the store though others train. Default: nobody says, so that
            no column is.
    """

    def __init__(
        self,
        network: Network,
        frozen: int = 0,
        store: Store | None = None,
        engine: Engine | None = None,
        moving: Iterable[nn.Parameter] | None = None,
    ) -> None:
        self._encoder = network.encoder
        self._frozen = frozen
        self._pooled = frozen == self._encoder.depth and not self._encoder.keeps_tokens
        self._store = store
        self._engine = engine
        self._space = ""
        self._joined: JoinedFeatures | None = None
        if isinstance(self._encoder, JoinedEncoder) and store is not None and engine is not None:
            held = held_columns(network, moving) if moving is not None and not frozen else ()
            if frozen or held:
                self._joined = JoinedFeatures(self._encoder, store, engine, held or None)
        elif frozen and engine is not None:
            # Reading all weights for the name takes longer than reading a feed's rows.
            self._space = feature_space(self._encoder, frozen, engine, pooled=self._pooled)

    def feed(self, inputs: Inputs) -> Feed:
        """The feed of these rows."""
        if not self._frozen and self._joined is not None:
            assert isinstance(self._encoder, JoinedEncoder)
            assert isinstance(inputs.tokens, JoinedRows)
            return _Held(self._encoder, inputs.tokens, self._joined.parts(inputs.tokens))
        if not self._frozen:
            return _Tokens(self._encoder, inputs)
        if self._pooled:
            return _Pooled(self.vectors(inputs), self._frozen)
        assert self._store is not None
        assert self._engine is not None
        features = prefix_features(
            self._encoder,
            inputs.tokens,
            inputs.keys,
            self._frozen,
            store=self._store,
            engine=self._engine,
            space=self._space,
        )
        return _Hidden(features, self._frozen)

    def vectors(self, inputs: Inputs) -> NDArray[np.float32]:
        """The pooled vectors of these rows, where the whole encoder is frozen, [rows, d]."""
        if self._joined is not None and isinstance(inputs.tokens, JoinedRows):
            return self._joined.vectors(inputs.tokens)
        assert self._store is not None
        assert self._engine is not None
        return pooled_features(
            self._encoder,
            inputs.tokens,
            inputs.keys,
            store=self._store,
            engine=self._engine,
            space=self._space,
        )

    def given(self, vectors: NDArray[np.float32]) -> Feed:
        """A feed of vectors that stand in place of the encoder's.

        Args:
            vectors: float32 [rows, d].

        Raises:
            ModelError: If the encoder is not frozen, or a head needs more than a vector a row.
        """
        if not self._pooled:
            raise ModelError(
                Problem(
                    "align",
                    "the heads are trained on more than the frozen encoder's pooled vectors",
                    "a linear head, and train.prefix_cache as it is by default",
                    "Give the model another `pooling`, such as mean.",
                )
            )
        return _Pooled(vectors, self._frozen)


def _numbers(rows: Rows, count: int) -> NDArray[np.int64]:
    return np.arange(count)[rows] if isinstance(rows, slice) else rows
