"""From loaded columns to a checked dataset with a schema: types, labels, and every bad row."""

from collections.abc import Sequence
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.columns import WRITTEN, rows_where, stored_column, typed, with_written
from transfuse.data.infer import infer_schema
from transfuse.data.labels import plain_labels, read_labels
from transfuse.data.loaded import Findings, Loaded, ReadOptions
from transfuse.data.places import holds_boxes, located
from transfuse.data.schema import GivenRoles, Role, Schema, given_roles
from transfuse.errors import DataError, Problem

__all__ = ["prepare"]

_FILES = (Role.IMAGE, Role.MASK, Role.AUDIO)
"""Roles whose columns hold files."""


def prepare(
    loaded: Loaded, given: GivenRoles | None, options: ReadOptions
) -> tuple[datasets.Dataset, Schema, tuple[str, ...]]:
    """Gives columns their roles and types, and checks every row.

    Args:
        loaded: What a reader found.
        given: Roles that the person named.
        options: How to read labels, and the longest cell.

    Returns:
        The dataset, its schema and the notes of what was assumed.

    Raises:
        DataError: With the first 20 bad rows and the count of the others, or if the columns
            cannot be understood.
    """
    where = loaded.name
    if not len(loaded.dataset):
        loaded.findings.raise_any(where)
        raise DataError(Problem(where, "no rows", "at least one row of data"))
    given_roles(loaded.dataset.column_names, given, where)
    try:
        dataset = typed(loaded.dataset) if loaded.untyped else plain_labels(loaded.dataset)
        schema, notes = infer_schema(dataset, given, where)
    except DataError as error:
        # Rows of the wrong shape may be why the columns make no sense, so both are told.
        raise DataError([*loaded.findings.problems(where), *error.problems]) from None
    if loaded.untyped:
        dataset = with_written(dataset, loaded.dataset, schema.roles, options.label_names)
    files = [name for role in _FILES for name in schema.columns(role)]
    dataset = located(dataset, files, loaded.folder)
    check = _Check(loaded, schema, options)
    check.columns(dataset)
    for column in schema.columns(Role.BOXES):
        dataset = check.boxes(dataset, column)
    for column in schema.columns(Role.LABEL):
        if column in loaded.mixed:
            continue
        labels = read_labels(dataset, column, loaded.untyped, options)
        check.rows(column, labels.bad, labels.describe)
        notes += [f"{where}: {note}" for note in labels.notes]
        dataset = labels.dataset
    check.findings.raise_any(where)
    return dataset, schema, (*loaded.notes, *notes, *check.notes)


