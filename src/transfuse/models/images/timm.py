"""Models of timm, through transformers' wrapper of them.

transformers opens any timm checkpoint as a backbone once timm is installed; what is added here is
how timm says that pictures are prepared. timm needs torchvision.
"""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from PIL import Image

from transfuse.errors import ModelError, Problem

__all__ = ["check_timm", "is_timm", "timm_settings"]

_MODEL_TYPE = "timm_wrapper"
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def is_timm(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a timm model.

    Args:
        config: What the file says.
    """
    kind = config.get("model_type")
    return kind == _MODEL_TYPE or (kind is None and "architecture" in config)


def check_timm() -> None:
    """Checks that timm can be used.

    Raises:
        ModelError: If it, or torchvision that it needs, is not installed.
    """
    missing = [name for name in ("timm", "torchvision") if find_spec(name) is None]
    if missing:
        raise ModelError(
            Problem(
                "model",
                f"it is a model of timm, and {' and '.join(missing)} is not installed",
                fix="pip install timm torchvision",
            )
        )


def timm_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """How pictures are prepared for a timm model, as a `preprocessor_config.json`.

    timm scales the shorter side to the model's size over `crop_pct`, and cuts out the middle.

    Args:
        config: What the model's config.json says; its `pretrained_cfg` counts where it has one.
    """
    said = {**config, **(config.get("pretrained_cfg") or {})}
    side = int((said.get("input_size") or (3, 224, 224))[-1])
    crop = float(said.get("crop_pct") or 0.875)
    filter_ = _FILTERS.get(str(said.get("interpolation")), Image.Resampling.BICUBIC)
    return {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": math.floor(side / crop)},
        "resample": int(filter_),
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(said.get("mean") or (0.485, 0.456, 0.406)),
        "image_std": list(said.get("std") or (0.229, 0.224, 0.225)),
    }
