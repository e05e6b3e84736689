"""Opens a pretrained model as another encoder was opened, so that the two can be compared."""

from pathlib import Path

from transfuse.errors import ModelError, Problem
from transfuse.models.audio import AudioEncoder, SoundEncoder, Spectrogram, audio_encoder
from transfuse.models.encoder import Encoder
from transfuse.models.images import ImageEncoder, image_encoder
from transfuse.models.load import load_encoder
from transfuse.models.text import TextEncoder

__all__ = ["open_alike"]


def open_alike(name: str | Path, like: Encoder) -> Encoder:
    """Opens a pretrained model with the reading, the size and the pooling of another encoder.

    Args:
        name: A folder, an installed package that carries a model, or a hub id.
        like: An encoder that may have been tuned from it.

    Returns:
        The model's encoder, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, or does not read what the other reads.
    """
    match like:
        case TextEncoder():
            return load_encoder(name, pooling=like.pooling, max_length=like.max_length)
        case ImageEncoder():
            return image_encoder(name, size=like.size, batch_norm=like.batch_norm)
        case AudioEncoder():
            return audio_encoder(
                name,
                spectrogram=like.spectrogram,
                size=like.image.size,
                batch_norm=like.image.batch_norm,
            )
        case SoundEncoder():
            window = Spectrogram(seconds=like.seconds, short=like.short)
            return audio_encoder(name, spectrogram=window)
        case _:
            raise ModelError(
                Problem(str(name), f"is to be opened as {type(like).__name__}", "one backbone")
            )
