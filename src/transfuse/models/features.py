"""Features of rows: the output of an encoder's frozen layers, computed once and kept in the store.

`prefix_features` gives one vector per token, for training that goes on from the middle of the
encoder; `pooled_features` one vector per row, for a head on top of a frozen encoder.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from transfuse.data.batching import evaluation_batches
from transfuse.data.rows import Preprocessed
from transfuse.errors import ModelError, Problem
from transfuse.models.ahead import ahead
from transfuse.models.anatomy import evaluating
from transfuse.models.encoder import Batch, Encoder
from transfuse.models.engine import Engine
from transfuse.models.feature_file import Features, Keys
from transfuse.models.store import Compute, Store
from transfuse.models.stored import StoredFeatures, spans

__all__ = ["feature_space", "pooled_features", "prefix_features", "text_keys"]

Progress = Callable[[int], None]


def text_keys(texts: Sequence[str]) -> Keys:
    """The content keys of texts: what counts is every character, not the row's place or name.

    Args:
        texts: The rows.

    Returns:
        16-byte hashes (BLAKE2b), S16 [rows].
    """
    hashes = [
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for text in texts
    ]
    return np.frombuffer(b"".join(hashes), "S16") if hashes else np.empty(0, "S16")


def feature_space(encoder: Encoder, layers: int, engine: Engine, *, pooled: bool = False) -> str:
    """The store's space for what these functions compute; needed to ask for its counts.

    Args:
        encoder: The encoder.
        layers: How many of its layers are run.
        engine: The arithmetic; its number type and whether it casts on the way count.
        pooled: Whether rows are pooled vectors.

    Returns:
        A hexadecimal name.
    """
    kind = "pooled" if pooled else "tokens"
    said = json.dumps([encoder.fingerprint(layers), str(engine.dtype), engine.autocast, kind])
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def prefix_features(
    encoder: Encoder,
    rows: Sequence[Any] | Preprocessed,
    keys: Sequence[bytes] | Keys,
    layers: int,
    *,
    store: Store,
    engine: Engine,
    batch_tokens: int = 2048,
    progress: Progress | None = None,
    space: str | None = None,
) -> StoredFeatures:
    """The output of the first layers for each row, one vector per token.

    Args:
        encoder: The encoder; its mode and its weights are left as they are.
        rows: Rows, or what `encoder.preprocess` made of them. Only missing rows are looked at.
        keys: The content key of each row, as `text_keys` gives it.
        layers: How many layers to run, from 1 to the encoder's depth.
        store: Where the rows are kept.
        engine: The arithmetic; weights in 16 bits are a copy.
        batch_tokens: Padded tokens of a batch at the most. Default: 2,048, which stays in cache.
        progress: Called with the number of rows that are done, also for those found in the store;
            the calls add up to all rows. Default: nobody.
        space: What `feature_space` gives here, where the caller has it already. Default: ask it.

    Returns:
        The rows, [tokens, d] each, in the engine's number type, read from disk as they are used.

    Raises:
        ModelError: If the encoder gives something that is not finite; nothing of it is kept.
        TransfuseError: If the store cannot be written.
    """

    def run(ready: Encoder, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = ready.prefix(batch, layers)
        # Only texts have rows of different lengths.
        mask = batch.get("attention_mask", hidden.new_ones(hidden.shape[:2])).bool()
        return hidden[mask], mask.sum(dim=1)

    space = space or feature_space(encoder, layers, engine)
    compute = _computing(encoder, rows, engine, batch_tokens, progress, run)
    return _kept(store, space, keys, compute, progress)


def pooled_features(
    encoder: Encoder,
    rows: Sequence[Any] | Preprocessed,
    keys: Sequence[bytes] | Keys,
    *,
    store: Store,
    engine: Engine,
    batch_tokens: int = 2048,
    progress: Progress | None = None,
    space: str | None = None,
) -> npt.NDArray[np.float32]:
    """The encoder's pooled vector of each row.

    Args:
        encoder: The encoder; its mode and its weights are left as they are.
        rows: Rows, or what `encoder.preprocess` made of them. Only missing rows are looked at.
        keys: The content key of each row, as `text_keys` gives it.
        store: Where the rows are kept.
        engine: The arithmetic; weights in 16 bits are a copy.
        batch_tokens: Padded tokens of a batch at the most. Default: 2,048, which stays in cache.
        progress: Called with the number of rows that are done; see `prefix_features`.
        space: See `prefix_features`.

    Returns:
        float32 [rows, d], whatever the number type they were computed in.

    Raises:
        ModelError: If the encoder gives something that is not finite; nothing of it is kept.
        TransfuseError: If the store cannot be written.
    """

    def run(ready: Encoder, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = ready(batch).pooled
        return pooled, torch.ones(len(pooled), dtype=torch.int64)

    space = space or feature_space(encoder, encoder.depth, engine, pooled=True)
    compute = _computing(encoder, rows, engine, batch_tokens, progress, run)
    stored = _kept(store, space, keys, compute, progress)
    return stored.matrix() if len(stored) else np.empty((0, encoder.dim), np.float32)


def _kept(
    store: Store,
    space: str,
    keys: Sequence[bytes] | Keys,
    compute: Compute,
    progress: Progress | None,
) -> StoredFeatures:
    computed = 0

    def counting(indices: npt.NDArray[np.int64]) -> Features:
        nonlocal computed
        computed += len(indices)
        return compute(indices)

    stored = store.get(space, keys, counting)
    if progress is not None and len(stored) > computed:
        progress(len(stored) - computed)
    return stored


def _computing(
    encoder: Encoder,
    rows: Sequence[Any] | Preprocessed,
    engine: Engine,
    batch_tokens: int,
    progress: Progress | None,
    run: Callable[[Encoder, Batch], tuple[torch.Tensor, torch.Tensor]],
) -> Compute:
    """Runs the missing rows in batches by length and puts the results in the rows' order.

    `run` gives the vectors of a batch one row after the other, and how many each row has.
    """
    copies: list[Encoder] = []  # made at the first missing row, since most calls miss none

    def compute(indices: npt.NDArray[np.int64]) -> Features:
        if not copies:
            copies.append(encoder if engine.autocast else encoder.copied_as(engine.dtype))
        ready = copies[0]
        device = next(ready.parameters()).device
        if isinstance(rows, Preprocessed):
            tokens = rows.take(indices)
        else:
            tokens = encoder.preprocess([rows[index] for index in indices.tolist()])
        order: list[npt.NDArray[np.int64]] = []
        values: list[torch.Tensor] = []
        counts: list[torch.Tensor] = []
        with evaluating(ready), engine.apply(ready):
            batches = evaluation_batches(tokens.lengths, batch_tokens)
            for picked, batch in ahead(batches, lambda each: ready.collate(tokens.take(each))):
                found, lengths = run(ready, {key: part.to(device) for key, part in batch.items()})
                _check_finite(found, lengths, indices[picked])
                order.append(picked)
                values.append(found.cpu())
                counts.append(lengths.cpu())
                if progress is not None:
                    progress(len(picked))
        return _in_order(np.concatenate(order), torch.cat(values), torch.cat(counts).numpy())

    return compute


def _in_order(
    order: npt.NDArray[np.int64], values: torch.Tensor, counts: npt.NDArray[np.int64]
) -> Features:
    """Rows that were computed in some order, in the order of their numbers."""
    starts = np.cumsum(counts) - counts
    back = np.argsort(order)
    places = spans(starts[back], counts[back])
    return Features.from_tensor(values[torch.from_numpy(places)], counts[back])


def _check_finite(values: torch.Tensor, lengths: torch.Tensor, rows: npt.NDArray[np.int64]) -> None:
    finite = values.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        first = int((~finite).nonzero()[0, 0])
        place = int((lengths.cumsum(0) <= first).sum())
        raise ModelError(
            Problem(
                f"row {rows[place]}",
                "the encoder gives a vector that is not finite",
                fix="Use a float32 engine, or a model without NaN in its weights.",
            )
        )
