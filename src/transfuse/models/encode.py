"""Texts to vectors, as fast as the machine's arithmetic allows without changing the answer."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from transfuse.data.batching import evaluation_batches
from transfuse.data.rows import Preprocessed
from transfuse.models.ahead import ahead
from transfuse.models.encoder import Encoder
from transfuse.models.engine import Engine, probe_engine

__all__ = ["encode"]

Rows = npt.NDArray[np.int64]

_SAMPLE = 8


def encode(
    encoder: Encoder,
    texts: Sequence[str],
    engine: Engine | None = None,
    *,
    normalize: bool = False,
    batch_tokens: int = 1536,
    tolerance: float = 1e-3,
    progress: Callable[[int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """The pooled vectors of rows.

    Texts are sorted by length and packed into batches that stay in the processor's cache. A few
    texts are encoded in plain arithmetic too; where the engine's vectors of them differ by more
    than the tolerance, plain arithmetic is used for all.

    Args:
        encoder: The encoder; its mode and its weights are left as they are.
        texts: The rows: texts, or whatever the encoder reads.
        engine: The arithmetic. Default: the fastest one here, see `probe_engine`.
        normalize: Whether each vector is scaled to length 1. Default False.
        batch_tokens: Most tokens in a batch, padding included. Default 1,536.
        tolerance: Most that the cosine to plain arithmetic may fall short of 1. Default 0.001.
        progress: Called with the number of texts of each batch that is done. Default: nobody.

    Returns:
        Vectors float32 [texts, dim], in the texts' order.
    """
    tokens = encoder.preprocess(texts)
    vectors = np.empty((len(tokens), encoder.dim), dtype=np.float32)
    if not len(tokens):
        return vectors
    engine = probe_engine() if engine is None else engine
    if engine != Engine() and not _agrees(encoder, tokens, engine, tolerance):
        engine = Engine()
    batches = evaluation_batches(tokens.lengths, batch_tokens)
    for rows, found in zip(batches, _run(encoder, tokens, batches, engine), strict=True):
        vectors[rows] = found
        if progress is not None:
            progress(len(rows))
    if normalize:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)
    return vectors


def _run(
    encoder: Encoder, tokens: Preprocessed, batches: Sequence[Rows], engine: Engine
) -> Iterator[npt.NDArray[np.float32]]:
    """The vectors of each batch in turn."""
    device = next(encoder.parameters()).device
    ready = encoder.copied_as(engine.dtype)
    with torch.inference_mode(), engine.apply(ready):
        for _, batch in ahead(batches, lambda rows: encoder.collate(tokens.take(rows))):
            batch = {name: value.to(device) for name, value in batch.items()}
            yield ready(batch).pooled.float().cpu().numpy()


def _agrees(encoder: Encoder, tokens: Preprocessed, engine: Engine, tolerance: float) -> bool:
    """Whether an engine gives this model's plain vectors, tried on texts of all lengths."""
    order = np.argsort(tokens.lengths, kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(_SAMPLE, len(order))).astype(np.int64)]
    (plain,) = _run(encoder, tokens, [rows], Engine())
    (fast,) = _run(encoder, tokens, [rows], engine)
    lengths = np.linalg.norm(plain, axis=1) * np.linalg.norm(fast, axis=1)
    # Not by division: the vector of a text without tokens may be 0.
    return bool(np.all((plain * fast).sum(axis=1) >= (1.0 - tolerance) * lengths))
