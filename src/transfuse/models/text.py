"""Text encoders of any `AutoModel` kind, encoder or decoder, behind the `Encoder` interface."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from transfuse.data.ragged import Ragged
from transfuse.errors import ModelError, Problem
from transfuse.models.anatomy import Anatomy, evaluating, examine, run_backbone
from transfuse.models.attention import attention_of, switch_attention
from transfuse.models.backbone import backbone_from_config
from transfuse.models.copies import Held
from transfuse.models.encoder import Batch, Encoded, close
from transfuse.models.pooling import Pooling, check_pooling, pool
from transfuse.models.portable import Portable, portable_texts
from transfuse.models.prints import computed, print_of
from transfuse.models.resizable import Resizable
from transfuse.models.resume import resuming, run_until
from transfuse.models.source import seeded
from transfuse.models.tokens import (
    pad_rows,
    padding_id,
    prepare_tokenizer,
    tokenise,
    tokenizer_identity,
)

__all__ = ["NativeSource", "TextEncoder"]

NativeSource = Literal["pooler", "cls", "last", "mean"]


class TextEncoder(Resizable):
    """A transformers backbone with its tokenizer.

    Args:
        backbone: The model without a head; for an encoder-decoder, its encoder.
        tokenizer: Its fast tokenizer; it is given a padding token if it has none.
        config: The config the backbone was built from.
        pooling: `mean`, `cls`, `last` or `native`: what the architecture itself feeds to a
            classification head (its pooler, or else the first token, or for a decoder the last).
            Default `native`.
        max_length: Longest text in tokens, at most what the model can read. Default 128.

    Raises:
        ModelError: For an unknown pooling, or a tokenizer that does not fit.
    """

    anatomy: Anatomy

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: Any,
        config: Any,
        *,
        pooling: Pooling = "native",
        max_length: int = 128,
    ) -> None:
        super().__init__()
        check_pooling(pooling)
        _check_vocabulary(backbone, tokenizer)
        self.backbone = backbone
        self.config = config
        self.max_length = min(max_length, _longest(backbone, config, tokenizer))
        self._tokenizer = Held(prepare_tokenizer(tokenizer, self.max_length))
        self._kind = type(backbone).__name__
        if getattr(config, "pad_token_id", None) is None:
            # The native heads of decoders look for it to find the last token.
            config.pad_token_id = padding_id(self.tokenizer)
        self.anatomy = examine(backbone, _hidden_layers(config), self._words())
        self.depth = 1 + len(self.anatomy.blocks)
        self.pooling: Pooling = pooling
        self.native_source: NativeSource = "cls"
        if self.anatomy.has_pooler:
            self.native_source = "pooler"
        elif self.anatomy.causal:
            self.native_source = "last"
        self._resumes: dict[int, bool] = {0: True}
        with evaluating(self):
            self.dim = self(self.probe_batch()).pooled.shape[-1]

    @property
    def tokenizer(self) -> Any:
        """The tokenizer; copies of the encoder share it."""
        return self._tokenizer.value

    @cached_property
    def preprocessing(self) -> str:
        """See `Encoder.preprocessing`."""
        rules = f"{self.max_length} {tokenizer_identity(self.tokenizer)}"
        return hashlib.blake2b(rules.encode(), digest_size=16).hexdigest()

    @property
    def pooling_used(self) -> NativeSource:
        """The pooling with `native` resolved."""
        return self.native_source if self.pooling == "native" else self.pooling

    def preprocess(self, rows: Sequence[str]) -> Ragged:
        """See `Encoder.preprocess`; texts are cut at `max_length` tokens."""
        return tokenise(self.tokenizer, rows, self.max_length)

    def collate(self, rows: Any) -> Batch:
        """See `Encoder.collate`."""
        ids, mask = pad_rows(rows, padding_id(self.tokenizer))
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """See `Encoder.forward`.

        Raises:
            ValueError: If the batch lacks what `from_layer` needs.
        """
        mask, options = batch["attention_mask"], self.anatomy.options
        if from_layer == 0:
            output = run_backbone(self.backbone, batch["input_ids"], mask, options)
        else:
            hidden = batch.get("hidden")
            if hidden is None or not 0 < from_layer <= self.depth:
                raise ValueError(
                    f"expected a batch with `hidden` and from_layer from 1 to {self.depth}, "
                    f"got from_layer={from_layer} and {sorted(batch)}"
                )
            if from_layer == self.depth:
                return Encoded(self._pooled(hidden, mask, None), hidden, mask)
            with resuming(self.anatomy, from_layer - 1, hidden):
                output = run_backbone(self.backbone, self.stand_in_ids(mask), mask, options)
        tokens = output.last_hidden_state
        return Encoded(self._pooled(tokens, mask, output), tokens, mask)

    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """See `Encoder.prefix`."""
        if not 0 < layers <= self.depth:
            raise ValueError(f"expected layers from 1 to {self.depth}, got {layers}")
        # Without blocks the first layer is the whole model; `depth - 1` is then 0, its number of
        # blocks, which asks for the last hidden state.
        block = layers - 1 if layers < self.depth else len(self.anatomy.blocks)
        with evaluating(self.backbone):
            return run_until(
                self.backbone, self.anatomy, block, batch["input_ids"], batch["attention_mask"]
            )

    def can_resume(self, layers: int) -> bool:
        """See `Encoder.can_resume`; tried at the first question, on a batch of two short rows."""
        if layers not in self._resumes:
            self._resumes[layers] = self._try_resume(layers)
        return self._resumes[layers]

    def fingerprint(self, layers: int) -> str:
        """See `Encoder.fingerprint`."""
        settings = {
            "kind": self._kind,
            "config": computed(self.config, "use_cache", "pad_token_id"),
            "preprocessing": self.preprocessing,
            "layers": layers,
            "pooling": self.pooling_used if layers >= self.depth else None,
        }
        return print_of(settings, self.layers()[:layers])

    def reset(self, seed: int) -> None:
        """See `Encoder.reset`."""
        with seeded(seed):
            fresh = self.fresh(self.config)
        self.backbone.load_state_dict(fresh.state_dict())

    def portable(self, folder: Path) -> Portable:
        """See `Encoder.portable`."""
        # An empty text either has tokens, or is what stands for all texts without any.
        filler = int(self.preprocess([""])[0][0])
        batch = self.probe_batch()
        return portable_texts(folder, self.tokenizer, self.max_length, filler, batch)

    def fresh(self, config: Any) -> nn.Module:
        """See `Resizable.fresh`."""
        return backbone_from_config(config, pooler=self.anatomy.has_pooler)

    def around(self, backbone: nn.Module, config: Any, tokenizer: Any = None) -> "TextEncoder":
        """See `Resizable.around`; with another tokenizer, if one is given."""
        made = TextEncoder(
            backbone,
            self.tokenizer if tokenizer is None else tokenizer,
            config,
            pooling=self.pooling,
            max_length=self.max_length,
        )
        made.native_source = self.native_source
        made.set_attention(self.attention)
        return made

    def set_attention(self, attention: str) -> bool:
        """See `Encoder.set_attention`; where the backbone lacks it nothing changes."""
        return switch_attention(self.backbone, attention)

    @property
    def attention(self) -> str:
        """How attention is computed now: `sdpa`, `eager` or another name of transformers."""
        return attention_of(self.backbone)

    def stand_in_ids(self, mask: torch.Tensor) -> torch.Tensor:
        """Ids that say no more than which tokens are real.

        Args:
            mask: Attention mask, int64 [n, T].

        Returns:
            Ids, int64 [n, T].
        """
        return torch.where(mask.bool(), self._words()[0], padding_id(self.tokenizer))

    def probe_batch(self) -> Batch:
        """See `Encoder.probe_batch`; one row is a tokenised text, with its special tokens."""
        first, second = self._words()
        rows = [[first, second, second, first, second], [second, first, first]]
        batch = self.collate([*rows, *(row.tolist() for row in self.preprocess(["a"]))])
        device = next(self.backbone.parameters()).device
        return {name: value.to(device) for name, value in batch.items()}

    def _words(self) -> tuple[int, int]:
        pad = padding_id(self.tokenizer)
        first, second, *_ = (number for number in range(3) if number != pad)
        return first, second

    def _pooled(self, tokens: torch.Tensor, mask: torch.Tensor, output: Any) -> torch.Tensor:
        if self.pooling_used != "pooler":
            return pool(tokens, mask, self.pooling_used)
        backbone: Any = self.backbone
        pooled: torch.Tensor = backbone.pooler(tokens) if output is None else output.pooler_output
        return pooled

    def _try_resume(self, layers: int) -> bool:
        if not 0 < layers <= self.depth:
            return False
        batch = self.probe_batch()
        rows, length = batch["attention_mask"].shape
        with evaluating(self):
            plain = self(batch)
            hidden = self.prefix(batch, layers)
            if hidden.shape[:2] != (rows, length):
                return False
            mask = batch["attention_mask"]
            at_end = layers == self.depth and self.pooling_used == "pooler"
            if at_end and not isinstance(getattr(self.backbone, "pooler", None), nn.Module):
                return False
            resumed = self({"hidden": hidden, "attention_mask": mask}, from_layer=layers)
            real = mask.bool()
            return close(plain.pooled, resumed.pooled) and close(
                plain.tokens[real], resumed.tokens[real]
            )


def _check_vocabulary(backbone: nn.Module, tokenizer: Any) -> None:
    rows = cast(Any, backbone).get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ModelError(
            Problem(
                type(backbone).__name__,
                f"the tokenizer has {len(tokenizer)} tokens, the model knows {rows}",
                "a tokenizer and a model that belong together",
            )
        )


def _hidden_layers(config: Any) -> int:
    text = config.get_text_config(decoder=False) if hasattr(config, "get_text_config") else config
    return int(getattr(text, "num_hidden_layers", 0) or 0)


def _longest(backbone: nn.Module, config: Any, tokenizer: Any) -> int:
    """The longest row the model can read: positions it has learned, and the tokenizer's limit."""
    words = cast(Any, backbone).get_input_embeddings()
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    for module in backbone.modules():
        if (
            isinstance(module, nn.Embedding)
            and module.num_embeddings == positions
            and module.padding_idx is not None
            and module is not words
        ):
            # RoBERTa and its kin count positions from the padding id on.
            positions -= module.padding_idx + 1
            break
    longest = int(min(positions, tokenizer.model_max_length))
    if longest < 2:
        raise ModelError(Problem("max_length", f"the model reads at most {longest} tokens"))
    return longest
