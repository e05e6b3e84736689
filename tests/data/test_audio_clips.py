"""Sounds as rows: what is opened, what is decoded, and what is told of files that are broken."""

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.io.wavfile
from hypothesis import given
from hypothesis import strategies as st

from sounds import RATE, wav_bytes
from transfuse.data.audio import Clip, Clips, check_clips, clips_of, decode, resampled
from transfuse.errors import DataError

WAVE = np.sin(np.arange(RATE) * 0.3).astype(np.float32) * 0.5


def fault(content: bytes) -> str:
    (said,) = check_clips(Clips.of([content])).bad.values()
    return said[0]


@pytest.mark.parametrize(
    ("subtype", "error"),
    [("PCM_U8", 1e-2), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_32", 1e-7), ("FLOAT", 1e-9)],
)
def test_every_depth_of_wav_gives_the_same_wave(subtype: str, error: float) -> None:
    clip = Clip(wav_bytes(WAVE, subtype=subtype))
    got = decode(clip, RATE)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, WAVE, atol=error)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "AIFF"])
def test_other_formats_are_read(kind: str) -> None:
    got = decode(Clip(wav_bytes(WAVE, format=kind)), RATE)
    middle = slice(2000, 6000)
    assert np.corrcoef(got[middle], WAVE[middle])[0, 1] > 0.99


def test_what_scipy_reads_of_a_wav_is_what_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    both = np.stack([WAVE, -0.5 * WAVE], axis=1)
    path.write_bytes(wav_bytes(both))
    rate, samples = scipy.io.wavfile.read(path)
    assert rate == RATE
    got = decode(Clip(path=str(path)), RATE)
    np.testing.assert_allclose(got, samples.mean(axis=1) / 2**15, atol=1e-6)


