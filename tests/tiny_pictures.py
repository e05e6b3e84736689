"""Tiny vision models of many architectures with random weights, and pictures to show them."""

import io
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from transfuse._hub_images import EfficientNetLiteConfig
from transfuse.data.images import Pictures
from transfuse.models.images import ImageEncoder
from transfuse.models.images.efficientnet_lite import EfficientNetLiteModel
from transfuse.models.images.processing import Processing, default_settings

_VIT = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": (
        "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 2, 1]},
    ),
    "convnext": (
        "ConvNextConfig",
        {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 2, 1], "layer_scale_init_value": 1.0},
    ),
    "vit": ("ViTConfig", _VIT),
    "dinov2": ("Dinov2Config", _VIT | {"mlp_ratio": 2}),
    "dinov2-registers": ("Dinov2WithRegistersConfig", _VIT | {"mlp_ratio": 2}),
    "dinov3": ("DINOv3ViTConfig", _VIT | {"num_register_tokens": 2}),
    "swin": (
        "SwinConfig",
        {
            "image_size": 32,
            "patch_size": 4,
            "embed_dim": 8,
            "depths": [1, 2, 1],
            "num_heads": [1, 2, 2],
            "window_size": 2,
        },
    ),
    "mobilenet-v2": ("MobileNetV2Config", {"depth_multiplier": 0.1, "min_depth": 4}),
    "efficientnet": (
        "EfficientNetConfig",
        {"width_coefficient": 0.25, "depth_coefficient": 0.2, "image_size": 32, "hidden_dim": 320},
    ),
    "beit": ("BeitConfig", _VIT | {"use_relative_position_bias": True}),
    "regnet": (
        "RegNetConfig",
        {"hidden_sizes": [8, 12, 16], "depths": [1, 2, 1], "groups_width": 4, "embedding_size": 8},
    ),
    "clip": ("CLIPVisionConfig", _VIT),
}


def config_of(kind: str) -> Any:
    """The tiny config of an architecture."""
    name, fields = CONFIGS[kind]
    return getattr(transformers, name)(**fields)


def tiny_backbone(kind: str, seed: int = 0) -> Any:
    """A backbone with random weights, its BatchNorm statistics random too."""
    torch.manual_seed(seed)
    model = transformers.AutoModel.from_config(config_of(kind))
    return shaken(model).eval()


def shaken(model: Any) -> Any:
    """The model as if it had learnt something: what it gives depends on what it sees."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, torch.nn.BatchNorm2d):
            # Its gates halve what passes them.
            gain = 2.0 if model.config.model_type == "efficientnet" else 1.0
            torch.nn.init.constant_(module.weight, gain)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0.0, 0.3)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return model


def tiny_encoder(kind: str, size: int = 32, **options: Any) -> ImageEncoder:
    """An encoder of an architecture for pictures of 32 pixels."""
    backbone = tiny_lite() if kind == "lite" else tiny_backbone(kind)
    processing = Processing.read(default_settings(size))
    return ImageEncoder(backbone, backbone.config, processing, **options).eval()


def tiny_lite(seed: int = 0) -> EfficientNetLiteModel:
    """A narrow EfficientNet-Lite."""
    torch.manual_seed(seed)
    config = EfficientNetLiteConfig(width_coefficient=0.1, image_size=32)
    return shaken(EfficientNetLiteModel(config)).eval()


def photo(seed: int = 0, width: int = 60, height: int = 44) -> Image.Image:
    """A picture with smooth colours, like a photograph."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """The bytes of a picture file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def photos(count: int, **shape: int) -> Pictures:
    """Pictures of a column."""
    return Pictures.of([encoded(photo(seed, **shape)) for seed in range(count)])
