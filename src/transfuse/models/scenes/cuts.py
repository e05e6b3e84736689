"""Where a pretrained detector or segmenter is taken apart into an encoder and its own head.

What sees the picture becomes the encoder's backbone. What answers stays in the model, whose own
code goes on with what the encoder gives. Whatever depends on the classes has to stay.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, cast

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    AutoModelForObjectDetection,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
)
from transformers.modeling_outputs import BaseModelOutput

from transfuse.models.quiet import quiet_loading
from transfuse.models.scenes.pyramid import Level, unpacked
from transfuse.models.scenes.trunk import HybridTrunk, PixelTrunk, Trunk

__all__ = ["CUTS", "Cut", "Kind"]

Kind = Literal["detection", "segmentation"]

_LEAST = 1e-6
"""Shares of a picture, and probabilities, are kept this far from 0, where the logarithm ends."""


class Cut(ABC):
    """One way to take models of one shape apart."""

    kind: ClassVar[Kind]
    auto: ClassVar[Any]
    """The Auto class of such models."""

    word: ClassVar[str]
    """What their names say."""

    parts: ClassVar[tuple[str, ...]]
    """Modules that such a model has, by which it is known."""

    trunk: ClassVar[type[Trunk] | None] = None
    """What sees; None where that is the whole base model."""

    seeing: ClassVar[tuple[str, ...]] = ()
    """The trunk's modules, by their names in the base model."""

    fresh: ClassVar[tuple[str, ...]] = ()
    """What of the base model depends on the classes."""

    def fits(self, model: Any) -> bool:
        """Whether a model is one of these.

        Args:
            model: The whole model.
        """
        named = dict(model.named_modules())
        seeing = [f"{model.base_model_prefix}.{name}" for name in self.seeing]
        return all(name in named for name in (*self.parts, *seeing))

    def take(self, model: Any) -> nn.Module:
        """Takes out what sees, and leaves stand-ins.

        Args:
            model: The whole model.
        """
        prefix = model.base_model_prefix
        base: nn.Module = getattr(model, prefix)
        if self.trunk is None:
            setattr(model, prefix, nn.Identity())
            return base
        parts = {name: base.get_submodule(name) for name in self.seeing}
        for name, part in parts.items():
            row = [nn.Identity() for _ in part] if isinstance(part, nn.ModuleList) else None
            setattr(base, name, _Given() if row is None else nn.ModuleList(row))
        return self.trunk(parts)

    def put(self, model: Any, backbone: nn.Module) -> None:
        """Puts what sees back.

        Args:
            model: What `take` left.
            backbone: What it gave.
        """
        prefix = model.base_model_prefix
        if self.trunk is None:
            setattr(model, prefix, backbone)
            return
        for name in self.seeing:
            setattr(getattr(model, prefix), name, getattr(backbone, name))

    def whole(self, config: Any) -> Any:
        """A whole model with new weights.

        Args:
            config: Its config.
        """
        with quiet_loading():
            return self.auto.from_config(config)

    def backbone(self, config: Any) -> nn.Module:
        """What sees, with new weights.

        Args:
            config: The model's config.
        """
        return self.take(self.whole(config))

    def queries(self, model: Any) -> int:
        """With how many boxes or regions a model answers.

        Args:
            model: The model.
        """
        return int(getattr(model.config, "num_queries", None) or 0)

    @abstractmethod
    def said(
        self, model: Any, tokens: torch.Tensor, levels: Sequence[Level], grid: int
    ) -> torch.Tensor:
        """A model's answer, as the task reads it.

        Args:
            model: What `take` left.
            tokens: What the encoder made, [n, T, d].
            levels: The maps that they hold.
            grid: Rows and columns of a segmenter's answer.

        Returns:
            [n, outputs]; in training [n, answers, outputs] where layers before the last answer too.
        """


class QueryTokens(Cut):
    """YOLOS, DETR and Table Transformer: the last tokens are queries, which two layers read."""

    kind = "detection"
    auto = AutoModelForObjectDetection
    word = "ObjectDetection"
    parts = ("class_labels_classifier", "bbox_predictor")

    def queries(self, model: Any) -> int:
        """See `Cut.queries`."""
        return int(getattr(model.config, "num_detection_tokens", None) or super().queries(model))

    def said(
        self, model: Any, tokens: torch.Tensor, levels: Sequence[Level], grid: int
    ) -> torch.Tensor:
        """See `Cut.said`."""
        queries = tokens[:, -self.queries(model) :]
        boxes = model.bbox_predictor(queries)
        return torch.cat([model.class_labels_classifier(queries), boxes], dim=2).flatten(1)


