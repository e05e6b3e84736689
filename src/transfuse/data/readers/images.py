"""Folders of pictures; see `folders.py`."""

from pathlib import Path

from transfuse.data.loaded import Loaded, ReadOptions
from transfuse.data.places import PICTURES
from transfuse.data.readers.folders import Kind, count_of, load_files

__all__ = ["PICTURE_FILES", "is_picture_folder", "load_pictures"]

PICTURE_FILES = Kind("image", "picture", "pictures", PICTURES)
"""Files of pictures."""


def is_picture_folder(path: Path) -> bool:
    """Whether a folder holds pictures, judged by the names of its first thousand files.

    Args:
        path: The folder.
    """
    return count_of(path, PICTURE_FILES) > 0


def load_pictures(path: Path, split: str | None, options: ReadOptions) -> Loaded:
    """Reads a folder of picture files.

    Args:
        path: The folder.
        split: Which split. Default: all.
        options: How a `metadata.csv` is read.

    Returns:
        Columns `image`, `label` and others as `load_files` gives them.

    Raises:
        DataError: If there are no pictures, not that split, or a `metadata` file without names.
    """
    return load_files(path, split, options, PICTURE_FILES)
