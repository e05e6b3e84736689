"""Sounds through an image model: each becomes a picture of its spectrum over time.

Edges and textures that an image model learnt to see on photographs are there in spectrograms too,
so that its weights are a better start than none. Everything about layers, freezing and keeping
features is the image encoder's own.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import torch
from torch import nn

from transfuse.data.audio import Clips
from transfuse.data.schema import Role
from transfuse.models.audio.mel import Spectrogram, log_mel, mel_filters
from transfuse.models.audio.rows import Sounds, waves_of
from transfuse.models.copies import Held
from transfuse.models.encoder import Adaptable, Batch, Encoded, Encoder
from transfuse.models.engine import Engine
from transfuse.models.images import ImageEncoder

__all__ = ["AudioEncoder"]

_PATCH = 16
_PROBE_ROWS = 3
_MEAN = _STD = (0.5, 0.5, 0.5)


class AudioEncoder(Encoder):
    """A log-mel spectrogram in front of an image encoder, as its three channels.

    Args:
        image: The image encoder; its size is the pictures'.
        spectrogram: How a sound becomes a picture. Default: 5 seconds at 16,000 samples a second,
            128 filters.

    Raises:
        ValueError: If the spectrogram's settings are out of their range.
    """

    reads = (Role.AUDIO,)
    _factor: torch.Tensor
    _offset: torch.Tensor

    def __init__(self, image: ImageEncoder, spectrogram: Spectrogram | None = None) -> None:
        super().__init__()
        self.image = image
        self.spectrogram = spectrogram or Spectrogram()
        self.dim, self.depth = image.dim, image.depth
        mels = min(self.spectrogram.mels, image.size)
        # Held apart, so that copies in other number types compute the same spectra.
        self._filters = Held(mel_filters(self.spectrogram, mels))
        for name, values in zip(("factor", "offset"), _arithmetic(image), strict=True):
            column = torch.tensor(values, dtype=torch.float32).reshape(3, 1, 1)
            self.register_buffer(f"_{name}", column, persistent=False)

    @cached_property
    def preprocessing(self) -> str:
        """See `Encoder.preprocessing`."""
        settings = self.spectrogram.to_dict() | {"seconds": self.spectrogram.length}
        del settings["masked"]  # only training does that
        said = json.dumps([settings, self.image.size, *_arithmetic(self.image)])
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def layers(self) -> list[list[nn.Module]]:
        """See `Encoder.layers`; they are the image encoder's."""
        return self.image.layers()

    def preprocess(self, rows: Sequence[Any]) -> Sounds:
        """See `Encoder.preprocess`; nothing is opened yet.

        Args:
            rows: `Clips`, or clips, bytes of sound files, or paths; None is silence.
        """
        return Sounds.of(rows, (-(-self.image.size // _PATCH)) ** 2)

    def collate(self, rows: Any) -> Batch:
        """See `Encoder.collate`; sounds are decoded here, in threads.

        Returns:
            `mel`, float32 [n, height, width], from 0 to 1; low tones in the first row.

        Raises:
            DataError: For sounds that cannot be decoded, all of them, by row.
        """
        clips = rows.clips if isinstance(rows, Sounds) else Clips.of(rows)
        settings, size = self.spectrogram, self.image.size
        if not len(clips):
            return {"mel": torch.zeros(0, size, size)}
        waves = waves_of(clips, settings.rate, settings.length, settings.short)
        return {"mel": log_mel(waves, settings, self._filters.value, (size, size))}

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """See `Encoder.forward`; in training a share of the picture is hidden, if asked for.

        Raises:
            ValueError: If the batch lacks what `from_layer` needs.
        """
        if from_layer:
            return self.image.forward(batch, from_layer)
        mel = batch["mel"]
        if self.training and self.spectrogram.masked:
            mel = _masked(mel, self.spectrogram.masked)
        return self.image.forward(self._pictures(mel))

    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """See `Encoder.prefix`."""
        return self.image.prefix(self._pictures(batch["mel"]), layers)

    def can_resume(self, layers: int) -> bool:
        """See `Encoder.can_resume`."""
        return self.image.can_resume(layers)

    def probe_batch(self) -> Batch:
        """See `Encoder.probe_batch`; noise, the same each time."""
        shape = (_PROBE_ROWS, self.image.size, self.image.size)
        noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        return {"mel": noise.to(self._factor.device)}

    def fingerprint(self, layers: int) -> str:
        """See `Encoder.fingerprint`; the settings of the spectrogram count."""
        said = f"audio {self.preprocessing} {self.image.fingerprint(layers)}"
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def reset(self, seed: int) -> None:
        """See `Encoder.reset`."""
        self.image.reset(seed)

    @property
    def pooling_used(self) -> str:
        """See `Encoder.pooling_used`."""
        return self.image.pooling_used

    @property
    def finishes(self) -> bool:
        """See `Encoder.finishes`."""
        return self.image.finishes

    def finish(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """See `Encoder.finish`."""
        self.image.finish(lambda: (self._pictures(batch["mel"]) for batch in batches()))

    def adaptable(self) -> list[Adaptable]:
        """See `Encoder.adaptable`."""
        places = self.image.adaptable()
        return [Adaptable(place.owner, place.name, Role.AUDIO) for place in places]

    def set_attention(self, attention: str) -> bool:
        """See `Encoder.set_attention`."""
        return self.image.set_attention(attention)

    def suited(self, engine: Engine) -> Engine:
        """See `Encoder.suited`."""
        return self.image.suited(engine)

    def copied_as(self, dtype: torch.dtype) -> Self:
        """See `Encoder.copied_as`; the image encoder's own way to copy itself."""
        return type(self)(self.image.copied_as(dtype), self.spectrogram).eval()

    def _pictures(self, mel: torch.Tensor) -> Batch:
        """What the image encoder reads: three channels, normalised as its pictures were."""
        return {"pixels": torch.addcmul(self._offset, mel[:, None], self._factor)}


def _arithmetic(image: ImageEncoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Factor and offset that normalise a picture between 0 and 1."""
    processing = image.processing
    if processing.library is None:
        return tuple(255 * each for each in processing.factor), processing.offset
    # transformers' own processor normalises pictures of bytes, which these are not.
    mean = processing.settings.get("image_mean") or _MEAN
    std = processing.settings.get("image_std") or _STD
    pairs = list(zip(mean, std, strict=True))
    return tuple(1 / deviation for _, deviation in pairs), tuple(-m / s for m, s in pairs)


def _masked(mel: torch.Tensor, share: float) -> torch.Tensor:
    """SpecAugment: one stripe of time and one of tones hidden in each picture."""
    for dimension in (1, 2):
        length = mel.shape[dimension]
        places = torch.arange(length, device=mel.device)
        wide = torch.rand(len(mel), 1, device=mel.device) * share * length
        start = torch.rand(len(mel), 1, device=mel.device) * (length - wide)
        hidden = (places >= start) & (places < start + wide)
        mel = mel.masked_fill(hidden.unsqueeze(3 - dimension), 0.0)
    return mel
