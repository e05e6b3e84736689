"""Static students: an encoder's vector of each of its tokens alone, in fewer dimensions.

After Model2Vec (Tulkens and van Dongen, 2024, 'Model2Vec: fast state-of-the-art static
embeddings').
"""

import hashlib
import re
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.data.ragged import Ragged
from transfuse.errors import ModelError, Problem
from transfuse.models.engine import Engine
from transfuse.models.features import pooled_features
from transfuse.models.principal import principal
from transfuse.models.static import StaticBag, StaticEncoder, special_ids
from transfuse.models.store import Store
from transfuse.models.text import TextEncoder
from transfuse.models.tokens import padding_id

__all__ = ["Weighting", "distil_static", "zipf_weights"]

Weighting = Literal["sif", "none"]
"""How much a token counts in the mean."""

# Places in a vocabulary that no text ever fills.
_RESERVED = re.compile(r"[\[<]unused_?\d+[\]>]")


def distil_static(
    encoder: TextEncoder,
    *,
    store: Store,
    engine: Engine,
    dim: int = 256,
    weighting: Weighting = "sif",
    max_length: int = 128,
) -> StaticEncoder:
    """The static student of an encoder, without any text.

    The encoder's vectors of its tokens are kept in the store, so that only the first student of an
    encoder takes a pass over the vocabulary.

    Args:
        encoder: The teacher; it stays as it is.
        store: Where its vectors are kept.
        engine: The arithmetic that computes them.
        dim: Length of the student's vectors, at most that of the encoder's. Default 256.
        weighting: `sif`, see `zipf_weights`, or `none`: all tokens count alike. Default `sif`.
        max_length: Longest text of the student, in tokens. Default 128.

    Returns:
        The student, in evaluation mode.

    Raises:
        ModelError: If the encoder's vectors are shorter than `dim`, or its tokenizer will not do.
    """
    if dim > encoder.dim:
        raise ModelError(
            Problem("model.dim", f"{dim}, of an encoder with {encoder.dim}", f"1 to {encoder.dim}")
        )
    tokenizer = encoder.tokenizer
    words = _words(tokenizer)
    rows = _alone(tokenizer, words)
    keys = [hashlib.blake2b(ids.tobytes(), digest_size=16).digest() for ids in rows]
    vectors = pooled_features(encoder, rows, keys, store=store, engine=engine)
    found = principal(torch.from_numpy(vectors), dim)
    if weighting == "sif":
        found *= torch.from_numpy(zipf_weights(len(words)))[:, None]
    bag = StaticBag(_size(tokenizer), dim, padding_id(tokenizer))
    with torch.no_grad():
        bag.embedding.weight.zero_()
        bag.embedding.weight[torch.from_numpy(words)] = found
    return StaticEncoder(bag, tokenizer, max_length=max_length).eval()


def zipf_weights(words: int, a: float = 1e-4) -> NDArray[np.float32]:
    """Smooth inverse frequencies of words that are sorted from frequent to rare, w = a / (a + p).

    (Arora, Liang and Ma, 2017, 'A simple but tough-to-beat baseline for sentence embeddings'.) The
    probability p of the word at rank r is taken from Zipf's law, p = (1/r) / sum of all 1/r;
    vocabularies are about in this order.

    Args:
        words: How many there are.
        a: The smaller, the less frequent words count. Default 1e-4.

    Returns:
        float32 [words], rising, between 0 and 1.
    """
    shares = 1.0 / np.arange(1, words + 1)
    shares /= shares.sum()
    return (a / (a + shares)).astype(np.float32)


def _words(tokenizer: Any) -> NDArray[np.int64]:
    """The ids of the tokens that stand for something, in the vocabulary's order."""
    silent = special_ids(tokenizer)
    kept = [
        number
        for token, number in tokenizer.get_vocab().items()
        if number not in silent and not _RESERVED.fullmatch(token)
    ]
    return np.array(sorted(kept), dtype=np.int64)


def _size(tokenizer: Any) -> int:
    return max(len(tokenizer), 1 + int(max(tokenizer.get_vocab().values())))


def _alone(tokenizer: Any, words: NDArray[np.int64]) -> Ragged:
    """Each token as a text of its own, with the special tokens that the tokenizer adds."""
    whole = tokenizer("a")["input_ids"]
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    start = next(place for place in range(len(whole)) if whole[place : place + len(inner)] == inner)
    before, after = whole[:start], whole[start + len(inner) :]
    return Ragged.from_rows([[*before, number, *after] for number in words.tolist()])
