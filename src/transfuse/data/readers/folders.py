"""Folders of files such as pictures: a folder for each class, perhaps in one for each split.

folder/cats/1.png                          the class is the folder
folder/train/cats/1.png, folder/test/…     with a column `split`
folder/metadata.csv                        a table with the column `file_name`, as the hub has it

No file is opened or copied here: a row holds the path.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

from transfuse.data.columns import new_dataset
from transfuse.data.loaded import Findings, Loaded, ReadOptions
from transfuse.data.readers.csv import load_csv
from transfuse.data.readers.json import load_json_lines
from transfuse.errors import DataError, Problem

__all__ = ["Kind", "count_of", "load_files"]

_SPLITS = frozenset(
    ("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval")
)
_TABLES = ("metadata.csv", "metadata.jsonl")
_FILE = "file_name"
_LOOKED_AT = 1_000
_BLOCK = 10_000


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Args:
        column: The column of their paths.
        one: What messages call one.
        many: What messages call several.
        suffixes: How their names end.
    """

    column: str
    one: str
    many: str
    suffixes: tuple[str, ...]


@dataclass
class _Found:
    """The files of a folder so far: whole columns, some thousand rows at a time."""

    files: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    tables: list[str] = field(default_factory=list)


def count_of(path: Path, kind: Kind) -> int:
    """How many of the first thousand files below a folder are of a kind, by their names.

    Args:
        path: The folder.
        kind: The kind of files.
    """
    return sum(_suffix(file) in kind.suffixes for file in islice(_files(path), _LOOKED_AT))


def load_files(path: Path, split: str | None, options: ReadOptions, kind: Kind) -> Loaded:
    """Reads a folder of files.

    Args:
        path: The folder. Names that begin with a dot are left out.
        split: Which split, where folders above those of the classes are called train, test and
            so on. Default: all, told apart by a column `split`.
        options: How a `metadata.csv` is read.
        kind: The kind of files.

    Returns:
        The column of the kind (the path of each file), `label` (its folder, where there are any),
        `split` (where there are splits) and those of the metadata, sorted by path.

    Raises:
        DataError: If there are no such files, not that split, or a `metadata` file without names.
    """
    found = _walked(path, kind)
    splits = _splits(found.files)
    if split is not None and split not in splits:
        listed = ", ".join(map(repr, sorted(splits)))
        expected = f"one of {listed}" if splits else "a folder that is divided into splits"
        raise DataError(Problem(path.name, f"no split {split!r}", expected))
    if split is not None:
        found.files = [file for file in found.files if file.split("/", 1)[0] == split]
        found.tables = [file for file in found.tables if file.split("/", 1)[0] in (split, file)]
    tables = [file for file in found.tables if "/" not in file or file.split("/")[0] in splits]
    if tables:
        loaded = _with_metadata(path, tables, found, splits, options, kind)
    else:
        loaded = _by_folders(path, found.files, splits, kind)
    notes = (*loaded.notes, *_notes(path.name, found, splits if split is None else set(), kind))
    return Loaded(
        loaded.dataset if split is None else loaded.dataset.remove_columns(["split"]),
        path.name,
        loaded.places,
        notes,
        loaded.untyped,
        loaded.mixed,
        loaded.findings,
    )


def _walked(path: Path, kind: Kind) -> _Found:
    found = _Found()
    for file in _files(path):
        suffix = _suffix(file)
        if suffix in kind.suffixes:
            found.files.append(file)
        elif file.rsplit("/", 1)[-1] in _TABLES:
            found.tables.append(file)
        else:
            found.others[suffix or "no suffix"] += 1
    if not found.files:
        expected = f"files named {', '.join(kind.suffixes[:5])} …"
        raise DataError(Problem(str(path), f"there are no {kind.many} in the folder", expected))
    return found


def _files(folder: Path, prefix: str = "") -> Iterator[str]:
    """The files below a folder, sorted, as paths relative to it with plain slashes."""
    with os.scandir(folder) as entries:
        children = sorted(entries, key=lambda entry: entry.name)
    for entry in children:
        if entry.name.startswith((".", "__MACOSX")) or entry.name == "Thumbs.db":
            continue
        if entry.is_dir():
            yield from _files(folder / entry.name, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path for each file costs more)


def _splits(files: Sequence[str]) -> set[str]:
    """The folders of splits, if that is what all folders at the top are."""
    tops = {file.split("/", 1)[0] if "/" in file else "" for file in files}
    return tops if {top.casefold() for top in tops} <= _SPLITS else set()


