"""The configs of text classifiers that are Transfuse's own: by pooling, tasks or encoder.

They stand outside `transfuse.models` because `AutoConfig` must learn about them while transformers
is still being imported, when torch and the rest of `transfuse.models` cannot be.
"""

from typing import Any

from transformers import PreTrainedConfig

__all__ = [
    "MODEL_TYPE",
    "STATIC_MODEL_TYPE",
    "TASKS_MODEL_TYPE",
    "StaticConfig",
    "TransfuseConfig",
    "TransfuseTasksConfig",
]

MODEL_TYPE = "transfuse-text-classifier"
TASKS_MODEL_TYPE = "transfuse-text-tasks"
STATIC_MODEL_TYPE = "transfuse-static-classifier"


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


class TransfuseTasksConfig(TransfuseConfig):
    """What `TransfuseForTasks` is built from.

    Args:
        tasks: One entry for each task in their order: `name`, `labels`, `problem_type`, `dropout`.
        fusion: What stands between encoder and heads, as `{name: options}`. Default: nothing.
        **kwargs: As for `TransfuseConfig`; labels and problem type are those of the first task.
    """

    model_type = TASKS_MODEL_TYPE

    def __init__(
        self,
        tasks: list[dict[str, Any]] | None = None,
        fusion: dict[str, dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        # A list, since transformers sorts the keys of what it writes.
        self.tasks = tasks or []
        self.fusion = fusion
        super().__init__(**kwargs)


class StaticConfig(PreTrainedConfig):
    """What `StaticForSequenceClassification` is built from.

    Args:
        vocab_size: Number of tokens. Default 1.
        hidden_size: Length of their vectors. Default 256.
        classifier_dropout: Dropout before the linear layer. Default 0.
        **kwargs: What every config takes, such as `id2label`, `problem_type` and `pad_token_id`.
    """

    model_type = STATIC_MODEL_TYPE

    def __init__(
        self,
        vocab_size: int = 1,
        hidden_size: int = 256,
        classifier_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.classifier_dropout = classifier_dropout
        super().__init__(**kwargs)
