"""A smaller vocabulary: the tokens that the target's texts use, and those that spell all else."""

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.compression.prune_cuts import (
    cut_weights,
    find_cuts,
)
from transfuse.compression.prune_rebuild import (
    one_network,
    rebuilt,
)
from transfuse.compression.prune_units import sizes
from transfuse.compression.trim_tokenizer import (
    Characters,
    first_tokens,
    kept_tokens,
    renumbered,
    rules_of,
    trimmed_tokenizer,
    unknown_id,
)
from transfuse.data import Ragged
from transfuse.errors import DataError, ModelError, Problem
from transfuse.models import Network, StaticEncoder, TextEncoder
from transfuse.models.anatomy import evaluating
from transfuse.models.encoder import close
from transfuse.models.resize import own_name, reconfigured
from transfuse.models.static import StaticBag
from transfuse.models.tokens import padding_id

__all__ = ["TrimVocabulary", "coverage"]

_CHECKED = 16
"""Texts on which the trimmed network must answer as the whole one does."""


@dataclass(frozen=True)
class TrimVocabulary(Stage):
    """Tokens that the target's texts do not use are left out, with their embeddings.

    Special tokens and those that spell single characters or bytes stay. A text whose tokens all
    stay is cut and answered exactly as before, so there is nothing to recover. After Abdaoui,
    Pradel and Sigel (2020), 'Load what you need: smaller versions of multilingual BERT'
    (arXiv:2010.05609).
    """

    min_count: int = 1
    """How often the texts that the model learnt from use a token that stays. Default: 1."""

    characters: Characters = "all"
    """Which single characters stay: `all`, or only those that are `seen` in these texts, which
    saves the other scripts of a multilingual model. Default: all."""

    frequent: int = 10_000
    """Tokens from the beginning of the vocabulary that stay too: nearly all vocabularies are in
    order of frequency, so these are what unseen texts need most. Default: 10,000."""

    corpus: str | None = None
    """A file of further texts of the language or domain, one a line, whose most frequent tokens
    stay too. Default: none."""

    corpus_tokens: int = 10_000
    """How many of the corpus's tokens stay. Default: 10,000."""

    def __post_init__(self) -> None:
        if self.min_count < 1 or self.corpus_tokens < 1:
            raise ValueError("min_count and corpus_tokens are at least 1")
        if self.frequent < 0:
            raise ValueError("frequent is 0 or above")

    @property
    def files(self) -> tuple[str, ...]:
        """See `Stage.files`."""
        return () if self.corpus is None else (self.corpus,)

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        (folder,) = models
        network = one_network(folder, "trim_vocabulary")
        if not hasattr(network.encoder, "tokenizer"):
            what = f"trim_vocabulary: it reads {', '.join(network.encoder.reads)}"
            raise ModelError(Problem(str(folder.path), what, "a model that reads texts"))
        old = cast(Any, network.encoder).tokenizer
        rules = rules_of(old)
        texts = evidence.train.texts()
        tell("counting tokens", 0, 3)
        kept = kept_tokens(rules, self._used(rules, texts), self.characters)
        kept = _with_ids_below_padding(network, kept)
        tell("trimming", 1, 3)
        smaller_rules = renumbered(rules, kept)
        tokenizer = trimmed_tokenizer(old, smaller_rules)
        smaller = _cut(network, np.array(kept), tokenizer)
        tell("comparing", 2, 3)
        _check(network, smaller, kept, texts[:_CHECKED])
        told = {
            "tokens": [_vectors(network)[1], len(kept)],
            "parameters": [sizes(network), sizes(smaller)],
            "validation": coverage(rules, smaller_rules, kept, evidence.validation.texts()),
        }
        tell("comparing", 3, 3)
        return Made(smaller, folder.task, told)

    def _used(self, rules: dict[str, Any], texts: Sequence[str]) -> set[int]:
        """Ids of the tokens that are used often enough."""
        used = {token for token, count in _counts(rules, texts).items() if count >= self.min_count}
        used |= set(first_tokens(rules, self.frequent))
        if self.corpus is not None:
            try:
                lines = Path(self.corpus).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(
                    Problem(self.corpus, f"cannot be read: {error}", "texts in UTF-8, one a line")
                ) from error
            used |= {token for token, _ in _counts(rules, lines).most_common(self.corpus_tokens)}
        return used


def coverage(
    before: Mapping[str, Any], after: Mapping[str, Any], kept: Sequence[int], texts: Sequence[str]
) -> dict[str, Any]:
    """What a trimmed tokenizer does to texts.

    Args:
        before: The rules before.
        after: The rules afterwards.
        kept: The tokens that stayed, by their ids before.
        texts: The texts.

    Returns:
        The share of texts that are cut otherwise (`changed`), the share of tokens that are unknown
        and the mean number of tokens a text, each before and after (`unknown`, `length`).
    """
    if not texts:
        return {}
    old = _rows_of(before, texts)
    new = [[kept[place] for place in row] for row in _rows_of(after, texts)]
    nameless = unknown_id(before)
    changed = sum(first != second for first, second in zip(old, new, strict=True))
    return {
        "changed": round(changed / len(texts), 4),
        "unknown": [_share(rows, nameless) for rows in (old, new)],
        "length": [round(sum(map(len, rows)) / len(texts), 3) for rows in (old, new)],
    }


