"""CLIP and SigLIP checkpoints of transformers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModel

from transfuse.errors import ModelError, Problem
from transfuse.models.images.processing import (
    PROCESSOR_FILE,
    Processing,
    read_settings,
    written_settings,
)
from transfuse.models.images.rows import pixels_of
from transfuse.models.pairs.base import PairModel, Vectors
from transfuse.models.quiet import quiet_loading
from transfuse.models.source import open_source, pretrained
from transfuse.models.tokens import prepare_tokenizer

__all__ = ["PairCheckpoint"]

_ROWS = 32


class PairCheckpoint(PairModel):
    """A CLIP or SigLIP checkpoint of transformers, as it was trained.

    Args:
        model: The model, with `get_text_features` and `get_image_features`.
        tokenizer: Its tokenizer.
        processing: How a picture becomes its pixels.
    """

    def __init__(self, model: Any, tokenizer: Any, processing: Processing) -> None:
        self.model = model.eval()
        self._tokenizer = tokenizer
        self._processing = processing
        positions = model.config.text_config.max_position_embeddings
        self._longest = min(positions, tokenizer.model_max_length)
        prepare_tokenizer(tokenizer, self._longest)
        # SigLIP was trained on texts that are all of one length and has no mask.
        self._padding = "max_length" if "siglip" in model.config.model_type else "longest"

    @classmethod
    def open(cls, name: str | Path) -> Self:
        """Opens a checkpoint.

        Args:
            name: A folder, an installed package that carries a model, or a hub id.

        Raises:
            ModelError: If it cannot be read, or does not compare pictures with texts.
        """
        source = open_source(name)
        model, _ = pretrained(AutoModel, source)
        if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
            raise ModelError(
                Problem(
                    str(name),
                    f"is a {type(model).__name__}, which compares no pictures with texts",
                    "a model of `task: matching`, CLIP or SigLIP",
                )
            )
        settings = read_settings(source.folder)
        if settings is None:
            what = f"says nothing of its pictures: there is no {PROCESSOR_FILE}"
            raise ModelError(Problem(str(name), what))
        return cls(model, source.tokenizer, Processing.read(settings))

    @property
    def scale(self) -> float:
        """See `PairModel.scale`."""
        return float(self.model.logit_scale.detach().exp())

    @property
    def parameters(self) -> int:
        """See `PairModel.parameters`."""
        return sum(weight.numel() for weight in self.model.parameters())

    def pictures(self, rows: Sequence[Any]) -> Vectors:
        """See `PairModel.pictures`."""
        made = self._processing
        factor, offset = (torch.tensor(each)[:, None, None] for each in (made.factor, made.offset))
        found = []
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            pixels = pixels_of(some, made.pixels, made.size, made.needed)
            found.append(self._unit("image", pixel_values=pixels.float() * factor + offset))
        return np.concatenate(found)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """See `PairModel.texts`."""
        found = []
        for start in range(0, len(texts), _ROWS):
            batch = self._tokenizer(
                list(texts[start : start + _ROWS]),
                padding=self._padding,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            )
            asked = {"input_ids": batch["input_ids"]}
            if self._padding == "longest":
                asked["attention_mask"] = batch["attention_mask"]
            found.append(self._unit("text", **asked))
        return np.concatenate(found)

    def save(self, folder: Path) -> None:
        """See `PairModel.save`."""
        with quiet_loading():
            self.model.config.name_or_path = ""  # no paths of this machine
            self.model.save_pretrained(folder)
            self._tokenizer.save_pretrained(folder)
        settings = json.dumps(written_settings(self._processing), indent=2)
        (folder / PROCESSOR_FILE).write_text(settings, encoding="utf-8")

    def _unit(self, side: str, **given: torch.Tensor) -> Vectors:
        with torch.inference_mode():
            made = getattr(self.model, f"get_{side}_features")(**given)
            pooled = made if isinstance(made, torch.Tensor) else made.pooler_output
            return functional.normalize(pooled.float(), dim=-1).cpu().numpy()
