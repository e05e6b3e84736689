"""Checks of sounds by row, before any model reads them; most of a file is never decoded for it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from transfuse.data.audio.clips import Clip, Clips
from transfuse.data.audio.decode import opened, require_soundfile
from transfuse.data.blobs import in_threads
from transfuse.errors import DataError

__all__ = ["SHOWN", "SILENCE", "CheckedClips", "check_clips"]

SHOWN = 5
"""Silent sounds that a note names."""

SILENCE = 1e-4
"""Loudest sample of a sound that counts as silent, with full scale at 1 (-80 dB)."""

_BLOCK = 65_536

Fault = tuple[str, str, str]
"""What is wrong with a sound, what was expected, and how to mend it."""


@dataclass(frozen=True)
class CheckedClips:
    """What the checks found.

    Args:
        bad: Row number from 0, and what is wrong with its sound, ascending.
        silent: Rows whose sound is silence.
        seconds: How long each sound is, float64 [rows]; NaN where there is none.
    """

    bad: dict[int, Fault]
    silent: tuple[int, ...]
    seconds: npt.NDArray[np.float64]

    def notes(self, places: Sequence[str]) -> list[str]:
        """What should be known of the sounds, one sentence each.

        Args:
            places: How messages name the silent rows, or the first of them.
        """
        known = self.seconds[np.isfinite(self.seconds)]
        notes = []
        if len(known):
            low, middle, high = np.quantile(known, [0.0, 0.5, 1.0])
            span = f"{low:.3g} to {high:.3g} s long, half of them below {middle:.3g} s"
            said = f"all {low:.3g} s long" if low == high else span
            notes.append(f"The sounds are {said}.")
        if self.silent:
            count = len(self.silent)
            shown = ", ".join(places) + ", …" * (count > len(places))
            notes.append(f"{count:,} sound{'s are' if count > 1 else ' is'} silent: {shown}.")
        return notes


def check_clips(clips: Clips) -> CheckedClips:
    """Opens every sound and looks at its header, its first blocks and its end.

    Args:
        clips: The sounds; rows without one are left alone.

    Returns:
        What was found.

    Raises:
        DataError: If the library that reads sounds is not installed.
    """
    require_soundfile()
    bad: dict[int, Fault] = {}
    silent: list[int] = []
    seconds = np.full(len(clips), np.nan)
    for row, (fault, quiet, long) in enumerate(in_threads(_look, clips)):
        seconds[row] = long
        if fault is not None:
            bad[row] = fault
        elif quiet:
            silent.append(row)
    return CheckedClips(bad, tuple(silent), seconds)


def _look(clip: Clip | None) -> tuple[Fault | None, bool, float]:
    """The fault of a sound, whether it is silent, and its seconds."""
    if clip is None:
        return None, False, float("nan")
    try:
        size = _size(clip)
        if not size:
            return ("an empty sound file", "a sound", _LEAVE_OUT), False, float("nan")
        with opened(clip) as file:
            fault = _fault(clip, file, size)
            if fault is not None:
                return fault, False, float("nan")
            return None, _is_silent(file), file.frames / file.samplerate
    except DataError as error:
        (problem,) = error.problems
        return (problem.what, problem.expected, problem.fix or _LEAVE_OUT), False, float("nan")


_LEAVE_OUT = "Mend the file or leave the row out."


def _fault(clip: Clip, file: Any, size: int) -> Fault | None:
    if not file.frames:
        return "a sound without samples", "at least one", _LEAVE_OUT
    with _bytes_of(clip) as raw:
        missing = _missing_bytes(raw, size)
    if missing:
        what = f"a truncated sound: {missing:,} bytes are missing at the end"
        return what, "the whole file", _LEAVE_OUT
    file.seek(file.frames - 1)
    if not len(file.read(1)):
        return "a truncated sound: its end cannot be decoded", "the whole file", _LEAVE_OUT
    file.seek(0)
    if file.subtype in ("FLOAT", "DOUBLE"):
        for block in file.blocks(_BLOCK, dtype="float32"):
            if not np.isfinite(block).all():
                what = "a sound with samples that are not finite"
                return what, "numbers, full scale at 1", _LEAVE_OUT
        file.seek(0)
    return None


def _is_silent(file: Any) -> bool:
    return all(np.abs(block).max() <= SILENCE for block in file.blocks(_BLOCK, dtype="float32"))


def _size(clip: Clip) -> int:
    if clip.content is not None:
        return len(clip.content)
    assert clip.path is not None
    try:
        return Path(clip.path).stat().st_size
    except OSError:
        return -1  # opening it tells why


def _bytes_of(clip: Clip) -> BinaryIO:
    if clip.content is not None:
        return io.BytesIO(clip.content)
    assert clip.path is not None
    return Path(clip.path).open("rb")


def _missing_bytes(raw: BinaryIO, size: int) -> int:
    """How many bytes the last chunk of a WAV or AIFF file promises beyond the file's end.

    libsndfile takes such a file for a shorter sound.
    """
    start = raw.read(12)
    match start[:4], start[8:]:
        case b"RIFF", b"WAVE":
            order = "little"
        case b"FORM", b"AIFF" | b"AIFC":
            order = "big"
        case _:
            return 0
    place = 12
    while len(header := raw.read(8)) == 8:
        length = int.from_bytes(header[4:], order)  # type: ignore[arg-type]
        place += 8 + length
        if header[:4] in (b"data", b"SSND"):
            # Programs that write to a pipe leave the greatest number there.
            return 0 if length >= 2**32 - 512 else max(place - size, 0)
        place += length % 2
        raw.seek(place)
    return 0
