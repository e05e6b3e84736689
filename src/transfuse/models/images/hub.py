"""Transfuse's image classifier as a transformers model: backbone, pooling, linear layer.

It is what a folder contains where the architecture has no head of its own, or another than a
linear layer on one vector. Plain transformers opens such a folder after `import transfuse`.
"""

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from transfuse._hub_images import IMAGE_MODEL_TYPE, TransfuseImageConfig
from transfuse.models.backbone import pooler_options
from transfuse.models.images.anatomy import run_images
from transfuse.models.images.pooling import pool_images

__all__ = ["TransfuseForImageClassification"]


class TransfuseForImageClassification(PreTrainedModel):
    """A vision backbone, a pooling and a linear layer.

    Args:
        config: What to build; see `TransfuseImageConfig`.
    """

    config_class = TransfuseImageConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: TransfuseImageConfig) -> None:
        super().__init__(config)
        fields = dict(config.backbone_config or {})
        backbone_config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        self.backbone_config = backbone_config
        options = pooler_options(backbone_config, config.pooling == "native")
        self.backbone = AutoModel.from_config(backbone_config, **options)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        **_ignored: Any,
    ) -> ImageClassifierOutputWithNoAttention:
        """Classifies pictures.

        Args:
            pixel_values: Normalised pictures, float [n, 3, H, W].
            labels: Targets, for a loss as transformers' own models give it. Default: no loss.
            **_ignored: Keywords for other architectures.

        Returns:
            Logits [n, num_labels] and, with labels, the loss.
        """
        options = {"interpolate_pos_encoding": True} if self.config.interpolate else {}
        output = run_images(self.backbone, pixel_values, options)
        extra = int(getattr(self.backbone_config, "num_register_tokens", None) or 0)
        pooled = pool_images(output, self.config.pooling, extra)
        logits = self.classifier(self.dropout(pooled.to(self.classifier.weight.dtype)))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)


AutoConfig.register(IMAGE_MODEL_TYPE, TransfuseImageConfig, exist_ok=True)
AutoModelForImageClassification.register(
    TransfuseImageConfig, TransfuseForImageClassification, exist_ok=True
)
