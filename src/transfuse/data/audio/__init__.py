"""Sounds: rows that are opened, checked, decoded and resampled. Start with `clips.py`."""

from transfuse.data.audio.check import SHOWN, SILENCE, CheckedClips, check_clips
from transfuse.data.audio.clips import Clip, Clips, clips_of
from transfuse.data.audio.decode import decode, resampled

__all__ = [
    "SHOWN",
    "SILENCE",
    "CheckedClips",
    "Clip",
    "Clips",
    "check_clips",
    "clips_of",
    "decode",
    "resampled",
]