@given(
    source=st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000]),
    rate=st.sampled_from([8_000, 16_000, 32_000]),
    pitch=st.floats(200, 3_000),
)
def test_a_tone_keeps_its_pitch_and_loudness_at_any_rate(
    source: int, rate: int, pitch: float
) -> None:
    def tone(at: int) -> np.ndarray:
        return np.sin(2 * np.pi * pitch * np.arange(at // 4) / at).astype(np.float32)

    got, wanted = resampled(tone(source), source, rate), tone(rate)
    assert len(got) == -(-len(tone(source)) * rate // source)
    inside = slice(rate // 20, rate // 5)  # the filter rings at both ends
    np.testing.assert_allclose(got[inside], wanted[inside], atol=0.02)


def test_a_tone_above_half_the_new_rate_is_filtered_out() -> None:
    high = np.sin(2 * np.pi * 7_000 * np.arange(24_000) / 48_000).astype(np.float32)
    assert np.abs(resampled(high, 48_000, 8_000)[100:-100]).max() < 0.01


def test_of_a_long_sound_only_the_middle_is_read() -> None:
    ramp = np.linspace(-0.9, 0.9, RATE * 4, dtype=np.float32)
    got = decode(Clip(wav_bytes(ramp, subtype="FLOAT")), RATE, seconds=1)
    np.testing.assert_array_equal(got, ramp[RATE * 3 // 2 : RATE * 5 // 2])


def test_a_column_may_hold_paths_bytes_or_both(tmp_path: Path) -> None:
    content = wav_bytes(WAVE)
    (tmp_path / "a.wav").write_bytes(content)
    path = str(tmp_path / "a.wav")
    columns = [
        pa.array([path, None, path]),
        pa.array([content, None, content]),
        pa.array([content, None, content], pa.large_binary()),
        pa.array([{"bytes": content, "path": "x"}, None, {"bytes": None, "path": path}]),
    ]
    for column in columns:
        clips = clips_of(pa.chunked_array([column]))
        assert [clip is not None for clip in clips] == [True, False, True]
        assert [clip.read() for clip in clips if clip] == [content, content]
        keys = clips.keys()
        assert keys.dtype == "S16"
        assert keys[0] == keys[2] != keys[1]
    with pytest.raises(DataError, match="holds int64; expected paths of sound files"):
        clips_of(pa.chunked_array([[1, 2]]))


def test_rows_are_picked_by_number_slice_and_mask() -> None:
    clips = Clips.of([f"{number}.wav" for number in range(6)])

    def names(some: Clips) -> list[str]:
        return [clip.path or "" for clip in some if clip]

    assert names(clips[1:5:2]) == ["1.wav", "3.wav"]
    assert names(clips.take([5, 0, 5])) == ["5.wav", "0.wav", "5.wav"]
    assert names(clips.take([5, 0, 5]).take(np.array([True, False, True]))) == ["5.wav", "5.wav"]
    last = clips[-1]
    assert last is not None
    assert last.path == "5.wav"
    assert len(clips[6:]) == 0


def test_picked_sounds_share_the_bytes_of_the_column() -> None:
    column = pa.chunked_array([pa.array([b"x" * 1_000_000] * 50)])
    before = pa.total_allocated_bytes()
    some = clips_of(column).take(np.arange(40))
    assert len(some) == 40
    assert pa.total_allocated_bytes() - before < 1_000_000


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "OGG", "MP3"])
def test_half_a_file_is_truncated_or_cannot_be_decoded(kind: str) -> None:
    content = wav_bytes(WAVE, format=kind)
    assert check_clips(Clips.of([content])).bad == {}
    assert any(word in fault(content[: len(content) // 2]) for word in ("truncated", "decoded"))


def test_each_bad_sound_is_told_by_its_row(tmp_path: Path) -> None:
    good = wav_bytes(WAVE)
    nothing = wav_bytes(np.zeros(0))
    endless = wav_bytes(np.array([0.5, np.nan], np.float32), subtype="FLOAT")
    found = check_clips(
        Clips.of([good, b"", b"no sound at all", good[:-10], nothing, endless, None])
    )
    said = {row: what for row, (what, _, _) in found.bad.items()}
    assert list(said) == [1, 2, 3, 4, 5]
    assert said[1] == "an empty sound file"
    assert "cannot be decoded" in said[2]
    assert said[3] == "a truncated sound: 10 bytes are missing at the end"
    assert said[4] == "a sound without samples"
    assert "not finite" in said[5]
    missing = check_clips(Clips.of([tmp_path / "none.wav"])).bad[0]
    assert missing == (
        "cannot be read (No such file or directory)",
        "a sound file",
        "Correct the path, or leave the row out.",
    )
    with pytest.raises(DataError, match=r"none\.wav: cannot be read"):
        decode(Clip(path=str(tmp_path / "none.wav")), RATE)
    with pytest.raises(DataError, match="not finite"):
        decode(Clip(endless), RATE)
    with pytest.raises(DataError, match="no samples"):
        decode(Clip(nothing), RATE)


def test_a_wav_written_to_a_pipe_is_whole() -> None:
    content = bytearray(wav_bytes(WAVE))
    place = content.index(b"data")
    content[place + 4 : place + 8] = struct.pack("<I", 2**32 - 1)
    assert check_clips(Clips.of([bytes(content)])).bad == {}


def test_silence_and_seconds_are_noted() -> None:
    quiet = wav_bytes(np.full(RATE * 2, 5e-5), subtype="FLOAT")
    late = np.zeros(RATE * 10, np.float32)
    late[-1] = 0.1
    found = check_clips(Clips.of([wav_bytes(WAVE), quiet, wav_bytes(late), None]))
    assert found.silent == (1,)
    np.testing.assert_allclose(found.seconds, [1, 2, 10, np.nan])
    assert found.notes(["row 2"]) == [
        "The sounds are 1 to 10 s long, half of them below 2 s.",
        "1 sound is silent: row 2.",
    ]


def test_checks_read_headers_of_long_files_and_not_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav_bytes(np.tile(WAVE, 60)))
    clip = Clip(path=str(path))
    assert check_clips(Clips.of([clip])).seconds[0] == 60
    assert len(decode(clip, RATE, seconds=0.5)) == RATE // 2


def test_a_clip_needs_something() -> None:
    with pytest.raises(ValueError, match="neither"):
        Clip()
    assert Clip(b"abc").name == "a sound of 3 bytes"
