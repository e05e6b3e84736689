"""The configs of image models that are Transfuse's own.

They stand outside `transfuse.models` for the reason that `_hub_config.py` gives.
"""

from typing import Any

from transformers import PreTrainedConfig

__all__ = ["IMAGE_MODEL_TYPE", "LITE_MODEL_TYPE", "EfficientNetLiteConfig", "TransfuseImageConfig"]

IMAGE_MODEL_TYPE = "transfuse-image-classifier"
LITE_MODEL_TYPE = "efficientnet-lite"


class EfficientNetLiteConfig(PreTrainedConfig):
    """What an EfficientNet-Lite is built from.

    Args:
        width_coefficient: Factor of the number of channels between stem and head. Default 1.
        depth_coefficient: Factor of the number of blocks in the inner stages. Default 1.
        image_size: Side of the pictures it was trained on, in pixels. Default 224.
        classifier_dropout: Dropout before the linear layer. Default 0.2.
        batch_norm_eps: Added to variances. Default 0.001.
        batch_norm_momentum: Weight of a batch in the running statistics, where they move.
            Default 0.1.
        **kwargs: What every config takes, such as `id2label` and `problem_type`.
    """

    model_type = LITE_MODEL_TYPE

    def __init__(
        self,
        width_coefficient: float = 1.0,
        depth_coefficient: float = 1.0,
        image_size: int = 224,
        classifier_dropout: float = 0.2,
        batch_norm_eps: float = 1e-3,
        batch_norm_momentum: float = 0.1,
        **kwargs: Any,
    ) -> None:
        self.width_coefficient = width_coefficient
        self.depth_coefficient = depth_coefficient
        self.image_size = image_size
        self.classifier_dropout = classifier_dropout
        self.batch_norm_eps = batch_norm_eps
        self.batch_norm_momentum = batch_norm_momentum
        super().__init__(**kwargs)


class TransfuseImageConfig(PreTrainedConfig):
    """What `TransfuseForImageClassification` is built from.

    Args:
        backbone_config: The backbone's config as a dict, `model_type` included.
        pooling: `native`, `cls`, `mean` or `cls_mean`; see `models/images/pooling.py`.
            Default `native`.
        classifier_dropout: Dropout before the linear layer. Default 0.
        hidden_size: Length of the pooled vector. Default 1.
        interpolate: Whether learned positions are interpolated to the pictures' size.
            Default False.
        **kwargs: What every config takes, such as `id2label` and `problem_type`.
    """

    model_type = IMAGE_MODEL_TYPE

    def __init__(
        self,
        backbone_config: dict[str, Any] | None = None,
        pooling: str = "native",
        classifier_dropout: float = 0.0,
        hidden_size: int = 1,
        interpolate: bool = False,
        **kwargs: Any,
    ) -> None:
        self.backbone_config = backbone_config
        self.pooling = pooling
        self.classifier_dropout = classifier_dropout
        self.hidden_size = hidden_size
        self.interpolate = interpolate
        super().__init__(**kwargs)
