"""Image encoders that see the whole picture: places are learnt, so nothing may be cut away."""

from typing import Any

from transfuse.models.encoder import Encoder
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.processing import Processing

__all__ = ["seeing_all", "whole_settings"]


def seeing_all(encoder: Encoder) -> Encoder:
    """An encoder whose pictures are squeezed into its square instead of being cropped.

    Boxes and masks are shares of the picture, so they need not follow.

    Args:
        encoder: The encoder; another kind than `ImageEncoder` is handed back as it is.

    Returns:
        One with the same backbone.
    """
    if not isinstance(encoder, ImageEncoder):
        return encoder
    return ImageEncoder(
        encoder.backbone,
        encoder.config,
        Processing.read(whole_settings(encoder.processing)),
        pooling=encoder.pooling,
        batch_norm=encoder.batch_norm,
    ).eval()


def whole_settings(processing: Processing) -> dict[str, Any]:
    """A `preprocessor_config.json` with the same numbers for each colour and without a crop.

    Args:
        processing: How pictures were made ready so far.
    """
    known = processing
    if processing.library is not None:
        # Where transformers' own processor does the work its numbers are in the file alone.
        known = Processing.read({**processing.settings, "image_processor_type": None})
    std = [1 / (255 * factor) for factor in known.factor]
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": processing.size, "width": processing.size},
        "resample": processing.resample,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [-offset * each for offset, each in zip(known.offset, std, strict=True)],
        "image_std": std,
    }
