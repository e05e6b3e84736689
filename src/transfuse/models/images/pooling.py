"""From a backbone's output to one vector a picture: four ways, of which a head reads one."""

from typing import Any, Literal, get_args

import torch

from transfuse.models.images.resume import as_tokens

__all__ = ["POOLINGS", "ImagePooling", "pool_images"]

ImagePooling = Literal["native", "cls", "mean", "cls_mean"]
"""`native` is what the backbone itself gives as its pooled vector; `cls` the first token; `mean`
the mean over the map or all tokens; `cls_mean` the first token beside the mean of the patches, as
DINOv2's head reads it."""

POOLINGS: tuple[ImagePooling, ...] = get_args(ImagePooling)


def pool_images(output: Any, pooling: ImagePooling, extra: int = 0) -> torch.Tensor:
    """One vector for each picture.

    Args:
        output: What the backbone gave, with `last_hidden_state`.
        pooling: Which vector.
        extra: Tokens after the first that are no patches (registers). Default 0.

    Returns:
        [n, d], or [n, 2 d] for `cls_mean`.
    """
    if pooling == "native":
        pooled: torch.Tensor = output.pooler_output
        return pooled.flatten(1)
    tokens = as_tokens(output.last_hidden_state)
    if pooling == "mean":
        return tokens.mean(1)
    first = tokens[:, 0]
    if pooling == "cls":
        return first
    return torch.cat([first, tokens[:, 1 + extra :].mean(1)], dim=1)
