"""Pictures of sound: the same numbers as transformers' own, and what they are made to show."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.audio_utils import spectrogram

from sounds import RATE, wav_bytes
from transfuse.data.audio import Clip
from transfuse.models.audio.mel import Spectrogram, log_mel, mel_filters
from transfuse.models.audio.rows import window_of

SETTINGS = Spectrogram(seconds=1, rate=RATE, mels=32, window=512)
FILTERS = mel_filters(SETTINGS, 32)


def picture(wave: np.ndarray, settings: Spectrogram = SETTINGS) -> torch.Tensor:
    waves = torch.from_numpy(wave.astype(np.float32))[None]
    return log_mel(waves, settings, FILTERS, (32, 32))[0]


def tone(pitch: float, loudness: float = 0.5) -> np.ndarray:
    return loudness * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE)


def test_a_picture_holds_what_transformers_computes() -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    hop = RATE // 32
    wanted = spectrogram(
        wave,
        np.hanning(513)[:-1],
        frame_length=512,
        hop_length=hop,
        power=2.0,
        mel_filters=FILTERS.T.numpy(),
        log_mel="dB",
    )
    wanted = np.clip((wanted - wanted.max()) / 80 + 1, 0, None)
    got = log_mel(torch.from_numpy(wave)[None], SETTINGS, FILTERS, wanted.shape)[0]
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-4)


@given(loudness=st.floats(0.01, 1.0), pitch=st.floats(200, 3_500))
def test_loudness_does_not_change_a_picture(loudness: float, pitch: float) -> None:
    torch.testing.assert_close(
        picture(tone(pitch, loudness)), picture(tone(pitch)), atol=5e-3, rtol=0
    )


def test_a_higher_tone_stands_in_a_later_row() -> None:
    rows = [int(picture(tone(pitch)).mean(dim=1).argmax()) for pitch in (200, 600, 1500, 3500)]
    assert rows == sorted(set(rows))


def test_a_later_sound_stands_in_a_later_column() -> None:
    late = tone(800) * (np.arange(RATE) > RATE * 0.75)
    columns = picture(late).mean(dim=0)
    assert columns[-6:].min() > columns[:20].max()


def test_silence_is_dark_and_everything_lies_between_0_and_1() -> None:
    assert picture(np.zeros(RATE)).max() == 0
    wild = picture(np.random.default_rng(0).normal(0, 10, RATE))
    assert wild.min() >= 0
    assert wild.max() <= 1


def test_each_sound_of_a_batch_is_drawn_alone() -> None:
    waves = torch.from_numpy(np.stack([tone(300), tone(2000, 0.01)]).astype(np.float32))
    both = log_mel(waves, SETTINGS, FILTERS, (24, 40))
    assert both.shape == (2, 24, 40)
    alone = log_mel(waves[1:], SETTINGS, FILTERS, (24, 40))
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_every_window_has_the_length_that_was_asked_for(seconds: float) -> None:
    clip = Clip(wav_bytes(tone(440), 8_000))
    for rate in (8_000, 11_025, 16_000):
        for short in ("repeat", "silence"):
            assert len(window_of(clip, rate, seconds, short)) == round(rate * seconds)


def test_a_short_sound_is_repeated_or_followed_by_silence() -> None:
    samples = np.array([0.5, -0.5, 0.25], np.float32)
    clip = Clip(wav_bytes(samples, subtype="FLOAT"))
    again = window_of(clip, RATE, 7 / RATE, "repeat")
    np.testing.assert_array_equal(again, [*samples, *samples, 0.5])
    quiet = window_of(clip, RATE, 7 / RATE, "silence")
    np.testing.assert_array_equal(quiet, [*samples, 0, 0, 0, 0])
    assert not window_of(None, RATE, 1, "repeat").any()


def test_settings_are_checked_and_written() -> None:
    with pytest.raises(ValueError, match="low < high"):
        Spectrogram(low=9_000)
    with pytest.raises(ValueError, match=r"rate from 1,000.*short as repeat"):
        Spectrogram(rate=10, short="loud", low=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"window of 1024 samples in 0\.01 seconds"):
        Spectrogram(seconds=0.01)
    assert Spectrogram.from_dict(SETTINGS.to_dict() | {"later": 1}) == SETTINGS
