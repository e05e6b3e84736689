"""Pretrained detectors and segmenters of transformers, opened as an encoder and their own head.

What transformers calls the base model becomes the encoder, and what stands on it the head: YOLOS,
DETR and Table Transformer for boxes, SegFormer for masks. So every tuning and objective works on
them, and a folder that is saved opens in plain transformers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    MODEL_FOR_OBJECT_DETECTION_MAPPING,
    MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
    AutoConfig,
    AutoModelForObjectDetection,
    AutoModelForSemanticSegmentation,
)

from transfuse._hub_scenes import TransfuseScenesConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.encoder import Batch, Encoded, Encoder
from transfuse.models.find import fetch_model, weights_in
from transfuse.models.heads import Head, label_names
from transfuse.models.images.batch_norm import BatchNorm
from transfuse.models.images.efficientnet_lite import is_lite
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.processing import (
    Processing,
    default_settings,
    read_settings,
    resized_settings,
)
from transfuse.models.network import Network
from transfuse.models.quiet import quiet_loading
from transfuse.models.scenes.pyramid import Pyramid, unpacked
from transfuse.models.scenes.whole import whole_settings
from transfuse.models.source import Source, pretrained, seeded

__all__ = ["NativePlacesHead", "native_scenes"]

Kind = Literal["detection", "segmentation"]

_AUTOS: dict[str, Any] = {
    "detection": AutoModelForObjectDetection,
    "segmentation": AutoModelForSemanticSegmentation,
}
_BOX_PARTS = ("class_labels_classifier", "bbox_predictor")
_MASK_PART = "decode_head"
_LEVELS = 4
_USUAL = 224


class NativePlacesHead(Head):
    """The own head of a pretrained detector or segmenter.

    Args:
        model: The whole model; its base model is taken out.
        kind: `detection` or `segmentation`.
        size: Side of the pictures in pixels.
        grid: Rows and columns of the answer of a segmenter. Default: its own.

    Raises:
        ModelError: If the model's head is of no kind that is known here.
    """

    deep = True

    def __init__(self, model: Any, kind: Kind, grid: int = 1) -> None:
        super().__init__()
        parts = _BOX_PARTS if kind == "detection" else (_MASK_PART,)
        if not all(isinstance(getattr(model, part, None), nn.Module) for part in parts):
            raise ModelError(
                Problem(
                    type(model).__name__,
                    f"its head has no {' and no '.join(parts)}",
                    "YOLOS, DETR or Table Transformer, or SegFormer",
                    "Take an image model without such a head: it gets one of Transfuse's own.",
                )
            )
        setattr(model, model.base_model_prefix, nn.Identity())
        self.model = model
        self.kind = kind
        self.grid = grid
        self.labels = label_names(model.config)
        self.problem_type = None
        queries = getattr(model.config, "num_detection_tokens", None)
        self.queries = int(queries or getattr(model.config, "num_queries", None) or 0)
        each = self.queries * (len(self.labels) + 5)
        self.outputs = each if kind == "detection" else len(self.labels) * grid**2

    def forward(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
        """See `Head.forward`; without tokens the answer is not a number, since there is none."""
        if encoded.tokens is None:
            return encoded.pooled.new_full((len(encoded.pooled), self.outputs), torch.nan)
        tokens = encoded.tokens
        if not torch.is_autocast_enabled(tokens.device.type):
            tokens = tokens.to(next(self.parameters()).dtype)
        if self.kind == "detection":
            queries = tokens[:, -self.queries :]
            said = self.model.class_labels_classifier(queries)
            return torch.cat([said, self.model.bbox_predictor(queries)], dim=2).flatten(1)
        maps = unpacked(tokens, self.levels)[::-1]
        logits = self.model.decode_head(maps)
        return functional.interpolate(logits, (self.grid, self.grid), mode="bilinear").flatten(1)

    def bind(self, encoder: Encoder) -> None:
        """Tells a segmenter's head which maps it is given.

        Args:
            encoder: The encoder that stands before it.
        """
        if isinstance(encoder, Pyramid):
            self.levels = encoder.levels

    @property
    def linear(self) -> None:
        """See `Head.linear`; it is not."""
        return None

    def reset(self, seed: int) -> None:
        """See `Head.reset`; as transformers draws a new model's head."""
        with seeded(seed), quiet_loading():
            fresh = _AUTOS[self.kind].from_config(self.model.config)
        mine = set(self.model.state_dict())
        state = {name: value for name, value in fresh.state_dict().items() if name in mine}
        self.model.load_state_dict(state)

    def save(self, backbone: nn.Module, folder: Path) -> None:
        """Writes the whole model, as transformers writes it.

        Args:
            backbone: The base model, out of the encoder.
            folder: Where to write.
        """
        prefix = self.model.base_model_prefix
        setattr(self.model, prefix, backbone)
        try:
            with quiet_loading():
                self.model.save_pretrained(folder)
        finally:
            setattr(self.model, prefix, nn.Identity())


