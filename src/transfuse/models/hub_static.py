"""A static student as a transformers model: token vectors, their mean, linear layer.

It is what the folder of a network with a static encoder contains. Plain transformers opens it
after `import transfuse`.
"""

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from transfuse._hub_config import STATIC_MODEL_TYPE, StaticConfig
from transfuse.models.static import StaticBag

__all__ = ["StaticForSequenceClassification"]


class StaticForSequenceClassification(PreTrainedModel):
    """A bag of token vectors and a linear layer.

    Args:
        config: What to build; see `StaticConfig`.
    """

    config_class = StaticConfig
    base_model_prefix = "backbone"
    _supports_sdpa = True

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.backbone = StaticBag(config.vocab_size, config.hidden_size, config.pad_token_id or 0)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, len(config.id2label or {}))
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
            attention_mask: 1 for real tokens [n, T]. Default: all real.
            labels: Targets, for a loss as transformers' own models give it. Default: no loss.
            **_ignored: Further outputs of the tokenizer.

        Returns:
            Logits [n, num_labels] and, with labels, the loss.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        pooled, _ = self.backbone(input_ids, mask)
        logits = self.classifier(self.dropout(pooled.to(self.classifier.weight.dtype)))
        loss = None
        if labels is not None:
            loss = self.loss_function(
                labels=labels, pooled_logits=logits, logits=logits, config=self.config
            )
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def get_input_embeddings(self) -> nn.Module:
        """The token vectors."""
        return self.backbone.embedding


AutoConfig.register(STATIC_MODEL_TYPE, StaticConfig, exist_ok=True)
AutoModelForSequenceClassification.register(
    StaticConfig, StaticForSequenceClassification, exist_ok=True
)
