"""Rows for a model to answer: files read as its own table was, texts mended as its own were."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets

from transfuse.answering.folder import ModelFolder
from transfuse.data import Cleaning, Role, Schema, Table, clean
from transfuse.data.loaded import Loaded, ReadOptions
from transfuse.data.prepare import prepare
from transfuse.data.read import load_path
from transfuse.data.texts import find_texts
from transfuse.errors import DataError, Problem
from transfuse.recipe import build_options

__all__ = ["Rows", "check_unseen", "mended", "mended_texts", "open_labelled", "open_rows"]


@dataclass(frozen=True)
class Rows:
    """A file's rows as they stand there; memory-mapped where the file is long."""

    dataset: datasets.Dataset
    schema: Schema
    """The columns that the model reads."""

    name: str
    notes: tuple[str, ...] = ()
    """What was assumed, one sentence each."""

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def columns(self) -> list[str]:
        """The columns that the model reads."""
        return list(self.schema.roles)

    def table(self, start: int, stop: int) -> Table:
        """Some of the rows, as a table of what the model reads."""
        some = self.dataset.select_columns(self.columns).select(range(start, stop))
        return Table(some, self.schema, self.name)


def mended_texts(model: ModelFolder, texts: Sequence[str]) -> list[str]:
    """Texts with their characters mended as those were that the model learnt from.

    Args:
        model: The model.
        texts: The texts.

    Returns:
        One text for each; none is left out.
    """
    if not texts:
        return []
    table = Table.from_dict({"text": list(texts)}, roles=_only({Role.TEXT: "text"}))
    return mended(model, table).texts()


def mended(model: ModelFolder, table: Table) -> Table:
    """A table with its texts mended as those were that the model learnt from; no row is left out.

    Args:
        model: The model.
        table: The table.
    """
    return clean(table, _mending(model))[0] if table.schema.has(Role.TEXT) else table


def open_rows(model: ModelFolder, source: Path, column: str | None = None) -> Rows:
    """Rows to be answered, every one of them checked.

    Args:
        model: The model.
        source: The file, or the folder of pictures or sounds.
        column: The column that the model reads. Default: those that its own table had, else
            inferred.

    Raises:
        DataError: If the file cannot be read, or rows lack what the model reads.
    """
    loaded, options = _load(model, source)
    if model.reads == (Role.TEXT,):
        named = column or _choice(model).get(str(Role.TEXT))
        known = column is not None or named in loaded.dataset.column_names
        found, notes = find_texts(loaded, str(named) if known else None, options)
        return Rows(loaded.dataset, Schema({found: Role.TEXT}), loaded.name, notes)
    roles = _named(model, loaded, model.reads, column)
    dataset, schema, notes = prepare(loaded, _only(roles, set(model.reads)), options)
    read = {name: role for name, role in schema.roles.items() if role in model.reads}
    for role in model.reads:
        schema.column(role)
    return Rows(dataset, Schema(read), loaded.name, notes)


def open_labelled(model: ModelFolder, source: Path, column: str | None, label: str | None) -> Table:
    """Labelled rows with their texts mended; none is left out.

    Args:
        model: The model.
        source: The file.
        column: The column that the model reads. Default: as for `open_rows`.
        label: The column of the label. Default: likewise.

    Raises:
        DataError: If the file cannot be read, rows lack what the model reads or a label, or no
            column is the label.
    """
    loaded, options = _load(model, source)
    answers = model.task.answers
    asked = (*model.reads, answers)
    roles = _named(model, loaded, asked, column)
    if label is not None:
        roles[answers] = (label,)
    dataset, schema, notes = prepare(loaded, _only(roles, set(asked)), options)
    for role in model.reads:
        if not schema.has(role):
            what, fix = f"no column holds {role}", "Name it with --column."
            raise DataError(Problem(loaded.name, what, fix=fix))
    table = Table(dataset, Schema(schema.roles), loaded.name, notes)
    if not model.task.answered(table):
        what = f"no column is the {answers}"
        raise DataError(Problem(loaded.name, what, "labelled rows", "Name it with --label."))
    return mended(model, table)


def _named(
    model: ModelFolder, loaded: Loaded, roles: Iterable[Role], column: str | None
) -> dict[Role, tuple[str, ...]]:
    """The columns of a file that have the names of those of the model's own table."""
    there = loaded.dataset.column_names
    named: dict[Role, tuple[str, ...]] = {}
    for role in roles:
        known = _choice(model).get(str(role)) or ()
        known = (known,) if isinstance(known, str) else tuple(known)
        if known and all(name in there for name in known):
            named[role] = known
    if column is not None:
        named[model.reads[0]] = (column,)
    return named


def check_unseen(model: ModelFolder, table: Table) -> None:
    """Refuse rows that a model has learnt from: on them it is surer than it may be elsewhere.

    Args:
        model: The model.
        table: The rows that are to say how sure it may be.

    Raises:
        DataError: If any of them was learnt from.
    """
    seen = sum(key in model.training_keys for key in table.row_keys())
    if seen:
        what = f"{seen} of {len(table)} rows were trained on"
        fix = "Calibrate on other labelled rows."
        raise DataError(Problem(table.name, what, "rows that the model has not seen", fix))


def _load(model: ModelFolder, source: Path) -> tuple[Loaded, ReadOptions]:
    names = ("encoding", "quotes", "label_names")
    written = _choice(model)
    options = ReadOptions(**{name: written[name] for name in names if name in written})
    return load_path(Path(source), None, options), options


def _only(
    roles: Mapping[Role, str | tuple[str, ...]], open_: set[Role] | None = None
) -> dict[str, str | Sequence[str] | None]:
    """Roles by name; all that are neither given nor open are said not to be there."""
    left = (open_ or set()) - set(roles)
    return {str(role): roles.get(role) for role in Role if role not in left}


def _choice(model: ModelFolder) -> dict[str, Any]:
    """What the model's recipe says of its target's table."""
    data = model.recipe.get("data", {})
    return dict(data.get("tasks", {}).get(model.head) or data.get("target", {}))


def _mending(model: ModelFolder) -> Cleaning:
    """The recipe's cleaning of characters, without leaving out any row."""
    learnt: Cleaning = build_options(Cleaning, model.recipe.get("clean"), "clean")
    return replace(learnt, empty=False, duplicates=False, near_duplicates=None, conflicts="keep")
