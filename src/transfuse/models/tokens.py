"""Texts to token ids, and rows of ids to padded tensors."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from transfuse.data.ragged import Ragged
from transfuse.errors import ModelError, Problem

__all__ = ["pad_rows", "padding_id", "prepare_tokenizer", "tokenise", "tokenizer_identity"]

_CHUNK = 1_000
_CHARACTERS_PER_TOKEN = 64


def prepare_tokenizer(tokenizer: Any, max_length: int) -> Any:
    """Settles what a tokenizer leaves open: a padding token, the side of padding, the length.

    Decoders often have no padding token; the end-of-text token takes its place, and the attention
    mask alone decides what counts.

    Args:
        tokenizer: A fast tokenizer of transformers; it is changed in place.
        max_length: Longest text in tokens, special ones included.

    Returns:
        The tokenizer.

    Raises:
        ModelError: If it is not a fast tokenizer.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            Problem(
                type(tokenizer).__name__,
                "this model's tokenizer has no fast version",
                "a tokenizer.json beside the weights",
                "Convert it once with transformers' AutoTokenizer and save it into the folder.",
            )
        )
    if tokenizer.pad_token_id is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    tokenizer.truncation_side = "right"
    tokenizer.model_max_length = max_length
    return tokenizer


def padding_id(tokenizer: Any) -> int:
    """The id that fills short rows: the tokenizer's padding token, or 0 where it has none."""
    return int(tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else 0


def tokenise(
    tokenizer: Any, texts: Sequence[str], max_length: int, *, filler: int | None = None
) -> Ragged:
    """Token ids of texts, cut on the right at a length.

    A very long cell is cut to 64 characters per token wanted before it is tokenised. Where that
    piece fills the row, nothing after it can change the row: tokenizers work from left to right,
    word by word, and the end of the piece is far beyond the last token kept. Where it does not
    (a run of spaces, one endless word), the whole text is tokenised after all.

    Args:
        tokenizer: A fast tokenizer.
        texts: The texts, tokenised 1,000 at a time.
        max_length: Longest row in tokens, special ones included.
        filler: What stands for a text without tokens. Default: the end-of-text, beginning or
            unknown token.

    Returns:
        One row per text, none of them empty: where a text has no token at all, its row is the
        filler.
    """
    filler = _filler(tokenizer) if filler is None else filler
    parts = []
    limit = _CHARACTERS_PER_TOKEN * max_length
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        rows = _ids(tokenizer, [text[:limit] for text in chunk], max_length)
        short = [
            place
            for place, (text, row) in enumerate(zip(chunk, rows, strict=True))
            if len(text) > limit and len(row) < max_length
        ]
        if short:
            whole = _ids(tokenizer, [chunk[place] for place in short], max_length)
            for place, row in zip(short, whole, strict=True):
                rows[place] = row
        parts.append(_ragged([row or [filler] for row in rows]))
    return Ragged.concatenate(parts)


def pad_rows(rows: Any, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads rows of ids on the right to the longest.

    Args:
        rows: Rows of ids, or a `Ragged`.
        pad: The id to pad with.

    Returns:
        Ids and mask, int64 [n, T] each.
    """
    ragged = rows if isinstance(rows, Ragged) else Ragged.from_rows(rows)
    lengths = ragged.lengths
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.full(mask.shape, pad, dtype=np.int64)
    ids[mask] = ragged.values
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def tokenizer_identity(tokenizer: Any) -> str:
    """A text that is equal for tokenizers that give equal ids (JSON).

    Args:
        tokenizer: A fast tokenizer.

    Returns:
        Its rules and vocabulary, without the state that calls leave behind.
    """
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    # The last call's truncation and padding are stored among the rules.
    return json.dumps({**rules, "truncation": None, "padding": None}, sort_keys=True)


def _ids(tokenizer: Any, texts: list[str], max_length: int) -> list[list[int]]:
    # Straight to the rules: transformers' own call makes offsets and several lists a text that
    # nobody reads, which takes longer than the tokens themselves.
    rules = tokenizer.backend_tokenizer
    rules.enable_truncation(max_length)
    rules.no_padding()
    return [found.ids for found in rules.encode_batch_fast(texts)]


def _ragged(rows: list[list[int]]) -> Ragged:
    lengths = [0, *map(len, rows)]
    values = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int32, count=sum(lengths))
    return Ragged(values, np.cumsum(lengths, dtype=np.int64))


def _filler(tokenizer: Any) -> int:
    for name in ("eos_token_id", "bos_token_id", "unk_token_id", "pad_token_id"):
        found = getattr(tokenizer, name)
        if found is not None:
            return int(found)
    return 0
