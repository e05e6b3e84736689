"""Folders of sounds: a folder for each class, perhaps inside a folder for each split."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from transfuse.data.columns import new_dataset
from transfuse.data.loaded import Loaded
from transfuse.data.places import PICTURES, SOUNDS
from transfuse.errors import DataError, Problem

__all__ = ["is_sound_folder", "load_sounds"]

_SPLITS = ("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval")
_LOOKED_AT = 1_000


def is_sound_folder(path: Path) -> bool:
    """Whether a folder holds more sounds than pictures, judged by its first thousand files.

    Args:
        path: The folder.
    """
    kinds = [file.suffix.lower() for file in islice(_files(path), _LOOKED_AT)]
    sounds = sum(kind in SOUNDS for kind in kinds)
    return sounds > sum(kind in PICTURES for kind in kinds)


def load_sounds(path: Path, split: str | None = None) -> Loaded:
    """Reads a folder of sound files: the class of each is the folder that it lies in.

    The layouts are `folder/CLASS/**/sound.wav`, the same below a folder for each split
    (`folder/train/CLASS/sound.wav`), and sounds alone, without classes. Names that begin with a
    dot are left out.

    Args:
        path: The folder.
        split: Which split, where the folder has several. Default: the only one.

    Returns:
        Columns `audio` (the path of each file) and `label` (where there are classes), sorted by
        path.

    Raises:
        DataError: If there are no sounds, not that split, or sounds beside the folders of
            classes.
    """
    root = _split_folder(path, split)
    files = sorted(_sounds(root))
    if not files:
        expected = f"files named {', '.join(SOUNDS[:7])} …"
        raise DataError(Problem(str(root), "there are no sounds in the folder", expected))
    places = [file.relative_to(root) for file in files]
    columns = {"audio": [str(file.resolve()) for file in files]}
    loose = [place for place in places if len(place.parts) == 1]
    if loose and len(loose) < len(places):
        said = "sounds lie" if len(loose) > 1 else "sound lies"
        what = f"{len(loose):,} {said} beside the folders of classes, first {str(loose[0])!r}"
        fix = "Move them into the folder of their class."
        raise DataError(Problem(str(root), what, "each sound in the folder of its class", fix))
    if not loose:
        columns["label"] = [place.parts[0] for place in places]

    def named(rows: Sequence[int]) -> list[str]:
        return [str(places[row]) for row in rows]

    return Loaded(new_dataset(pa.table(columns)), root.name, named, _notes(root, columns))


def _split_folder(path: Path, split: str | None) -> Path:
    """The folder of the split, or the folder itself where it is not divided."""
    folders = [child.name for child in _children(path) if child.is_dir()]
    splits = [name for name in folders if name.casefold() in _SPLITS]
    if not splits or len(splits) < len(folders):
        if split is not None:
            what = f"no split {split!r}; the folder is not divided into splits"
            raise DataError(Problem(str(path), what, fix="Leave the split out."))
        return path
    listed = ", ".join(map(repr, splits))
    if split is None and len(splits) > 1:
        fix = f"Say which, as `split: {splits[0]}` in a recipe or split={splits[0]!r} in Python."
        raise DataError(Problem(str(path), f"{len(splits)} splits: {listed}", "one", fix))
    if split is not None and split not in splits:
        raise DataError(Problem(str(path), f"no split {split!r}", f"one of {listed}"))
    return path / (split or splits[0])


def _sounds(folder: Path) -> Iterator[Path]:
    return (file for file in _files(folder) if file.suffix.lower() in SOUNDS)


def _files(folder: Path) -> Iterator[Path]:
    for child in _children(folder):
        if child.is_dir():
            yield from _files(child)
        else:
            yield child


def _children(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _notes(root: Path, columns: dict[str, list[str]]) -> tuple[str, ...]:
    if "label" not in columns:
        return ()
    empty = [
        child.name
        for child in _children(root)
        if child.is_dir() and child.name not in set(columns["label"])
    ]
    listed = ", ".join(map(repr, empty[:5]))
    return (f"{root.name}: no sounds in the folder {listed}.",) if empty else ()
