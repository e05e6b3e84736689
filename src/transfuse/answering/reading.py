"""Rows for a model to answer: files read as its own table was, texts mended as its own were."""

from collections.abc import Sequence
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

__all__ = ["Texts", "check_unseen", "mended_texts", "open_labelled", "open_texts"]


@dataclass(frozen=True)
class Texts:
    """A file's rows as they stand there; memory-mapped where the file is long."""

    dataset: datasets.Dataset
    column: str
    """The column of the text."""

    name: str
    notes: tuple[str, ...] = ()
    """What was assumed, one sentence each."""

    def __len__(self) -> int:
        return len(self.dataset)


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
    return clean(table, _mending(model))[0].texts()


def open_texts(model: ModelFolder, source: Path, column: str | None) -> Texts:
    """Rows to be answered, every text of them checked.

    Args:
        model: The model.
        source: The file.
        column: The column of the text. Default: the one that the model's recipe names, else
            inferred.

    Raises:
        DataError: If the file cannot be read, or rows have no text.
    """
    loaded, options = _load(model, source)
    named = column or _choice(model).get(str(Role.TEXT))
    known = column is not None or named in loaded.dataset.column_names
    found, notes = find_texts(loaded, str(named) if known else None, options)
    return Texts(loaded.dataset, found, loaded.name, notes)


def open_labelled(model: ModelFolder, source: Path, column: str | None, label: str | None) -> Table:
    """Labelled rows with their texts mended; none is left out.

    Args:
        model: The model.
        source: The file.
        column: The column of the text. Default: as for `open_texts`.
        label: The column of the label. Default: likewise.

    Raises:
        DataError: If the file cannot be read, rows have no text or label, or no column is the
            label.
    """
    loaded, options = _load(model, source)
    roles: dict[Role, str] = {}
    for role, given in ((Role.TEXT, column), (Role.LABEL, label)):
        known = _choice(model).get(str(role))
        if given is not None:
            roles[role] = given
        elif known in loaded.dataset.column_names:
            roles[role] = str(known)
    open_roles = {Role.TEXT, Role.LABEL}
    dataset, schema, notes = prepare(loaded, _only(roles, open_roles), options)
    if not schema.has(Role.TEXT):
        raise DataError(Problem(loaded.name, "no column holds text", fix="Name it with --column."))
    if not schema.has(Role.LABEL):
        raise DataError(
            Problem(loaded.name, "no column is the label", "labelled rows", "Name it with --label.")
        )
    table = Table(dataset, Schema(schema.roles), loaded.name, notes)
    return clean(table, _mending(model))[0]


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


def _only(roles: dict[Role, str], open_: set[Role] | None = None) -> dict[str, str | None]:
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
