"""Rows that two tables share, as pictures side by side."""

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from transfuse.data.images.pictures import Picture
from transfuse.data.images.sheet import Pair, inline, pair_sheet, strip
from transfuse.data.overlap import Overlap
from transfuse.data.schema import Role
from transfuse.data.table import Table

__all__ = ["inline_pairs", "write_sheet"]

_SHOWN = 6
_SIDE = 72
_MOST = 60
"""Pairs of one sheet: more are not looked at."""


def inline_pairs(found: Overlap, table: Table, first: Table | None) -> tuple[str, ...]:
    """The first pairs of an overlap, near ones before equal ones, for a page.

    Args:
        found: The overlap.
        table: The second of its two tables.
        first: The first. Default: only the second's pictures are shown.

    Returns:
        Images as data URIs, one for each pair.
    """
    return tuple(
        inline(strip([one for one in pair if one is not None], _SIDE, 3))
        for pair in _pairs(found, table, first)[:_SHOWN]
        if any(pair)
    )


def write_sheet(found: Overlap, table: Table, first: Table, path: Path, title: str) -> int:
    """Writes the pairs of an overlap as one picture.

    Args:
        found: The overlap.
        table: The second of its two tables.
        first: The first.
        path: The new file (.png, .jpg …).
        title: What it shows.

    Returns:
        How many pairs it shows: at most 60.
    """
    chosen = _ordered(found)[:_MOST]
    names = (_names(first, [i for i, _ in chosen]), _names(table, [j for _, j in chosen]))
    pairs: list[Pair] = [
        (one, other, before, after)
        for (one, other), before, after in zip(
            _pairs(found, table, first)[:_MOST], *names, strict=True
        )
        if one is not None and other is not None
    ]
    rest = len(found) - len(pairs)
    told = f"{title}, the first {len(pairs)} of {len(found):,}" if rest else title
    pair_sheet(pairs, told).save(path)
    return len(pairs)


def _ordered(found: Overlap) -> list[tuple[int, int]]:
    # Equal files need no second look, near ones do.
    return [*found.near, *found.exact]


def _pairs(
    found: Overlap, table: Table, first: Table | None
) -> list[tuple[Picture | None, Picture | None]]:
    rows: Any = table.inputs((Role.IMAGE,))
    others: Any = None if first is None else first.inputs((Role.IMAGE,))
    return [(None if others is None else others[i], rows[j]) for i, j in _ordered(found)[:_MOST]]


def _names(table: Table, rows: Sequence[int]) -> list[str]:
    """Two lines for each row: its file or number, and its label and split."""
    chosen = table.take(rows)
    pictures: Any = chosen.inputs((Role.IMAGE,))
    facts = [
        chosen.values(name)
        for name in (*table.schema.columns(Role.LABEL), "split")
        if name in table.dataset.column_names
    ]
    told = []
    for place, row in enumerate(rows):
        picture = pictures[place]
        path = None if picture is None else picture.path
        name = PurePath(path).name if path else f"row {row + 1:,}"
        told.append("\n".join((name, " · ".join(str(fact[place]) for fact in facts))))
    return told