class RefinedBoxes(Cut):
    """RT-DETR: queries are chosen by the classes, and boxes refined from layer to layer.

    Each of its classes has a probability of its own, none beside the others. Here the classes of a
    query exclude each other: the probability of one is that of a softmax with a 0 for none, which
    is the model's own where it takes one class alone for possible.
    """

    kind = "detection"
    auto = AutoModelForObjectDetection
    word = "ObjectDetection"
    parts = ("model.decoder.class_embed", "model.decoder.bbox_embed", "model.enc_score_head")
    trunk = HybridTrunk
    seeing = ("backbone", "encoder_input_proj", "encoder", "decoder_input_proj")
    fresh = ("enc_score_head.", "denoising_class_embed.")

    def said(
        self, model: Any, tokens: torch.Tensor, levels: Sequence[Level], grid: int
    ) -> torch.Tensor:
        """See `Cut.said`; in training the first guess and every layer of the decoder answer."""
        maps = unpacked(tokens, levels)[::-1]
        seen = BaseModelOutput(last_hidden_state=cast(Any, maps))
        output = model.model(None, inputs_embeds=maps[0], encoder_outputs=seen)
        logits, boxes = output.intermediate_logits, output.intermediate_reference_points
        if model.training:
            logits = torch.cat([output.enc_topk_logits[:, None], logits], dim=1)
            boxes = torch.cat([output.enc_topk_bboxes[:, None], boxes], dim=1)
        none = logits.new_zeros(*logits.shape[:-1], 1)
        answers = torch.cat([logits, none, boxes.logit(_LEAST)], dim=-1).flatten(2)
        return answers if model.training else answers[:, -1]


class PlaceDecoder(Cut):
    """SegFormer: a decode head over the encoder's maps."""

    kind = "segmentation"
    auto = AutoModelForSemanticSegmentation
    word = "SemanticSegmentation"
    parts = ("decode_head",)

    def said(
        self, model: Any, tokens: torch.Tensor, levels: Sequence[Level], grid: int
    ) -> torch.Tensor:
        """See `Cut.said`."""
        logits = model.decode_head(unpacked(tokens, levels)[::-1])
        return functional.interpolate(logits, (grid, grid), mode="bilinear").flatten(1)


class MaskQueries(Cut):
    """Mask2Former: each query has a class, or none, and a mask.

    A place's score for a class is the sum over queries of the class's probability times the mask's
    there (Cheng et al., 2021, arXiv:2107.06278), as in transformers' own processor.
    """

    kind = "segmentation"
    auto = AutoModelForUniversalSegmentation
    word = "UniversalSegmentation"
    parts = ("class_predictor", "model.transformer_module")
    trunk = PixelTrunk
    seeing = ("pixel_level_module",)

    def said(
        self, model: Any, tokens: torch.Tensor, levels: Sequence[Level], grid: int
    ) -> torch.Tensor:
        """See `Cut.said`; in training every layer of the decoder answers."""
        *maps, finest = unpacked(tokens, levels)
        stand_in = model.model.pixel_level_module
        stand_in.output = SimpleNamespace(
            encoder_last_hidden_state=maps[0],
            encoder_hidden_states=None,
            decoder_last_hidden_state=finest,
            decoder_hidden_states=tuple(maps),
        )
        try:
            output = model(finest, output_hidden_states=True, output_auxiliary_logits=True)
        finally:
            stand_in.output = None
        answers = [_places(output.class_queries_logits, output.masks_queries_logits, grid)]
        if not model.training:
            return answers[0]
        for layer in output.auxiliary_logits:
            masks = layer["masks_queries_logits"]
            answers.append(_places(layer["class_queries_logits"], masks, grid))
        return torch.stack(answers, dim=1)


CUTS: tuple[Cut, ...] = (QueryTokens(), RefinedBoxes(), PlaceDecoder(), MaskQueries())
"""All ways, each for other models."""


class _Given(nn.Module):
    """Stands where what sees stood, and hands on what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.output: Any = None

    def forward(self, *_args: Any, **_kwargs: Any) -> Any:
        if self.output is None:
            raise RuntimeError("the model was called other than through its head")
        return self.output


def _places(classes: torch.Tensor, masks: torch.Tensor, grid: int) -> torch.Tensor:
    """The logarithm of each class's score in each place of a grid, [n, classes * grid * grid]."""
    masks = functional.interpolate(masks, (grid, grid), mode="bilinear").sigmoid()
    shares = classes.softmax(-1)[..., :-1]
    scores = torch.einsum("nqc,nqyx->ncyx", shares.float(), masks.float())
    return scores.clamp(min=_LEAST).log().flatten(1)
