"""The data card: what is in a table, in numbers that can be printed, drawn and stored.

`make_card` counts what data alone can tell. Distances between source and target need a model's
features, so a higher level adds them with `DataCard.with_distances`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.clean import CleaningReport
from transfuse.data.columns import WRITTEN
from transfuse.data.contents import contents_of
from transfuse.data.overlap import Overlap
from transfuse.data.schema import Role
from transfuse.data.segment import HAN
from transfuse.data.spread import Spread
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

if TYPE_CHECKING:
    from transfuse.data.images.facts import PictureFacts

__all__ = ["DataCard", "Distance", "OverlapNote", "make_card"]

_SHOWN = 3
_MOST_LABELS = 200
"""Whole numbers with more distinct values than this are described as measurements."""

# The standard library's engine: Arrow's takes a hundred times as long over classes of letters.
_WORD = re.compile(r"[^\W_][\w'’-]*")
_LATIN = re.compile(r"[A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02b8\u1e00-\u1eff]")


@dataclass(frozen=True)
class OverlapNote:
    """How many rows of the table are in another.

    Args:
        other: The other table.
        exact: Rows with an equal text there.
        near: Further rows with a near text there.
        examples: Up to three such texts.
        sheets: Such pictures, each beside the one that it is the same as, as data URIs.
    """

    other: str
    exact: int
    near: int
    examples: tuple[str, ...] = ()
    sheets: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, found: Overlap, table: Table, other: str, first: Table | None = None
    ) -> "OverlapNote":
        """Sums up an overlap.

        Args:
            found: `overlap(another table, table)`.
            table: The second of the two tables.
            other: The first one's name.
            first: The first of the tables, whose pictures are shown beside. Default: they are not.

        Returns:
            The note.
        """
        rows = found.rows[:_SHOWN]
        shown: tuple[str, ...] = ()
        sheets: tuple[str, ...] = ()
        if rows and table.schema.has(Role.TEXT):
            shown = tuple((text or "")[:80] for text in table.take(rows).texts())
        if rows and table.schema.has(Role.IMAGE):
            # Not at the top: tables of text need not wait for what opens pictures.
            from transfuse.data.images.pairs import inline_pairs

            sheets = inline_pairs(found, table, first)
        return cls(other, len(found.exact), len(found.near), shown, sheets)


@dataclass(frozen=True)
class Distance:
    """How far two tables are from each other by one measure.

    Args:
        measure: The measure's name, such as "proxy A-distance".
        other: The other table.
        value: The distance.
        note: What it means, or how it was taken. Default: nothing.
    """

    measure: str
    other: str
    value: float
    note: str = ""


@dataclass(frozen=True)
class DataCard:
    """What is in a table.

    Args:
        name: The table's name.
        rows: Number of rows.
        roles: Column name to role.
        fingerprint: Hash of the content (`Table.fingerprint`).
        labels: Label to rows, commonest first; empty without classes. A row with several classes
            counts for each.
        balance: Entropy of the class shares over its maximum: 1 for classes of equal size, near 0
            where one class is nearly all. None without classes.
        label_values: The spread of labels that are measured numbers, or None.
        characters: Characters per text, or None without text.
        words: Words per text, or None; each Han character counts as one.
        scripts: Share of all letters that are "latin", "han" and "other".
        groups: Number of groups, or None.
        largest_group: Rows of the largest group, or None.
        duplicates: Rows whose text, or file, and label repeat an earlier row's.
        cleaning: What cleaning did, or None if the table was not cleaned.
        notes: What was assumed when the table was read, and what else is worth knowing.
        overlaps: Rows shared with other tables, or between the parts of this one.
        distances: Distances to other tables.
        pictures: What its pictures are like, or None without any.
    """

    name: str
    rows: int
    roles: Mapping[str, str]
    fingerprint: str
    labels: Mapping[str, int]
    balance: float | None
    label_values: Spread | None
    characters: Spread | None
    words: Spread | None
    scripts: Mapping[str, float]
    groups: int | None
    largest_group: int | None
    duplicates: int
    cleaning: CleaningReport | None = None
    notes: tuple[str, ...] = ()
    overlaps: tuple[OverlapNote, ...] = ()
    distances: tuple[Distance, ...] = ()
    pictures: "PictureFacts | None" = None

    def with_distances(self, distances: Iterable[Distance]) -> "DataCard":
        """The card with further distances."""
        return replace(self, distances=(*self.distances, *distances))

    def to_json(self) -> dict[str, Any]:
        """The card as plain data, for `json.dumps`."""
        plain = asdict(replace(self, cleaning=None))
        plain["cleaning"] = None if self.cleaning is None else self.cleaning.to_json()
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "DataCard":
        """The card that `to_json` wrote."""
        known = dict(data)
        for name in ("label_values", "characters", "words"):
            known[name] = None if known[name] is None else Spread.from_json(known[name])
        if known["cleaning"] is not None:
            known["cleaning"] = CleaningReport.from_json(known["cleaning"])
        known["notes"] = tuple(known["notes"])
        known["overlaps"] = tuple(
            OverlapNote(
                **{
                    **note,
                    "examples": tuple(note["examples"]),
                    "sheets": tuple(note.get("sheets", ())),
                }
            )
            for note in known["overlaps"]
        )
        if known.get("pictures") is not None:
            from transfuse.data.images.facts import PictureFacts

            known["pictures"] = PictureFacts.from_json(known["pictures"])
        known["distances"] = tuple(Distance(**distance) for distance in known["distances"])
        return cls(**known)


def make_card(
    table: Table,
    cleaning: CleaningReport | None = None,
    *,
    overlaps: Iterable[OverlapNote] = (),
    distances: Iterable[Distance] = (),
    notes: Iterable[str] = (),
) -> DataCard:
    """Describes a table.

    Args:
        table: The table, as it will be used.
        cleaning: What `clean` did to it. Default: it was not cleaned.
        overlaps: Rows shared with other tables. Default: none were looked for.
        distances: Distances to other tables. Default: none were measured.
        notes: Sentences to add to the table's own notes. Default: none.

    Returns:
        The card.

    Raises:
        DataError: If the table has no rows.
    """
    if not len(table):
        raise DataError(Problem(table.name, "no rows to describe"))
    columns = [name for name, role in table.schema.roles.items() if role in WRITTEN]
    texts = _texts(table, columns)
    labels, balance, label_values = _labels(table)
    sizes = _group_sizes(table)
    return DataCard(
        name=table.name,
        rows=len(table),
        roles={name: str(role) for name, role in table.schema.roles.items()},
        fingerprint=table.fingerprint,
        labels=labels,
        balance=balance,
        label_values=label_values,
        characters=None if texts is None else Spread.of(pc.utf8_length(texts).to_numpy()),
        words=None if texts is None else Spread.of(_word_counts(texts)),
        scripts={} if texts is None else _scripts(texts),
        groups=None if sizes is None else len(sizes),
        largest_group=None if sizes is None else max(sizes, default=0),
        duplicates=_duplicates(table),
        cleaning=cleaning,
        notes=(*table.notes, *notes),
        overlaps=tuple(overlaps),
        distances=tuple(distances),
        pictures=_pictures(table),
    )


def _pictures(table: Table) -> "PictureFacts | None":
    if not table.schema.has(Role.IMAGE):
        return None
    from transfuse.data.images.facts import picture_facts

    rows: Any = table.inputs((Role.IMAGE,))
    return picture_facts(rows, table.labels() if table.schema.has(Role.LABEL) else None)


def _texts(table: Table, columns: Sequence[str]) -> pa.ChunkedArray | None:
    """The texts of the rows that have one; None where no row does."""
    if not columns:
        return None
    stored = table.dataset.select_columns(list(columns)).with_format("arrow")[:]
    texts = stored.column(0)
    if len(columns) > 1:
        parts = (stored[name].combine_chunks() for name in columns)
        texts = pa.chunked_array([pc.binary_join_element_wise(*parts, "\n")])
    found = texts.drop_null()
    return found if len(found) else None


def _labels(table: Table) -> tuple[dict[str, int], float | None, Spread | None]:
    if not table.schema.has(Role.LABEL):
        return {}, None, None
    found = table.class_counts
    floats = any(isinstance(label, float) for label in found)
    numbers = all(isinstance(label, int | float) for label in found)
    if floats or (numbers and len(found) > _MOST_LABELS):
        return {}, None, Spread.of(np.asarray(table.labels(), dtype=np.float64))
    commonest = sorted(found.items(), key=lambda item: -item[1])
    counts = np.array([count for _, count in commonest], dtype=np.float64)
    return {str(label): count for label, count in commonest}, _balance(counts), None


def _balance(counts: npt.NDArray[np.float64]) -> float | None:
    if not counts.sum():
        return None
    if len(counts) == 1:
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(len(counts)))


def _word_counts(texts: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    counts = [
        len(HAN.findall(text)) + len(_WORD.findall(HAN.sub(" ", text)))
        for text in texts.to_pylist()
    ]
    return np.array(counts, dtype=np.int64)


def _scripts(texts: pa.ChunkedArray) -> dict[str, float]:
    letters = latin = han = 0
    for text in texts.to_pylist():
        signs = len(HAN.findall(text))
        han += signs
        latin += len(_LATIN.findall(text))
        letters += signs if signs == len(text) else sum(map(str.isalpha, text))
    if not letters:
        return {}
    other = max(0, letters - latin - han)
    total = latin + han + other
    return {"latin": latin / total, "han": han / total, "other": other / total}


def _group_sizes(table: Table) -> list[int] | None:
    groups = table.groups()
    if groups is None:
        return None
    sizes: dict[Any, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    return list(sizes.values())


def _duplicates(table: Table) -> int:
    contents = contents_of(table)
    if not contents:
        return 0
    labels = [table.values(name) for name in table.schema.columns(Role.LABEL)]
    seen = {(key, *map(str, label)) for key, *label in zip(contents.keys(), *labels, strict=True)}
    return len(table) - len(seen)
