"""Reads a table from wherever it is: `read("reviews.csv")`.

    from transfuse.data import read
    table = read("reviews.csv", roles={"text": "body", "label": "stars"})

The readers live in `readers/`, one file for each format; `prepare.py` gives columns their roles
and checks every row.
"""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets

from transfuse.data.loaded import Loaded, ReadOptions
from transfuse.data.prepare import prepare
from transfuse.data.readers.arrow import (
    is_saved,
    load_dataset,
    load_folder,
    load_hub,
    load_parquet,
)
from transfuse.data.readers.audio import is_sound_folder, load_sounds
from transfuse.data.readers.coco import coco_file, is_coco, load_coco
from transfuse.data.readers.csv import load_csv
from transfuse.data.readers.images import is_picture_folder, load_pictures
from transfuse.data.readers.json import load_json, load_json_lines
from transfuse.data.readers.masks import is_mask_folder, load_masks
from transfuse.data.readers.memory import load_columns, load_frame
from transfuse.data.schema import GivenRoles
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_path", "read"]

_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")


def read(
    source: "str | Path | pd.DataFrame | datasets.Dataset | Mapping[str, Any] | Table",
    *,
    roles: GivenRoles | None = None,
    name: str | None = None,
    split: str | None = None,
    encoding: str = "utf-8",
    max_cell: int = 1_000_000,
    label_separator: str | None = "|",
    label_names: bool = False,
    quotes: bool = True,
) -> Table:
    """Reads and checks a table.

    A file's format is told by its suffix: `.csv`, `.tsv`, `.tab`, `.jsonl`, `.ndjson`, `.json`,
    `.parquet`, `.pq`. A folder is one of pictures or of sounds, in folders of their classes, or
    one that `datasets` saved. Any other text is a name on the Hugging Face hub (`imdb`,
    `owner/name`, `glue:sst2`). Files above 64 MB are converted once to a memory-mapped file in the
    cache; JSON files are held in memory, and pictures and sounds stay where they are.

    Args:
        source: The file, folder, hub name, frame, dataset, columns (name to values) or table.
        roles: Role name to column name, such as `{"text": "body", "label": "stars"}`; None as a
            column says that there is none. Default: roles are inferred; `Table.notes` says how.
        name: What messages call the table. Default: the file's name.
        split: Which split, where the source has several. Default: the only one.
        encoding: The encoding of text files. Default: UTF-8, with or without a byte order mark.
        max_cell: The longest text that is accepted, in characters. Default: 1,000,000.
        label_separator: What stands between several labels in one cell of a CSV file; None if
            nothing does. Default: `|`.
        label_names: Whether labels of a CSV file are names even where they look like numbers or
            like marks of a missing value. Default: False.
        quotes: Whether double quotes in a CSV or TSV file enclose cells. Default: True.

    Returns:
        The table.

    Raises:
        DataError: With every problem found (the first 20 bad rows whole, the others counted).
        TypeError: If the source is of another type.
    """
    options = ReadOptions(encoding, max_cell, label_separator, label_names, quotes)
    if isinstance(source, Table):
        if roles is None:
            return source
        loaded = load_dataset(source.dataset, name or source.name)
    else:
        loaded = _load(source, name, split, options)
    dataset, schema, notes = prepare(loaded, roles, options)
    return Table(dataset, schema, name or loaded.name, notes)


def _load(source: Any, name: str | None, split: str | None, options: ReadOptions) -> Loaded:
    if isinstance(source, (str, Path)):
        return load_path(source, split, options)
    if isinstance(source, datasets.Dataset):
        return load_dataset(source, name or "dataset")
    if isinstance(source, datasets.DatasetDict):
        listed = ", ".join(map(repr, source))
        fix = "Pass one of them, as in data['train']."
        raise DataError(Problem(name or "dataset", f"a dataset with the splits {listed}", fix=fix))
    if isinstance(source, Mapping):
        return load_columns(source, name or "table")
    # Asked by its methods, so that pandas is not loaded for those who do without it.
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return load_frame(source, name or "frame")
    raise TypeError(f"cannot read a table from {type(source).__name__}; see the help of read")


def load_path(source: str | Path, split: str | None, options: ReadOptions) -> Loaded:
    """The columns of a file, folder or hub name as they stand there, before roles are known.

    Args:
        source: As for `read`; a `Path` is never a hub name.
        split: Which split, where the source has several.
        options: How it is read.

    Returns:
        The columns; those of a CSV file are still text.

    Raises:
        DataError: If it cannot be read.
    """
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return _load_directory(path, split, options)
        if not path.exists():
            if _is_hub_name(source, path):
                return load_hub(str(source), split)
            raise DataError(_missing(path))
        return replace(_load_file(path, options), folder=path.parent)
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise DataError(Problem(str(path), what)) from None


def _load_directory(path: Path, split: str | None, options: ReadOptions) -> Loaded:
    if is_mask_folder(path):
        return load_masks(path)
    boxes = coco_file(path)
    if boxes is not None:
        return load_coco(boxes)
    if not is_saved(path) and is_sound_folder(path):
        return load_sounds(path, split, options)
    if not is_saved(path) and is_picture_folder(path):
        return load_pictures(path, split, options)
    return load_folder(path, split)


def _load_file(path: Path, options: ReadOptions) -> Loaded:
    if not path.stat().st_size:
        raise DataError(Problem(path.name, "the file is empty", "at least one row"))
    match path.suffix.lower():
        case ".csv":
            return load_csv(path, options, ",")
        case ".tsv" | ".tab":
            return load_csv(path, options, "\t")
        case ".jsonl" | ".ndjson":
            return load_json_lines(path, options)
        case ".json":
            return load_coco(path) if is_coco(path) else load_json(path, options)
        case ".parquet" | ".pq":
            return load_parquet(path, options)
    what = f"unknown kind of file {path.suffix!r}"
    fix = "Rename or convert it."
    raise DataError(Problem(path.name, what, f"one of {', '.join(_SUFFIXES)}", fix))


def _is_hub_name(source: str | Path, path: Path) -> bool:
    if isinstance(source, Path) or path.suffix.lower() in _SUFFIXES or path.is_absolute():
        return False
    if source.startswith((".", "~")) or len(path.parts) > 2:
        return False
    if path.suffix and len(path.parts) == 1:
        return False  # no data set of the hub is named like a file; a misspelt file is
    # "owner/name" is a hub name, unless a folder "owner" is here, in which the file is missing.
    return len(path.parts) == 1 or not path.parent.is_dir()


def _missing(path: Path) -> Problem:
    folder = path.parent
    if not folder.is_dir():
        return Problem(str(path), "no such file", fix=f"There is no folder {str(folder)!r}.")
    names = sorted(child.name for child in folder.iterdir())
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    if close:
        return Problem(str(path), "no such file", fix=f"Did you mean {' or '.join(close)}?")
    tables = [name for name in names if name.lower().endswith(_SUFFIXES)][:8]
    listed = (
        f"Tables in its folder: {', '.join(tables)}." if tables else "Its folder has no tables."
    )
    return Problem(str(path), "no such file", fix=listed)
