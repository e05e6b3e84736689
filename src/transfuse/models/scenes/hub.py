"""An encoder with a head for places as a transformers model: what such a folder contains.

Plain transformers opens it after `import transfuse`, by `AutoModelForObjectDetection` or
`AutoModelForSemanticSegmentation`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForObjectDetection,
    AutoModelForSemanticSegmentation,
    PreTrainedModel,
)
from transformers.utils.generic import ModelOutput

from transfuse._hub_scenes import SCENES_MODEL_TYPE, TransfuseScenesConfig
from transfuse.models.backbone import pooler_options
from transfuse.models.copies import Held
from transfuse.models.heads import label_names
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.processing import Processing, default_settings
from transfuse.models.scenes.base import PlacesHead
from transfuse.models.scenes.boxes import DetectionHead
from transfuse.models.scenes.masks import SegmentationHead
from transfuse.models.scenes.pyramid import Level, Pyramid
from transfuse.models.scenes.whole import whole_settings

__all__ = ["HEADS", "SceneOutput", "TransfuseForScenes"]

HEADS: dict[str, type[PlacesHead]] = {
    "detection": DetectionHead,
    "segmentation": SegmentationHead,
}
"""The heads by the name that a config gives them."""

_BOX = 4


@dataclass
class SceneOutput(ModelOutput):
    """What a model says of pictures, as transformers' own models say it.

    Args:
        logits: Of the classes and no object for each query, [n, Q, C + 1]; or of the classes in
            each cell, [n, C, grid, grid].
        pred_boxes: Centre x, centre y, width and height of each query, [n, Q, 4]; None for cells.
    """

    logits: torch.Tensor | None = None
    pred_boxes: torch.Tensor | None = None


class TransfuseForScenes(PreTrainedModel):
    """A vision backbone and a head for places.

    Args:
        config: What to build; see `TransfuseScenesConfig`.
    """

    config_class = TransfuseScenesConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: TransfuseScenesConfig) -> None:
        super().__init__(config)
        fields = dict(config.backbone_config or {})
        self.backbone_config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        options = pooler_options(self.backbone_config, config.has_pooler)
        self.backbone = AutoModel.from_config(self.backbone_config, **options)
        ((kind, given),) = config.head.items()
        labels = label_names(config)
        self.head = HEADS[kind]([Level(*each) for each in config.levels], labels, **given)
        self._encoders: dict[int, Held[Pyramid]] = {}
        self.post_init()  # type: ignore[no-untyped-call]

    def encoder(self, processing: Processing) -> Pyramid:
        """The encoder of the backbone, which stays this model's.

        Args:
            processing: How pictures are made ready.
        """
        inner = ImageEncoder(
            self.backbone, self.backbone_config, processing, batch_norm=self.config.batch_norm
        )
        return Pyramid(inner, len(self.config.levels))

    def forward(self, pixel_values: torch.Tensor, **_ignored: Any) -> SceneOutput:
        """Looks at pictures.

        Args:
            pixel_values: Normalised pictures, float [n, 3, size, size].
            **_ignored: Keywords for other architectures.
        """
        size = pixel_values.shape[-1]
        if size not in self._encoders:
            processing = Processing.read(whole_settings(Processing.read(default_settings(size))))
            self._encoders[size] = Held(self.encoder(processing))
        logits = self.head(self._encoders[size].value({"pixels": pixel_values}), {})
        labels = len(self.head.labels or ())
        if isinstance(self.head, SegmentationHead):
            side = self.head.grid
            return SceneOutput(logits=logits.reshape(len(logits), labels, side, side))
        apart = logits.reshape(len(logits), -1, labels + 1 + _BOX)
        return SceneOutput(logits=apart[..., :-_BOX], pred_boxes=apart[..., -_BOX:].sigmoid())

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Heads draw their own weights, and backbones are read or draw theirs."""


AutoConfig.register(SCENES_MODEL_TYPE, TransfuseScenesConfig, exist_ok=True)
AutoModelForObjectDetection.register(TransfuseScenesConfig, TransfuseForScenes, exist_ok=True)
AutoModelForSemanticSegmentation.register(TransfuseScenesConfig, TransfuseForScenes, exist_ok=True)