def _by_folders(path: Path, files: Sequence[str], splits: set[str], kind: Kind) -> Loaded:
    findings = Findings()
    root = str(path.absolute())
    blocks = []
    classes = any(_class(file, splits) is not None for file in files)
    for start in range(0, len(files), _BLOCK):
        block = files[start : start + _BLOCK]
        columns: dict[str, list[str | None]] = {kind.column: [f"{root}/{file}" for file in block]}
        if classes:
            columns["label"] = [_class(file, splits) for file in block]
            for row, label in enumerate(columns["label"], start):
                if label is None:
                    where = f"{path.name}, {files[row]}"
                    fix = "Move it into the folder of its class, or out of the folder."
                    expected = f"each {kind.one} in the folder of its class"
                    what = f"a {kind.one} beside the folders of classes"
                    findings.add(row, Problem(where, what, expected, fix))
        if splits:
            columns["split"] = [file.split("/", 1)[0] for file in block]
        schema = pa.schema([(name, pa.string()) for name in columns])
        blocks.append(pa.table(columns, schema))

    def places(rows: Sequence[int]) -> list[str]:
        return [f"{files[row]}, row {row + 1:,}" for row in rows]

    return Loaded(new_dataset(pa.concat_tables(blocks)), path.name, places, findings=findings)


def _class(file: str, splits: set[str]) -> str | None:
    parts = file.split("/")[bool(splits) :]
    return parts[0] if len(parts) > 1 else None


def _with_metadata(
    path: Path,
    tables: Sequence[str],
    found: _Found,
    splits: set[str],
    options: ReadOptions,
    kind: Kind,
) -> Loaded:
    """The rows of metadata files, with the files that they name."""
    read = [_one_metadata(path, name, splits, options, kind) for name in tables]
    listed = {file for loaded in read for file in loaded.dataset[kind.column]}
    root = str(path.absolute())
    alone = sum(f"{root}/{file}" not in listed for file in found.files)
    notes = tuple(note for loaded in read for note in loaded.notes)
    if alone:
        plural = f"{kind.many} have" if alone > 1 else f"{kind.one} has"
        notes += (f"{path.name}: {alone:,} {plural} no row in the metadata and are left out.",)
    if len(read) == 1:
        (only,) = read
        return Loaded(
            *(only.dataset, path.name, only.places, notes, only.untyped, only.mixed, only.findings)
        )
    joined = pa.concat_tables(
        [loaded.dataset.with_format("arrow")[:] for loaded in read], promote_options="permissive"
    )
    findings = Findings()
    starts: list[int] = []
    row = 0
    for loaded in read:
        starts.append(row)
        for problem in loaded.findings.problems(loaded.name):
            findings.add(row, problem)
        row += len(loaded.dataset)

    def places(rows: Sequence[int]) -> list[str]:
        told = []
        for one in rows:
            number = max(place for place, start in enumerate(starts) if start <= one)
            (place,) = read[number].places([one - starts[number]])
            told.append(f"{tables[number]}, {place}")
        return told

    mixed = {name: one for loaded in read for name, one in loaded.mixed.items()}
    untyped = all(loaded.untyped for loaded in read)
    return Loaded(new_dataset(joined), path.name, places, notes, untyped, mixed, findings)


def _one_metadata(
    path: Path, name: str, splits: set[str], options: ReadOptions, kind: Kind
) -> Loaded:
    file = path / name
    if file.suffix == ".csv":
        loaded = load_csv(file, options, ",")
    else:
        loaded = load_json_lines(file, options)
    rows = loaded.dataset.with_format("arrow")[:]
    if _FILE not in rows.column_names:
        what = f"no column {_FILE!r} among {', '.join(map(repr, rows.column_names))}"
        fix = f"Name the column of the {kind.many} {_FILE!r}; paths are relative to this file."
        raise DataError(Problem(f"{path.name}/{name}", what, f"the path of each {kind.one}", fix))
    folder = name.rpartition("/")[0]
    inside = [
        "/".join(part for part in (folder, str(one or "")) if part)
        for one in rows[_FILE].to_pylist()
    ]
    root = str(path.absolute())
    whole = [f"{root}/{one}" if one != folder else None for one in inside]
    rows = rows.drop_columns([_FILE]).add_column(0, kind.column, pa.array(whole, pa.string()))
    if "label" not in rows.column_names:
        classes = [_class(one, splits) for one in inside]
        if any(classes):
            rows = rows.append_column("label", pa.array(classes, pa.string()))
    if splits and "split" not in rows.column_names:
        parts = [one.split("/", 1)[0] for one in inside]
        rows = rows.append_column("split", pa.array(parts, pa.string()))
    return Loaded(
        *(new_dataset(rows), loaded.name, loaded.places, loaded.notes, loaded.untyped),
        *(loaded.mixed, loaded.findings),
    )


def _notes(name: str, found: _Found, splits: set[str], kind: Kind) -> list[str]:
    notes = []
    if splits:
        listed = ", ".join(sorted(splits))
        notes.append(
            f"{name}: the folders {listed} became the column 'split'; `split: {{by: column}}` in "
            "a recipe goes by it."
        )
    if found.others:
        kinds = ", ".join(f"{count:,} {end}" for end, count in found.others.most_common(5))
        notes.append(f"{name}: files that are not named as {kind.many} are left out ({kinds}).")
    return notes
