"""Vision backbones as encoders. Read `encoder.py` first."""

from transfuse.models.images.batch_norm import BatchNorm
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.folder import load_image_network, save_image_network
from transfuse.models.images.loading import image_classifier, image_encoder, is_image_model
from transfuse.models.images.processing import Processing

__all__ = [
    "BatchNorm",
    "ImageEncoder",
    "Processing",
    "image_classifier",
    "image_encoder",
    "is_image_model",
    "load_image_network",
    "save_image_network",
]
