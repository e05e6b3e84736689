"""The config of a text classifier whose pooling is Transfuse's own.

It stands outside `transfuse.models` because `AutoConfig` must learn about it while transformers
is still being imported, when torch and the rest of `transfuse.models` cannot be.
"""

from typing import Any

from transformers import PreTrainedConfig

__all__ = ["MODEL_TYPE", "TransfuseConfig"]

MODEL_TYPE = "transfuse-text-classifier"


class TransfuseConfig(PreTrainedConfig):
    """What `TransfuseForSequenceClassification` is built from.

    Args:
        backbone_config: The backbone's config as a dict, `model_type` included.
        pooling: `mean`, `cls`, `last` or `native`. Default `mean`.
        classifier_dropout: Dropout before the linear layer. Default 0.
        has_pooler: Whether the backbone keeps a pooler of its own. Default False.
        **kwargs: What every config takes, such as `id2label` and `problem_type`.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        backbone_config: dict[str, Any] | None = None,
        pooling: str = "mean",
        classifier_dropout: float = 0.0,
        has_pooler: bool = False,
        **kwargs: Any,
    ) -> None:
        self.backbone_config = backbone_config
        self.pooling = pooling
        self.classifier_dropout = classifier_dropout
        self.has_pooler = has_pooler
        super().__init__(**kwargs)
