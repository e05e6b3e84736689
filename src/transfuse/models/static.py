"""A static encoder: one vector for each token, wherever it stands, and their mean for a text.

A processor needs microseconds for a text, most of them to cut it into tokens. `distil.py` makes
the vectors from a pretrained encoder.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast

from transfuse.data.ragged import Ragged
from transfuse.errors import ModelError, Problem
from transfuse.models.copies import Held
from transfuse.models.encoder import Batch, Encoded, Encoder
from transfuse.models.portable import Portable, portable_texts
from transfuse.models.tokens import (
    pad_rows,
    padding_id,
    prepare_tokenizer,
    tokenise,
    tokenizer_identity,
)

__all__ = ["StaticBag", "StaticEncoder", "special_ids"]


class StaticBag(nn.Module):
    """Token vectors and their mean.

    Args:
        tokens: Number of tokens.
        dim: Length of their vectors.
        padding: The token whose vector is 0 and never trains: it fills short rows, and stands for
            a text without tokens.
    """

    def __init__(self, tokens: int, dim: int, padding: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, dim, padding_idx=padding)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The vectors of texts and of their tokens.

        Args:
            ids: Token ids, int64 [n, T].
            mask: 1 where a token is real, int64 [n, T].

        Returns:
            Vectors [n, dim] in at least 32 bits, 0 for a text without tokens; and [n, T, dim].
        """
        tokens = self.embedding(ids)
        return self.mean(tokens, mask), tokens

    @staticmethod
    def mean(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The mean of each row's real tokens.

        Args:
            tokens: Vectors [n, T, d].
            mask: 1 where a token is real, int64 [n, T].

        Returns:
            Vectors [n, d] in at least 32 bits.
        """
        wide = torch.promote_types(tokens.dtype, torch.float32)
        weights = mask.to(wide)
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
        return torch.bmm(weights[:, None], tokens.to(wide))[:, 0]

    def reset(self, seed: int) -> None:
        """Draws fresh vectors of a length near 1, in place.

        Args:
            seed: The seed.
        """
        weight = self.embedding.weight
        generator = torch.Generator().manual_seed(seed)
        fresh = torch.randn(weight.shape, generator=generator) / weight.shape[1] ** 0.5
        fresh[self.embedding.padding_idx] = 0.0
        with torch.no_grad():
            weight.copy_(fresh)


class StaticEncoder(Encoder):
    """A bag of token vectors with its tokenizer, as one layer.

    Rows have no special tokens: a vector that every text has tells no texts apart.

    Args:
        bag: The vectors.
        tokenizer: A fast tokenizer; a copy of it that adds no special tokens is used.
        max_length: Longest text in tokens. Default 128.

    Raises:
        ModelError: If the tokenizer does not fit.
    """

    def __init__(self, bag: StaticBag, tokenizer: Any, *, max_length: int = 128) -> None:
        super().__init__()
        self.backbone = bag
        self.max_length = max_length
        self._tokenizer = Held(_plain(tokenizer, max_length))
        known, padding = bag.embedding.num_embeddings, padding_id(self.tokenizer)
        if len(self.tokenizer) > known or bag.embedding.padding_idx != padding:
            raise ModelError(
                Problem(
                    "tokenizer",
                    f"it has {len(self.tokenizer)} tokens and fills rows with {padding}, the "
                    f"model knows {known} and fills with {bag.embedding.padding_idx}",
                    "a tokenizer and a model that belong together",
                )
            )
        self.dim = bag.embedding.embedding_dim
        self.depth = 1

    @property
    def tokenizer(self) -> Any:
        """The tokenizer; copies of the encoder share it."""
        return self._tokenizer.value

    @cached_property
    def preprocessing(self) -> str:
        """See `Encoder.preprocessing`."""
        rules = f"static {self.max_length} {tokenizer_identity(self.tokenizer)}"
        return hashlib.blake2b(rules.encode(), digest_size=16).hexdigest()

    def layers(self) -> list[list[nn.Module]]:
        """See `Encoder.layers`."""
        return [[self.backbone.embedding]]

    def preprocess(self, rows: Sequence[str]) -> Ragged:
        """See `Encoder.preprocess`; a text without tokens is one padding token."""
        filler = padding_id(self.tokenizer)
        return tokenise(self.tokenizer, rows, self.max_length, filler=filler)

    def collate(self, rows: Any) -> Batch:
        """See `Encoder.collate`."""
        ids, mask = pad_rows(rows, padding_id(self.tokenizer))
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """See `Encoder.forward`.

        Raises:
            ValueError: If the batch lacks what `from_layer` needs.
        """
        mask = batch["attention_mask"]
        if from_layer == 0:
            pooled, tokens = self.backbone(batch["input_ids"], mask)
            return Encoded(pooled, tokens, mask)
        if from_layer != 1 or "hidden" not in batch:
            raise ValueError(
                f"expected a batch with `hidden` and from_layer 1, got {from_layer} and "
                f"{sorted(batch)}"
            )
        return Encoded(self.backbone.mean(batch["hidden"], mask), batch["hidden"], mask)

    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """See `Encoder.prefix`."""
        if layers != 1:
            raise ValueError(f"expected layers to be 1, got {layers}")
        with torch.no_grad():
            found: torch.Tensor = self.backbone.embedding(batch["input_ids"])
            return found

    def can_resume(self, layers: int) -> bool:
        """See `Encoder.can_resume`."""
        return 0 <= layers <= 1

    def probe_batch(self) -> Batch:
        """See `Encoder.probe_batch`."""
        padding = padding_id(self.tokenizer)
        first, second, *_ = (number for number in range(3) if number != padding)
        batch = self.collate([[first, second, second, first], [second], [padding]])
        device = self.backbone.embedding.weight.device
        return {name: value.to(device) for name, value in batch.items()}

    def portable(self, folder: Path) -> Portable:
        """See `Encoder.portable`."""
        # An empty text either has tokens, or is what stands for all texts without any.
        filler = int(self.preprocess([""])[0][0])
        batch = self.probe_batch()
        return portable_texts(folder, self.tokenizer, self.max_length, filler, batch)

    def reset(self, seed: int) -> None:
        """See `Encoder.reset`."""
        self.backbone.reset(seed)

    def fingerprint(self, layers: int) -> str:
        """See `Encoder.fingerprint`."""
        weight = self.backbone.embedding.weight.detach().cpu().contiguous()
        said = f"static {layers} {self.preprocessing} {weight.dtype} {tuple(weight.shape)}"
        digest = hashlib.blake2b(said.encode(), digest_size=16)
        digest.update(weight.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def special_ids(tokenizer: Any) -> frozenset[int]:
    """The tokens that say nothing about a text; the one for unknown words is not among them.

    Args:
        tokenizer: A fast tokenizer.

    Returns:
        Their ids.
    """
    other = ("pad", "cls", "sep", "bos", "eos", "mask")
    silent = {getattr(tokenizer, f"{name}_token_id", None) for name in other} - {None}
    unknown = {tokenizer.unk_token_id} - silent
    return frozenset({*tokenizer.all_special_ids, *silent} - unknown)


def _plain(tokenizer: Any, max_length: int) -> Any:
    """A tokenizer of the same rules and words that adds no special tokens."""
    tokenizer = prepare_tokenizer(tokenizer, max_length)
    if tokenizer.pad_token is None:
        raise ModelError(
            Problem(
                type(tokenizer).__name__,
                "it has neither a padding nor an end-of-text token",
                "a token that fills short rows",
            )
        )
    rules = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    rules.no_padding()
    rules.no_truncation()
    rules.post_processor = None
    return PreTrainedTokenizerFast(
        tokenizer_object=rules,
        pad_token=tokenizer.pad_token,
        unk_token=tokenizer.unk_token,
        model_max_length=max_length,
        padding_side="right",
        truncation_side="right",
    )
