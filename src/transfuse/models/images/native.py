"""The classification models of transformers taken apart: backbone, pooling, linear layer.

Most of them are a linear layer on one vector. Which vector is found by trying: the layer on each
pooling of the backbone's output, until one gives the model's own logits.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

from transfuse._hub_images import TransfuseImageConfig
from transfuse.models.anatomy import evaluating
from transfuse.models.encoder import close
from transfuse.models.images.anatomy import run_images
from transfuse.models.images.pooling import POOLINGS, ImagePooling, pool_images

__all__ = ["NativeParts", "has_image_head", "native_parts"]


@dataclass(frozen=True)
class NativeParts:
    """A classification model taken apart.

    Args:
        backbone: The model without its head.
        classifier: Name of its linear layer in the model.
        pooling: The vector that the layer reads.
    """

    backbone: nn.Module
    classifier: str
    pooling: ImagePooling


def has_image_head(config: Any) -> bool:
    """Whether transformers has an image classification model for a config, other than ours.

    Args:
        config: A model's config.
    """
    return type(config) in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING and not isinstance(
        config, TransfuseImageConfig
    )


def native_parts(model: Any, size: int) -> NativeParts | None:
    """Takes a classification model apart.

    Args:
        model: The model; it stays as it is.
        size: Side of its pictures in pixels.

    Returns:
        Its parts; None where its head is something else than a linear layer on one vector.
    """
    backbone = getattr(model, model.base_model_prefix, None)
    if not isinstance(backbone, nn.Module):
        return None
    inside = {id(part) for part in backbone.modules()}
    outside = {
        name: part
        for name, part in model.named_modules()
        if id(part) not in inside and list(part.parameters(recurse=False))
    }
    if len(outside) != 1:
        return None
    ((name, classifier),) = outside.items()
    if not isinstance(classifier, nn.Linear):
        return None
    pixels = torch.linspace(-1, 1, 6 * size * size).reshape(2, 3, size, size)
    extra = int(getattr(model.config, "num_register_tokens", None) or 0)
    with evaluating(model):
        try:
            expected = model(pixel_values=pixels).logits
            output = run_images(backbone, pixels, {})
        except (RuntimeError, ValueError):
            # Pictures of a size that the model reads only with its positions interpolated.
            return None
        for pooling in POOLINGS:
            if pooling == "native" and getattr(output, "pooler_output", None) is None:
                continue
            pooled = pool_images(output, pooling, extra)
            fits = pooled.shape[1] == classifier.in_features
            if fits and close(expected, classifier(pooled)):
                return NativeParts(backbone, name, pooling)
    return None
