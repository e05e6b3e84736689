"""Transfuse's text classifier as a transformers model: backbone, pooling, linear layer.

It is what a folder contains whose pooling is not the architecture's own (sentence encoders pool
by the mean). Plain transformers opens such a folder after `import transfuse`.
"""

from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from transfuse._hub_config import MODEL_TYPE, TransfuseConfig
from transfuse.models.anatomy import forward_options, run_backbone
from transfuse.models.backbone import backbone_from_config
from transfuse.models.pooling import pool

__all__ = ["TransfuseConfig", "TransfuseForSequenceClassification"]


class TransfuseForSequenceClassification(PreTrainedModel):
    """A backbone, a pooling and a linear layer.

    Args:
        config: What to build; see `TransfuseConfig`.
    """

    config_class = TransfuseConfig
    base_model_prefix = "backbone"
    _supports_sdpa = True

    def __init__(self, config: TransfuseConfig) -> None:
        super().__init__(config)
        fields = dict(config.backbone_config or {})
        backbone_config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        self.backbone_config = backbone_config
        self.backbone = backbone_from_config(backbone_config, pooler=config.has_pooler)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(_width(backbone_config), len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **_ignored: Any,
    ) -> SequenceClassifierOutput:
        """Classifies token ids.

        Args:
            input_ids: Token ids, int64 [n, T].
            attention_mask: 1 for real tokens [n, T], padding on the right. Default: all real.
            labels: Targets, for a loss as transformers' own models give it. Default: no loss.
            **_ignored: Further outputs of the tokenizer, which the pooling does not need.

        Returns:
            Logits [n, num_labels] and, with labels, the loss.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        output = run_backbone(self.backbone, input_ids, mask, forward_options(self.backbone))
        if self.config.pooling == "pooler":
            pooled = output.pooler_output
        else:
            pooled = pool(output.last_hidden_state, mask, self.config.pooling)
        logits = self.classifier(self.dropout(pooled.to(self.classifier.weight.dtype)))
        loss = None
        if labels is not None:
            loss = self.loss_function(
                labels=labels, pooled_logits=logits, logits=logits, config=self.config
            )
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def get_input_embeddings(self) -> nn.Module:
        """The backbone's token embeddings."""
        return cast(nn.Module, cast(Any, self.backbone).get_input_embeddings())


def _width(config: Any) -> int:
    return int(config.get_text_config(decoder=False).hidden_size)


AutoConfig.register(MODEL_TYPE, TransfuseConfig, exist_ok=True)
AutoModelForSequenceClassification.register(
    TransfuseConfig, TransfuseForSequenceClassification, exist_ok=True
)