def _share(rows: Sequence[list[int]], wanted: int | None) -> float:
    """The share of tokens that are the wanted one."""
    total = sum(map(len, rows))
    found = 0 if wanted is None else sum(row.count(wanted) for row in rows)
    return round(found / max(1, total), 6)


def _rows_of(rules: Mapping[str, Any], texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts, uncut and without special ones around them."""
    tokenizer = Tokenizer.from_str(json.dumps(rules))
    return [each.ids for each in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _counts(rules: Mapping[str, Any], texts: Sequence[str]) -> Counter[int]:
    """How often each token occurs in texts; the word that a row ends in counts whole."""
    return Counter(token for row in _rows_of(rules, texts) for token in row)


def _vectors(network: Network) -> tuple[nn.Module, int]:
    """What the embeddings of tokens belong to, and how many there are."""
    encoder = network.encoder
    if isinstance(encoder, StaticEncoder):
        return encoder.backbone, encoder.backbone.embedding.num_embeddings
    assert isinstance(encoder, TextEncoder)
    words = cast(Any, encoder.backbone).get_input_embeddings()
    return encoder.backbone, int(words.num_embeddings)


def _with_ids_below_padding(network: Network, kept: Sequence[int]) -> list[int]:
    """The kept tokens, and those before the padding where positions are counted from its id on."""
    backbone, count = _vectors(network)
    others = [
        module.padding_idx
        for module in backbone.modules()
        if isinstance(module, nn.Embedding) and module.num_embeddings != count
    ]
    first = max((place + 1 for place in others if place is not None), default=0)
    return sorted({*kept, *range(first)})


def _cut(network: Network, kept: NDArray[np.int64], tokenizer: Any) -> Network:
    """The network with the embeddings of some tokens alone."""
    encoder = network.encoder
    if isinstance(encoder, StaticEncoder):
        weight = encoder.backbone.embedding.weight
        bag = StaticBag(len(kept), encoder.dim, padding_id(tokenizer)).to(weight.dtype)
        bag.embedding.weight.data.copy_(weight.detach()[torch.from_numpy(kept)])
        bag.requires_grad_(weight.requires_grad)
        (column,) = network.encoders
        made = StaticEncoder(bag, tokenizer, max_length=encoder.max_length)
        heads: dict[str, Any] = dict(copy.deepcopy(network.heads).items())
        return Network({column: made}, heads, copy.deepcopy(network.fusion)).eval()
    assert isinstance(encoder, TextEncoder)
    config = reconfigured(encoder.config, _settings(encoder.config, kept))
    _, count = _vectors(network)
    cuts = find_cuts(encoder, config)
    if not cuts or any(cut.length != count for cut in cuts):
        name = type(encoder.backbone).__name__
        raise ModelError(Problem(name, "its config's vocab_size is not that of its embeddings"))
    weights = cut_weights(encoder.backbone.state_dict(), dict.fromkeys(cuts, kept))
    return rebuilt(network, config, weights, tokenizer=tokenizer)


def _settings(config: Any, kept: NDArray[np.int64]) -> dict[str, Any]:
    """What a config says of its vocabulary, for some of its tokens."""
    places: dict[Any, int] = {old: new for new, old in enumerate(kept.tolist())}
    changed: dict[str, Any] = {own_name(config, "vocab_size"): len(kept)}
    for name, value in config.to_dict().items():
        if not name.endswith(("_token_id", "_token_ids")) or value is None:
            continue
        several = isinstance(value, list | tuple)
        # A token that the tokenizer does not have says nothing.
        found = [places[each] for each in (value if several else [value]) if each in places]
        changed[name] = found if several else next(iter(found), None)
    return changed


def _check(network: Network, smaller: Network, kept: Sequence[int], texts: Sequence[str]) -> None:
    """Refuse a network that answers otherwise to texts that are cut as before.

    Raises:
        ModelError: If it does.
    """
    pairs = []
    before, after = (cast(Ragged, each.encoder.preprocess(texts)) for each in (network, smaller))
    for old, new in zip(before, after, strict=True):
        if len(old) == len(new) and [kept[place] for place in new] == old.tolist():
            pairs.append((old, new))
    if not pairs:
        return
    answers = []
    for model, rows in zip((network, smaller), zip(*pairs, strict=True), strict=True):
        with evaluating(model):
            answers.append(model(model.encoder.collate([row.tolist() for row in rows])).logits)
    if not all(close(wanted, answers[1][name]) for name, wanted in answers[0].items()):
        raise ModelError(
            Problem(
                type(network.encoder).__name__,
                "with fewer tokens it answers otherwise to texts that are cut as before",
                "an encoder that knows tokens by their embeddings alone",
            )
        )
