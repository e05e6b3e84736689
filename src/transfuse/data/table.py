"""The table that everything reads from: Arrow columns, each with a role.

A `Table` is a Hugging Face dataset (memory-mapped where it is large) with a `Schema`, a name and
the notes of what was assumed when it was read. `transfuse.data.read` makes one from a file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import repeat
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transfuse.data.columns import fresh_fingerprint, new_dataset, replaced, stored_column
from transfuse.data.content import canonical, hashed, normalised_bytes
from transfuse.data.loaded import ReadOptions
from transfuse.data.prepare import prepare
from transfuse.data.readers.memory import load_columns, load_frame
from transfuse.data.rows import Records
from transfuse.data.schema import GivenRoles, Role, Schema

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["READ", "Label", "Table"]

READ = (Role.TEXT, Role.IMAGE, Role.AUDIO, Role.FIELDS)
"""The roles that models read."""

_FILES = (Role.IMAGE, Role.AUDIO, Role.MASK)

Label = str | int | float | list[str] | list[int]
"""One row's label: a class by name or number, a measured number, or several classes."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows with a known meaning for their columns.

    Args:
        dataset: The columns, one row per example.
        schema: The role of each column.
        name: What messages and reports call the table.
        notes: What was assumed when the table was read, one sentence each. Default: nothing.
    """

    dataset: datasets.Dataset
    schema: Schema
    name: str
    notes: tuple[str, ...] = ()

    @classmethod
    def from_dict(
        cls,
        columns: Mapping[str, Sequence[Any]],
        *,
        name: str = "table",
        roles: GivenRoles | None = None,
    ) -> "Table":
        """Makes a table of Python columns.

        Args:
            columns: Column name to values, all of one length.
            name: What messages call the table. Default: "table".
            roles: Role name to column name; the others are inferred. Default: all are inferred.

        Returns:
            The checked table.

        Raises:
            DataError: With every bad row, or if the columns cannot be understood.
        """
        return cls._prepared(load_columns(columns, name), roles)

    @classmethod
    def from_pandas(
        cls, frame: "pd.DataFrame", *, name: str = "frame", roles: GivenRoles | None = None
    ) -> "Table":
        """Makes a table of a pandas frame; its index is left out.

        Args:
            frame: The frame.
            name: What messages call the table. Default: "frame".
            roles: Role name to column name; the others are inferred. Default: all are inferred.

        Returns:
            The checked table.

        Raises:
            DataError: With every bad row, or if the columns cannot be understood.
        """
        return cls._prepared(load_frame(frame, name), roles)

    @classmethod
    def _prepared(cls, loaded: Any, roles: GivenRoles | None) -> "Table":
        dataset, schema, notes = prepare(loaded, roles, ReadOptions())
        return cls(dataset, schema, loaded.name, notes)

    def __len__(self) -> int:
        return len(self.dataset)

    def values(self, column: str) -> list[Any]:
        """All values of a column, by its name, as Python objects."""
        return [value for part in self._parts(column) for value in part]

    def column(self, role: Role | str) -> list[Any]:
        """All values of the first column with a role, as Python objects.

        Raises:
            DataError: If no column has the role.
        """
        return self.values(self.schema.column(Role(role)))

    def texts(self) -> list[str]:
        """The text of each row.

        Raises:
            DataError: If no column is the text.
        """
        return self.column(Role.TEXT)

    @property
    def reads(self) -> tuple[Role, ...]:
        """The roles of its columns that models read, in the order of `READ`.

        Raises:
            DataError: If no column can be read.
        """
        found = tuple(role for role in READ if self.schema.has(role))
        if not found:
            self.schema.column(Role.TEXT)
        return found

    def inputs(self, roles: Sequence[Role] | None = None) -> Sequence[Any]:
        """What a model reads of each row, as its encoder's `preprocess` takes it.

        Args:
            roles: What the model reads. Default: all that can be read.

        Returns:
            Texts as a list; pictures or sounds as a sequence that opens each when it is asked for;
            `Records` for fields, or where several roles are read.

        Raises:
            DataError: If no column has one of the roles.
        """
        wanted = self.reads if roles is None else tuple(roles)
        for role in wanted:
            self.schema.column(role)
        if len(wanted) == 1 and wanted != (Role.FIELDS,):
            return self._part(wanted[0])
        return Records({str(role): self._part(role) for role in wanted})

    def _part(self, role: Role) -> Sequence[Any]:
        # What opens pictures and sounds takes time to import that tables of text need not wait for.
        match role:
            case Role.IMAGE | Role.MASK:
                from transfuse.data.images import pictures_of

                return pictures_of(self.dataset.select_columns([self.schema.column(role)]))
            case Role.AUDIO:
                from transfuse.data.audio import clips_of

                return clips_of(self.dataset.select_columns([self.schema.column(role)]))
            case Role.FIELDS:
                names = self.schema.columns(role)
                columns = [self.values(name) for name in names]
                return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
            case _:
                return self.column(role)

    def labels(self) -> list[Label]:
        """The label of each row as it was read: a name, a number, or a list for several classes.

        Raises:
            DataError: If no column is the label.
        """
        return self.column(Role.LABEL)

    def answers(self, role: Role = Role.LABEL) -> Sequence[Any]:
        """What says what is right for each row, as it was read.

        Args:
            role: The role of the column; a mask is opened when it is asked for. Default: the label.

        Raises:
            DataError: If no column has it.
        """
        self.schema.column(role)
        return self._part(role)

    def groups(self) -> list[Any] | None:
        """The group of each row (rows of one group belong in one split), or None without groups."""
        return self.column(Role.GROUP) if self.schema.has(Role.GROUP) else None

    @cached_property
    def class_counts(self) -> dict[Any, int]:
        """How many rows each label has, sorted by label; rows with several count for each.

        Raises:
            DataError: If no column is the label.
        """
        counts: dict[Any, int] = {}
        for label in self.labels():
            for one in label if isinstance(label, list) else (label,):
                counts[one] = counts.get(one, 0) + 1
        return dict(sorted(counts.items()))

    def take(self, indices: npt.ArrayLike) -> "Table":
        """The rows at the given places, in that order.

        Args:
            indices: Row numbers from 0, integers [n]; negative ones count from the end.

        Returns:
            A table that shares this one's columns.

        Raises:
            IndexError: If a place lies outside the table.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        if np.any((wanted < -len(self)) | (wanted >= len(self))):
            raise IndexError(
                f"rows {wanted.min()} to {wanted.max()} of a table of {len(self)} rows"
            )
        wanted = np.where(wanted < 0, wanted + len(self), wanted)
        chosen = self.dataset.select(wanted, new_fingerprint=fresh_fingerprint())
        return replace(self, dataset=chosen)

    def filter(self, keep: Callable[[Mapping[str, Any]], bool] | npt.ArrayLike) -> "Table":
        """The rows that are to be kept.

        Args:
            keep: A boolean mask [rows], or a function of a row (column name to value).

        Returns:
            A table that shares this one's columns.
        """
        if callable(keep):
            rows = self.dataset.with_format(None)
            mask = np.fromiter((keep(row) for row in rows), np.bool_, len(self))
        else:
            mask = np.asarray(keep, dtype=np.bool_)
        if mask.shape != (len(self),):
            raise ValueError(f"a mask of shape {mask.shape} for a table of {len(self)} rows")
        return self.take(np.flatnonzero(mask))

    def append(self, other: "Table") -> "Table":
        """This table's rows, then another's; only columns with a role are kept.

        Args:
            other: The table that comes after; it has this one's text and label roles.

        Raises:
            DataError: If it lacks a role of this table.
        """
        parts = [
            pa.table(
                {
                    name: stored_column(table.dataset, table.schema.column(role))
                    for name, role in self.schema.roles.items()
                }
            )
            for table in (self, other)
        ]
        joined = pa.concat_tables(parts, promote_options="permissive")
        return replace(self, dataset=new_dataset(joined))

    def with_column(
        self, name: str, values: Sequence[Any], role: Role | str | None = None
    ) -> "Table":
        """The table with a column added or replaced.

        Args:
            name: The column.
            values: One value per row.
            role: The column's role. Default: the one that it had, or none.

        Returns:
            The new table; this one is unchanged.
        """
        dataset = replaced(self.dataset, name, pa.array(values))
        roles = dict(self.schema.roles)
        if role is not None:
            roles[name] = Role(role)
        return replace(self, dataset=dataset, schema=Schema(roles))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the columns that have a role, whatever the order of rows and columns.

        It does not depend on how the content is stored: the number 3 and the text "3" count as
        the same, since a CSV file cannot tell them apart. 32 hexadecimal digits.
        """
        named = sorted(self.schema.roles.items(), key=lambda item: item[1])
        # Rows are hashed alone and added up, so that any order gives the same sum.
        total = 0
        for parts in self._row_parts([column for column, _ in named]):
            total += int.from_bytes(hashed(parts), "little")
        roles = ",".join(role for _, role in named)
        summary = f"{roles};{len(self)};{total % 2**128}"
        return blake2b(summary.encode(), digest_size=16).hexdigest()

    def row_keys(self) -> list[bytes]:
        """A 16-byte key of what is read of each row: texts after Unicode NFC, contents of files.

        Raises:
            DataError: If no column can be read.
        """
        columns = [name for role in self.reads for name in self.schema.columns(role)]
        return [hashed(parts) for parts in self._row_parts(columns, normalised_bytes)]

    def _parts(self, column: str) -> Iterator[list[Any]]:
        """The values of a column, some thousands at a time."""
        stored = self.dataset.select_columns([column]).with_format("arrow")
        for batch in stored.iter(batch_size=10_000):
            yield batch.column(0).to_pylist()

    def _rows(self, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        stored = self.dataset.select_columns(list(columns)).with_format("arrow")
        for batch in stored.iter(batch_size=10_000):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)

    def _row_parts(
        self, columns: Sequence[str], written: Callable[[str], bytes] = str.encode
    ) -> Iterator[list[bytes]]:
        """The values of each row as bytes; pictures and sounds by the key of their content."""
        plain = [name for name in columns if self.schema.roles[name] not in _FILES]
        files = {
            name: self._part(self.schema.roles[name]).keys()  # type: ignore[attr-defined]
            for name in columns
            if name not in plain
        }
        values = self._rows(plain) if plain else repeat((), len(self))
        for number, row in enumerate(values):
            at_hand = dict(zip(plain, row, strict=True))
            yield [
                files[name][number].tobytes()
                if name in files
                else canonical(at_hand[name], written)
                for name in columns
            ]
