"""Classification by entailment: does the row say what the label's hypothesis says?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from transfuse.answering.base import Answerer, Open
from transfuse.errors import ModelError, Problem
from transfuse.models.heads import label_names
from transfuse.models.quiet import quiet_loading
from transfuse.models.source import open_source, pretrained
from transfuse.models.tokens import padding_id, prepare_tokenizer

__all__ = ["EntailmentModel"]

_PAIRS = 32
"""Pairs of a batch."""

_ABOUT = "entailment.json"


@dataclass(frozen=True)
class EntailmentModel(Answerer):
    """A model that entails, and the hypotheses that it is asked about."""

    network: Any
    """A classification model of transformers with an output named entailment."""

    tokenizer: Any
    hypotheses: tuple[tuple[str, ...], ...]
    """The texts of each label; the answers to several are averaged."""

    max_length: int
    offsets: NDArray[np.float64]
    """What is subtracted from each label's logit, [labels]."""

    @classmethod
    def open(cls, name: str | Path, hypotheses: Sequence[Sequence[str]], max_length: int) -> Self:
        """Opens a model that was trained for entailment.

        Args:
            name: A folder, an installed package that carries a model, or a hub id.
            hypotheses: The texts of each label.
            max_length: Longest pair of row and hypothesis in tokens.

        Raises:
            ModelError: If it cannot be read, or no output of it is named entailment.
        """
        source = open_source(name)
        network, fresh = pretrained(AutoModelForSequenceClassification, source)
        if fresh:
            raise ModelError(
                Problem(
                    str(name), "its weights hold no classification head", "a model that entails"
                )
            )
        _entailment(network.config, str(name))
        tokenizer = source.tokenizer
        # Some architectures count positions from the padding id on, two of them further.
        positions = getattr(network.config, "max_position_embeddings", None) or 10**9
        longest = min(max_length, tokenizer.model_max_length, positions - 2)
        prepare_tokenizer(tokenizer, longest)
        if network.config.pad_token_id is None:
            network.config.pad_token_id = padding_id(tokenizer)
        kept = tuple(tuple(texts) for texts in hypotheses)
        return cls(network.eval(), tokenizer, kept, longest, np.zeros(len(kept)))

    @property
    def parameters(self) -> int:
        """The number of the network's weights."""
        return sum(weight.numel() for weight in self.network.parameters())

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The log-odds that each text entails each label's hypotheses, less the offsets.

        Args:
            texts: The texts.

        Returns:
            [texts, labels].
        """
        asked = [text for texts in self.hypotheses for text in texts]
        pairs = [(text, hypothesis) for text in texts for hypothesis in asked]
        odds = self._odds(pairs).reshape(len(texts), len(asked))
        ends = np.cumsum([len(texts) for texts in self.hypotheses])
        parts = np.split(odds, ends[:-1], axis=1)
        return np.stack([part.mean(axis=1) for part in parts], axis=1) - self.offsets

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of the labels, [texts, labels]."""
        values = self.logits(texts)
        shares = np.exp(values - values.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return probabilities

    def calibrated(self, texts: Sequence[str]) -> Self:
        """The same model with each label's mean logit over texts at 0.

        Args:
            texts: Unlabelled texts, at least one.
        """
        return replace(self, offsets=self.offsets + self.logits(texts).mean(axis=0))

    def save(self, folder: Path) -> None:
        """Write the model into a folder: what transformers writes, and the hypotheses."""
        with quiet_loading():
            self.network.config.name_or_path = ""  # no paths of this machine
            self.network.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        about = {
            "hypotheses": self.hypotheses,
            "max_length": self.max_length,
            "offsets": self.offsets.tolist(),
        }
        text = json.dumps(about, ensure_ascii=False, indent=2)
        (folder / _ABOUT).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, open_member: Open) -> Self:
        """See `Answerer.load`."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        opened = cls.open(folder, about["hypotheses"], about["max_length"])
        return replace(opened, offsets=np.array(about["offsets"]))

    def _odds(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Log-odds of entailment, [pairs]; unlike its logit they mean the same in every pair."""
        place = _entailment(self.network.config, type(self.network).__name__)
        device = next(self.network.parameters()).device
        # Pairs of like length share a batch, so that little padding is computed.
        order = np.argsort([-len(premise) - len(text) for premise, text in pairs], kind="stable")
        found = np.empty(len(pairs))
        for start in range(0, len(order), _PAIRS):
            rows = order[start : start + _PAIRS]
            batch = self.tokenizer(
                [pairs[row][0] for row in rows],
                [pairs[row][1] for row in rows],
                padding=True,
                truncation=True,
                max_length=self.max_length,
                return_tensors="pt",
            ).to(device)
            with torch.inference_mode():
                logits = self.network(**batch).logits.double()
            others = torch.cat([logits[:, :place], logits[:, place + 1 :]], dim=1)
            found[rows] = (logits[:, place] - others.logsumexp(dim=1)).cpu().numpy()
        return found


def _entailment(config: Any, where: str) -> int:
    """The output that stands for entailment, found by its name."""
    names = label_names(config)
    found = [place for place, name in enumerate(names) if name.casefold().startswith("entail")]
    if len(found) != 1 or len(names) < 2:
        raise ModelError(
            Problem(
                where,
                f"its outputs are {', '.join(map(repr, names))}",
                "one of several named `entailment`",
                "Use a model that was trained for natural language inference.",
            )
        )
    return found[0]
