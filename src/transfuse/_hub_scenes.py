"""The config of models for places in pictures that are Transfuse's own.

It stands outside `transfuse.models` for the reason that `_hub_config.py` gives.
"""

from typing import Any

from transformers import PreTrainedConfig

__all__ = ["SCENES_MODEL_TYPE", "TransfuseScenesConfig"]

SCENES_MODEL_TYPE = "transfuse-scenes"


class TransfuseScenesConfig(PreTrainedConfig):
    """What `TransfuseForScenes` is built from.

    Args:
        backbone_config: The backbone's config as a dict, `model_type` included.
        has_pooler: Whether the backbone keeps a pooler of its own. Default False.
        levels: The feature maps that the head reads, from the coarsest on: channels, places in one
            of the coarsest along each side, and after how many layers it stands.
        head: The head as `{kind: options}`, where the kind is detection or segmentation.
        batch_norm: What becomes of BatchNorm's statistics in training. Default `frozen`.
        **kwargs: What every config takes, such as `id2label`.
    """

    model_type = SCENES_MODEL_TYPE

    def __init__(
        self,
        backbone_config: dict[str, Any] | None = None,
        has_pooler: bool = False,
        levels: list[list[int]] | None = None,
        head: dict[str, dict[str, Any]] | None = None,
        batch_norm: str = "frozen",
        **kwargs: Any,
    ) -> None:
        self.backbone_config = backbone_config
        self.has_pooler = has_pooler
        self.levels = levels or []
        self.head = head or {}
        self.batch_norm = batch_norm
        super().__init__(**kwargs)
