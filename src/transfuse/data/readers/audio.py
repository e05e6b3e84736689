"""Folders of sounds; see `folders.py`."""

from pathlib import Path

from transfuse.data.loaded import Loaded, ReadOptions
from transfuse.data.places import SOUNDS
from transfuse.data.readers.folders import Kind, count_of, load_files
from transfuse.data.readers.images import PICTURE_FILES

__all__ = ["is_sound_folder", "load_sounds"]

_SOUND_FILES = Kind("audio", "sound", "sounds", SOUNDS)


def is_sound_folder(path: Path) -> bool:
    """Whether a folder holds more sounds than pictures, judged by its first thousand files.

    Args:
        path: The folder.
    """
    return count_of(path, _SOUND_FILES) > count_of(path, PICTURE_FILES)


def load_sounds(path: Path, split: str | None, options: ReadOptions) -> Loaded:
    """Reads a folder of sound files.

    Args:
        path: The folder.
        split: Which split. Default: all.
        options: How a `metadata.csv` is read.

    Returns:
        Columns `audio`, `label` and others as `load_files` gives them.

    Raises:
        DataError: If there are no sounds, not that split, or a `metadata` file without names.
    """
    return load_files(path, split, options, _SOUND_FILES)