def native_scenes(
    name: str | Path,
    kind: Kind,
    labels: Sequence[str] | None = None,
    *,
    task: str = "target",
    column: str = "image",
    grid: int = 1,
    size: int | None = None,
    batch_norm: BatchNorm = "frozen",
    seed: int = 0,
    allow_pickle: bool = False,
) -> Network | None:
    """Opens a pretrained detector or segmenter.

    Args:
        name: A folder, an installed package that carries a model, or a hub id.
        kind: `detection` or `segmentation`.
        labels: Names of the classes. Where they are not the stored ones in this order, the layer
            that names classes is fresh. Default: the stored ones.
        task: The head's name. Default: target.
        column: The encoder's name. Default: image.
        grid: Rows and columns of a segmenter's answer. Default: 1.
        size: Side of the pictures in pixels; what is not square is squeezed. Default: what the
            model was trained on.
        batch_norm: What becomes of BatchNorm's statistics in training. Default `frozen`.
        seed: Seed of what is fresh. Default: 0.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The network, in evaluation mode; None for a model that has no such head.

    Raises:
        ModelError: If it cannot be read, or has a head of another kind.
    """
    if is_lite(name):
        return None
    folder = fetch_model(name)
    if not (folder / "config.json").is_file():
        return None
    known = (
        MODEL_FOR_OBJECT_DETECTION_MAPPING
        if kind == "detection"
        else MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING
    )
    with quiet_loading():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    asked = any(kind in str(each) for each in _heads_named(config))
    if type(config) not in known or isinstance(config, TransfuseScenesConfig) or not asked:
        return None
    if labels is not None and label_names(config) != tuple(labels):
        config.id2label = dict(enumerate(labels))
        config.label2id = {each: place for place, each in config.id2label.items()}
    safe = weights_in(folder, allow_pickle=allow_pickle)
    options = {"dtype": torch.float32, "use_safetensors": safe, "trust_remote_code": False}
    source = Source(folder, config, None, folder, options)
    model, _ = pretrained(_AUTOS[kind], source, seed=seed, ignore_mismatched_sizes=True)
    backbone = getattr(model, model.base_model_prefix)
    processing = _processing(folder, config, size)
    head = NativePlacesHead(model, kind, grid)
    encoder: Encoder = ImageEncoder(backbone, config, processing, batch_norm=batch_norm)
    if kind == "segmentation":
        encoder = Pyramid(encoder, _LEVELS, even=False)
    head.bind(encoder)
    return Network({column: encoder}, {task: head}).eval()


def _heads_named(config: Any) -> list[str]:
    """What a config says of the heads of its model, in words of ours."""
    words = {"ObjectDetection": "detection", "SemanticSegmentation": "segmentation"}
    named = getattr(config, "architectures", None) or []
    return [ours for each in named for theirs, ours in words.items() if theirs in each]


def _processing(folder: Path, config: Any, size: int | None) -> Processing:
    """Whole pictures in one square, whatever sides the model was trained on."""
    settings = read_settings(folder)
    trained = getattr(config, "image_size", None) or _USUAL
    side = size or (trained if isinstance(trained, int) else min(trained))
    usual = default_settings(side)
    if settings is not None:
        colours = ("image_mean", "image_std")
        told: dict[str, Any] = {name: settings[name] for name in colours if name in settings}
        usual = resized_settings({**usual, **told}, side)
    return Processing.read(whole_settings(Processing.read(usual)))
