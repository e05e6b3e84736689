"""Pretrained detectors and segmenters of transformers, opened as an encoder and their own head.

How each is taken apart stands in `cuts.py`: YOLOS, DETR, Table Transformer and RT-DETR for boxes,
SegFormer and Mask2Former for masks. So every tuning and objective works on them, and a folder that
is saved opens in plain transformers.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

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
from transfuse.models.scenes.cuts import CUTS, Cut, Kind
from transfuse.models.scenes.pyramid import Level, Pyramid, levels_of
from transfuse.models.scenes.trunk import Trunk
from transfuse.models.scenes.whole import whole_settings
from transfuse.models.source import Source, pretrained, seeded

__all__ = ["NativePlacesHead", "native_scenes"]

_LEVELS = 4
_USUAL = 224


class NativePlacesHead(Head):
    """The own head of a pretrained detector or segmenter.

    Args:
        model: What is left of the whole model when what sees is taken out.
        cut: How it was taken apart.
        levels: The maps that it is given.
        grid: Rows and columns of the answer of a segmenter. Default: 1.
    """

    deep = True
    exact = True

    def __init__(self, model: Any, cut: Cut, levels: Sequence[Level], grid: int = 1) -> None:
        super().__init__()
        self.model = model
        self.cut = cut
        self.levels = tuple(levels)
        self.grid = grid
        self.labels = label_names(model.config)
        self.problem_type = None
        each = cut.queries(model) * (len(self.labels) + 5)
        self.outputs = each if cut.kind == "detection" else len(self.labels) * grid**2

    @property
    def kind(self) -> Kind:
        """What it does."""
        return self.cut.kind

    def forward(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
        """See `Head.forward`; without tokens the answer is not a number, since there is none.

        Returns:
            [n, outputs]; in training [n, answers, outputs] where a decoder's layers before the last
            one answer too, for the loss to count each.
        """
        if encoded.tokens is None:
            return encoded.pooled.new_full((len(encoded.pooled), self.outputs), torch.nan)
        tokens = encoded.tokens
        if not torch.is_autocast_enabled(tokens.device.type):
            tokens = tokens.to(next(self.parameters()).dtype)
        return self.cut.said(self.model, tokens, self.levels, self.grid)

    @property
    def linear(self) -> None:
        """See `Head.linear`; it is not."""
        return None

    def reset(self, seed: int) -> None:
        """See `Head.reset`; as transformers draws a new model's head."""
        with seeded(seed):
            fresh = self.cut.whole(self.model.config)
        mine = set(self.model.state_dict())
        state = {name: value for name, value in fresh.state_dict().items() if name in mine}
        self.model.load_state_dict(state)

    def save(self, backbone: nn.Module, folder: Path) -> None:
        """Writes the whole model, as transformers writes it.

        Args:
            backbone: What sees, out of the encoder.
            folder: Where to write.
        """
        self.cut.put(self.model, backbone)
        try:
            with quiet_loading():
                self.model.save_pretrained(folder)
        finally:
            self.cut.take(self.model)


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
    with quiet_loading():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    named = [str(each) for each in getattr(config, "architectures", None) or ()]
    asked = [cut for cut in CUTS if cut.kind == kind and any(cut.word in each for each in named)]
    if isinstance(config, TransfuseScenesConfig) or not asked:
        return None
    if labels is not None and label_names(config) != tuple(labels):
        config.id2label = dict(enumerate(labels))
        config.label2id = {each: place for place, each in config.id2label.items()}
    processing = _processing(folder, config, size)
    _free_of_size(config)
    safe = weights_in(folder, allow_pickle=allow_pickle)
    options = {"dtype": torch.float32, "use_safetensors": safe, "trust_remote_code": False}
    model, _ = pretrained(
        asked[0].auto,
        Source(folder, config, None, folder, options),
        seed=seed,
        may_lack=tuple(name for cut in asked for name in cut.fresh),
        ignore_mismatched_sizes=True,
    )
    cut = next((each for each in asked if each.fits(model)), None)
    if cut is None:
        raise _unknown(model, asked)
    encoder, levels = _encoder(model, cut, processing, batch_norm)
    head = NativePlacesHead(model, cut, levels, grid)
    return Network({column: encoder}, {task: head}).eval()


def _encoder(
    model: Any, cut: Cut, processing: Processing, batch_norm: BatchNorm
) -> tuple[Encoder, tuple[Level, ...]]:
    """Takes what sees out of a model; the encoder of it, and the maps in its tokens."""
    backbone = cut.take(model)
    encoder = ImageEncoder(
        backbone,
        model.config,
        processing,
        pooling="mean" if isinstance(backbone, Trunk) else None,
        batch_norm=batch_norm,
        fresh=partial(cut.backbone, model.config),
    )
    if isinstance(backbone, Trunk):
        levels = backbone.levels(processing.size)
        places = encoder.anatomy.shapes[-1][0] * sum(level.factor**2 for level in levels)
        if cut.kind == "detection" and places < cut.queries(model):
            what = f"pictures of {processing.size} pixels have {places} places"
            asks = f"at least {cut.queries(model)}, one for each query of {type(model).__name__}"
            raise ModelError(Problem("model.size", what, asks, "Give the model a larger `size`."))
        return encoder, levels
    if cut.kind == "detection":
        return encoder, levels_of(encoder)
    pyramid = Pyramid(encoder, _LEVELS, even=False)
    return pyramid, pyramid.levels


def _unknown(model: Any, asked: Sequence[Cut]) -> ModelError:
    parts = " and no ".join(part for cut in asked for part in cut.parts)
    return ModelError(
        Problem(
            type(model).__name__,
            f"its head has no {parts}",
            "YOLOS, DETR, Table Transformer or RT-DETR, or SegFormer or Mask2Former",
            "Take an image model without such a head: it gets one of Transfuse's own.",
        )
    )


def _free_of_size(config: Any) -> None:
    """Without what was computed in advance for pictures of one size; it is computed when asked."""
    for name in ("anchor_image_size", "eval_size"):
        if getattr(config, name, None) is not None:
            setattr(config, name, None)


def _processing(folder: Path, config: Any, size: int | None) -> Processing:
    """Whole pictures in one square, whatever sides the model was trained on."""
    settings = read_settings(folder) or {}
    told = settings.get("size")
    sides = {told.get("height"), told.get("width")} if isinstance(told, dict) else {None}
    # One square in the file is what the weights have seen; a config often keeps a default.
    trained = sides.pop() if len(sides) == 1 else None
    trained = trained or getattr(config, "image_size", None) or _USUAL
    side = size or (trained if isinstance(trained, int) else min(trained))
    usual = default_settings(side)
    kept = ("image_mean", "image_std", "do_normalize", "do_rescale", "rescale_factor")
    colours: dict[str, Any] = {name: settings[name] for name in kept if name in settings}
    usual = resized_settings({**usual, **colours}, side)
    return Processing.read(whole_settings(Processing.read(usual)))
