"""From a sound file to samples: one channel, 32-bit floats, at the rate that a model reads.

libsndfile (the package soundfile) reads WAV of 8 to 64 bits, FLAC, OGG, Opus, MP3, AIFF and more;
scipy changes the rate.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transfuse.data.audio.clips import Clip
from transfuse.errors import DataError, Problem

__all__ = ["decode", "opened", "require_soundfile", "resampled"]


def decode(clip: Clip, rate: int, seconds: float | None = None) -> npt.NDArray[np.float32]:
    """The samples of a sound.

    Channels are averaged. Of a sound that is longer than asked for, only the middle is read.

    Args:
        clip: The sound.
        rate: Samples a second that are wanted; the sound is resampled where it has others.
        seconds: The longest that is wanted. Default: all of it.

    Returns:
        Float32 [samples], full scale at 1; at least one sample.

    Raises:
        DataError: If it cannot be read, is no sound, is empty, or holds numbers that are not
            finite.
    """
    with opened(clip) as file:
        frames = int(file.frames)
        wanted = frames if seconds is None else min(frames, round(seconds * file.samplerate))
        if wanted < frames:
            file.seek((frames - wanted) // 2)
        channels = file.read(wanted, dtype="float32", always_2d=True)
        source = int(file.samplerate)
    samples = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)
    if not len(samples):
        raise DataError(Problem(clip.name, "the sound has no samples", "at least one"))
    if not np.isfinite(samples).all():
        what = "the sound holds samples that are not finite"
        raise DataError(Problem(clip.name, what, "numbers, full scale at 1"))
    return resampled(samples, source, rate)


def resampled(samples: npt.NDArray[np.float32], source: int, rate: int) -> npt.NDArray[np.float32]:
    """Samples at another rate, by a polyphase filter that leaves no aliases.

    Args:
        samples: Float32 [samples].
        source: Samples a second that they have.
        rate: Samples a second that are wanted.

    Returns:
        Float32 [samples · rate / source, rounded up].
    """
    if source == rate:
        return np.ascontiguousarray(samples, dtype=np.float32)
    from scipy.signal import resample_poly

    common = math.gcd(source, rate)
    changed = resample_poly(samples, rate // common, source // common)
    return np.asarray(changed, dtype=np.float32)


@contextmanager
def opened(clip: Clip) -> Iterator[Any]:
    """A sound file open for reading.

    Args:
        clip: The sound.

    Yields:
        A `soundfile.SoundFile`.

    Raises:
        DataError: If it cannot be opened, or what is read of it inside cannot be decoded.
    """
    soundfile = require_soundfile()
    try:
        if clip.content is None:
            assert clip.path is not None
            # libsndfile says no more than "System error" of a file that is missing.
            Path(clip.path).stat()
        source = clip.path if clip.content is None else io.BytesIO(clip.content)
        with soundfile.SoundFile(source) as file:
            yield file
    except OSError as error:
        raise clip.unreadable(error) from None
    except soundfile.LibsndfileError as error:
        what = f"cannot be decoded ({error.error_string.strip().rstrip('.')})"
        raise DataError(Problem(clip.name, what, "a sound file, whole")) from None


def require_soundfile() -> Any:
    """The library that reads sounds.

    Raises:
        DataError: If it is not installed.
    """
    try:
        import soundfile
    except ImportError:
        what = "sounds need the package soundfile, which is not installed"
        fix = "Install it with: pip install 'transfuse[audio]'"
        raise DataError(Problem("audio", what, fix=fix)) from None
    return soundfile