class _Check:
    """The checks of the columns that have roles."""

    def __init__(self, loaded: Loaded, schema: Schema, options: ReadOptions) -> None:
        self.loaded = loaded
        self.schema = schema
        self.options = options
        self.findings: Findings = loaded.findings
        self.notes: list[str] = []

    def rows(self, column: str, rows: Sequence[int], describe: Any) -> None:
        """Notes bad rows of a column; `describe(row)` gives what, expected and fix."""

        def problems(shown: Sequence[int]) -> list[Problem]:
            places = self.loaded.places(shown) if shown else []
            return [
                Problem(f"{self.loaded.name}, {place}, column {column!r}", *describe(row))
                for place, row in zip(places, shown, strict=True)
            ]

        self.findings.add_all(rows, problems)

    def columns(self, dataset: datasets.Dataset) -> None:
        """Checks each column that has a role."""
        for name, role in self.schema.roles.items():
            if role == Role.ID or (role == Role.FIELDS and name not in self.loaded.mixed):
                # What a row does not have of its structured columns is missing, and no mistake.
                continue
            if name in self.loaded.mixed:
                self._mixed(name)
            elif role == Role.IMAGE:
                self._pictures(dataset, name)
            elif role == Role.AUDIO:
                self._sounds(dataset, name)
            elif role in WRITTEN:
                self._written(stored_column(dataset, name), name, role)
            elif role != Role.LABEL:
                self._present(stored_column(dataset, name), name, role)

    def _mixed(self, name: str) -> None:
        mixed = self.loaded.mixed[name]
        others = dict(mixed.others)
        fix = "Write all values in one way."
        self.rows(name, list(others), lambda row: (others[row], mixed.expected, fix))
        self.findings.count += mixed.count - len(others)

    def _pictures(self, dataset: datasets.Dataset, name: str) -> None:
        # Not at the top: tables without pictures need not wait for what opens them.
        from transfuse.data.images import check_pictures, pictures_of

        where = f"{self.loaded.name}, column {name!r}"
        pictures = pictures_of(dataset.select_columns([name]), where)
        others = (Role.TEXT, Role.AUDIO, Role.FIELDS)
        if not any(map(self.schema.has, others)):
            self._present(stored_column(dataset, name), name, Role.IMAGE)
        elif lacking := sum(one is None for one in pictures):
            self._lacking(lacking, len(dataset), name, "picture", "a grey one")
        faults = check_pictures(pictures)
        self.rows(name, list(faults), lambda row: faults[row])

    def boxes(self, dataset: datasets.Dataset, name: str) -> datasets.Dataset:
        """The dataset with boxes as shares of their pictures."""
        from transfuse.data.images import boxes_checked, pictures_of

        kind = stored_column(dataset, name).type
        if not holds_boxes(kind):
            where = f"{self.loaded.name}, column {name!r}"
            raise DataError(Problem(where, f"holds {kind}", "lists of {label, x, y, w, h}"))
        shown = self.schema.columns(Role.IMAGE)[:1]
        pictures = pictures_of(dataset.select_columns(list(shown))) if shown else None
        dataset, faults = boxes_checked(dataset, name, pictures)
        self.rows(name, list(faults), lambda row: faults[row])
        return dataset

    def _sounds(self, dataset: datasets.Dataset, name: str) -> None:
        from transfuse.data.audio import SHOWN, check_clips, clips_of

        where = f"{self.loaded.name}, column {name!r}"
        clips = clips_of(dataset.select_columns([name]), where)
        others = (Role.TEXT, Role.IMAGE, Role.FIELDS)
        if not any(map(self.schema.has, others)):
            self._present(stored_column(dataset, name), name, Role.AUDIO)
        elif lacking := sum(one is None for one in clips):
            self._lacking(lacking, len(dataset), name, "sound", "silence")
        found = check_clips(clips)
        self.rows(name, list(found.bad), lambda row: found.bad[row])
        quiet = self.loaded.places(found.silent[:SHOWN]) if found.silent else []
        self.notes += [f"{self.loaded.name}: {note}" for note in found.notes(quiet)]

    def _lacking(self, count: int, rows: int, name: str, kind: str, instead: str) -> None:
        """Rows that have something else: no mistake, but a model of this column alone guesses."""
        self.notes.append(
            f"{self.loaded.name}: {count:,} of {rows:,} rows have no {kind} in column {name!r}; a "
            f"model that reads nothing else gets {instead} for them."
        )

    def _written(self, cells: pa.ChunkedArray, name: str, role: Role) -> None:
        where = f"{self.loaded.name}, column {name!r}"
        if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
            fix = f"Name the column that holds text, as `{role}: NAME`."
            raise DataError(Problem(where, f"the {role} column holds {cells.type}", "text", fix))
        others = (Role.IMAGE, Role.AUDIO, Role.FIELDS)
        if role != Role.TEXT or not any(map(self.schema.has, others)):
            self._present(cells, name, role)
        lengths = pc.utf8_length(cells)
        most = self.options.max_cell
        fix = "Cut or split the text, or raise max_cell."
        self.rows(
            name,
            rows_where(pc.greater(lengths, most)),
            lambda row: (
                f"a text of {lengths[row].as_py():,} characters",
                f"at most {most:,}",
                fix,
            ),
        )

    def _present(self, cells: pa.ChunkedArray, name: str, role: Role) -> None:
        missing = pc.is_null(cells, nan_is_null=pa.types.is_floating(cells.type))
        # An empty text is left to cleaning, which drops and counts it; an empty group is no group.
        if role not in WRITTEN and pa.types.is_string(cells.type):
            missing = pc.or_(missing, pc.fill_null(pc.equal(cells, ""), False))
        fix = "Fill it in or leave the row out."
        wanted = f"{'an' if str(role)[0] in 'aeiou' else 'a'} {role} in each row"
        self.rows(name, rows_where(missing), lambda _: (f"no {role}", wanted, fix))
