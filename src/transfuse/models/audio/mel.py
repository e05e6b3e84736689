"""From waves to pictures of sound: power spectra on the mel scale, in decibels, between 0 and 1."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

__all__ = ["SECONDS", "Spectrogram", "log_mel", "mel_filters"]

SECONDS = 5.0
"""Length of the window that is read of each sound, where nothing else says."""

_FAINTEST = 1e-14
"""Power below which nothing is told apart (-140 dB); it also keeps the logarithm finite."""

_QUIETEST_PEAK = -60.0
"""Decibels that count as the loudest point of a sound at the least, so that silence stays dark."""


@dataclass(frozen=True)
class Spectrogram:
    """How a sound becomes a picture.

    The scale is Slaney's (linear below 1 kHz, logarithmic above), each filter of unit area, as in
    librosa's defaults.

    Raises:
        ValueError: If a number is out of its range.
    """

    seconds: float | None = None
    """Length of the window that is read of each sound; of longer ones the middle. Default: 5; for
    a model of sound, what its feature extractor fills, or 5."""

    rate: int = 16_000
    """Samples a second; sounds with another rate are resampled. Default: 16,000."""

    mels: int = 128
    """Filters from low to high, at most as many as the picture has rows. Default: 128."""

    window: int = 1_024
    """Samples of each spectrum, under a Hann window. Default: 1,024."""

    low: float = 20.0
    """Lowest frequency in hertz. Default: 20."""

    high: float | None = None
    """Highest frequency in hertz. Default: half the rate."""

    decibels: float = 80.0
    """Range below the loudest point that is told apart; the rest is black. Default: 80."""

    short: Literal["repeat", "silence"] = "repeat"
    """What fills the window after a shorter sound: the sound again, or silence. Default: repeat."""

    masked: float = 0.0
    """Share of the time, and of the filters, that training hides (SpecAugment, Park et al. 2019):
    one stripe each, as wide as that at the most. Default: 0, nothing is hidden."""

    def __post_init__(self) -> None:
        high = self.rate / 2 if self.high is None else self.high
        checks = {
            f"rate from 1,000, got {self.rate}": self.rate >= 1_000,
            f"mels from 1, got {self.mels}": self.mels >= 1,
            f"window from 16, got {self.window}": self.window >= 16,
            f"at least a window of {self.window} samples in {self.length} seconds": (
                self.window <= self.samples
            ),
            f"0 <= low < high <= half the rate, got {self.low} to {high}": (
                0 <= self.low < high <= self.rate / 2
            ),
            f"decibels above 0, got {self.decibels}": self.decibels > 0,
            f"short as repeat or silence, got {self.short!r}": self.short in ("repeat", "silence"),
            f"masked from 0 to below 1, got {self.masked}": 0 <= self.masked < 1,
        }
        if wrong := [said for said, right in checks.items() if not right]:
            raise ValueError("expected " + "; ".join(wrong))

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> "Spectrogram":
        """The settings that `to_dict` wrote; names that it does not know are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in said.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """All settings by name, as a config writes them."""
        return asdict(self)

    @property
    def length(self) -> float:
        """Seconds of the window that an image model reads of each sound."""
        return SECONDS if self.seconds is None else self.seconds

    @property
    def samples(self) -> int:
        """Samples of the window that is read of each sound."""
        return round(self.length * self.rate)


def mel_filters(settings: Spectrogram, mels: int) -> torch.Tensor:
    """The filters from a power spectrum to the mel scale.

    Args:
        settings: Rate, window and range of frequencies.
        mels: Number of filters.

    Returns:
        Float32 [mels, window // 2 + 1].
    """
    from transformers.audio_utils import mel_filter_bank

    bank = mel_filter_bank(
        num_frequency_bins=settings.window // 2 + 1,
        num_mel_filters=mels,
        min_frequency=settings.low,
        max_frequency=settings.rate / 2 if settings.high is None else settings.high,
        sampling_rate=settings.rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(np.ascontiguousarray(bank.T, dtype=np.float32))


def log_mel(
    waves: torch.Tensor, settings: Spectrogram, filters: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """Pictures of waves: low tones in the first row, the beginning in the first column.

    Args:
        waves: Float32 [n, samples].
        settings: How a sound becomes a picture.
        filters: What `mel_filters` gave for the settings.
        size: Height and width of the pictures.

    Returns:
        Float32 [n, height, width]: 1 at the loudest point of each sound, 0 where it is `decibels`
        below that or more.
    """
    width = size[1]
    # As many spectra as the picture has columns, and never a gap between two.
    hop = min(max(round(waves.shape[1] / max(width - 1, 1)), 1), settings.window // 2)
    spectra = torch.stft(
        waves,
        settings.window,
        hop,
        window=torch.hann_window(settings.window),
        center=True,
        return_complex=True,
    )
    power = filters @ (spectra.real.square() + spectra.imag.square())
    decibels = 10 * power.clamp(min=_FAINTEST).log10()
    peak = decibels.amax(dim=(1, 2), keepdim=True).clamp(min=_QUIETEST_PEAK)
    pictures = ((decibels - peak) / settings.decibels + 1).clamp(min=0.0)
    if pictures.shape[1:] == size:
        return pictures
    resized: torch.Tensor = functional.interpolate(
        pictures[:, None], size, mode="bilinear", align_corners=False, antialias=True
    )
    return resized[:, 0]
