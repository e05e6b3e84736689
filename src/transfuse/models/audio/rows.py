"""Sounds on their way into batches: none is decoded before its batch is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from transfuse.data.audio import Clip, Clips, decode
from transfuse.data.blobs import in_threads
from transfuse.errors import DataError, Problem

__all__ = ["Short", "Sounds", "waves_of", "window_of"]

Short = Literal["repeat", "silence"]
"""What fills a window after a shorter sound."""


@dataclass(frozen=True)
class Sounds:
    """The rows that an audio encoder's `preprocess` gives.

    Args:
        clips: The sounds.
        cost: What each of them costs, in the patches or tokens that a model makes of it.
    """

    clips: Clips
    cost: int

    @classmethod
    def of(cls, rows: Sequence[Clip | bytes | str | Path | None], cost: int) -> "Sounds":
        """Rows as they come: `Clips`, or clips, bytes and paths that are at hand."""
        return cls(rows if isinstance(rows, Clips) else Clips.of(rows), cost)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """What each row costs, int64 [rows]; all the same, since all windows are of one length."""
        return np.full(len(self.clips), self.cost, dtype=np.int64)

    def take(self, indices: npt.ArrayLike) -> "Sounds":
        """The rows at some places, in that order.

        Args:
            indices: Row numbers, integers [n], or a boolean mask [rows].
        """
        return Sounds(self.clips.take(indices), self.cost)

    def keys(self) -> npt.NDArray[Any]:
        """The key of each sound's content, S16 [rows]; reads every file."""
        return self.clips.keys()

    def __len__(self) -> int:
        return len(self.clips)


def window_of(
    clip: Clip | None, rate: int, seconds: float, short: Short
) -> npt.NDArray[np.float32]:
    """The window that is read of a sound.

    Args:
        clip: The sound; None is silence.
        rate: Samples a second.
        seconds: Length of the window.
        short: What fills it after a shorter sound: `repeat` or `silence`.

    Returns:
        Float32 [seconds · rate].

    Raises:
        DataError: If the sound cannot be read.
    """
    samples = round(seconds * rate)
    if clip is None:
        return np.zeros(samples, np.float32)
    # A sample more, since the rates of file and model round a window differently.
    wave = decode(clip, rate, seconds + 1 / rate)[:samples]
    if len(wave) < samples:
        if short == "repeat":
            return np.resize(wave, samples)
        return np.pad(wave, (0, samples - len(wave)))
    return wave


def waves_of(
    clips: Clips | Sequence[Clip | None], rate: int, seconds: float, short: Short
) -> torch.Tensor:
    """The windows that are read of some sounds, decoded in threads.

    Args:
        clips: The sounds.
        rate: Samples a second.
        seconds: Length of the windows.
        short: What fills a window after a shorter sound.

    Returns:
        Float32 [n, seconds · rate].

    Raises:
        DataError: For sounds that cannot be decoded, all of them, by row.
    """
    problems: list[Problem] = []

    def one(item: tuple[int, Clip | None]) -> Any:
        row, clip = item
        try:
            return window_of(clip, rate, seconds, short)
        except DataError as error:
            (problem,) = error.problems
            place = clips.place(row) if isinstance(clips, Clips) else problem.where
            problems.append(Problem(place, problem.what, problem.expected, problem.fix))
            return None

    found = list(in_threads(one, enumerate(clips)))
    if problems:
        raise DataError(problems)
    return torch.from_numpy(np.stack(found))
