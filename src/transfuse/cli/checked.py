"""What `transfuse check` finds in a table, and beside another."""

from pathlib import Path
from typing import TYPE_CHECKING

from transfuse.cli.encoders import default_encoder

if TYPE_CHECKING:
    from transfuse.data import Cleaning, DataCard, Distance, Overlap, Table

__all__ = ["Shared", "checked", "write_sheets"]

Shared = tuple[str, "Overlap", "Table", "Table"]
"""What is said of an overlap, the overlap, and its second and first table."""


def checked(
    target: "Table", source: "Table | None", cleaning: "Cleaning", model: str | None
) -> "tuple[DataCard, list[Shared]]":
    """The card of a table, and the rows that were found twice.

    Args:
        target: The table.
        source: The source, or None.
        cleaning: How both are cleaned.
        model: The encoder for distances. None: the one that is installed.
    """
    from transfuse.data import OverlapNote, Role, clean, make_card, overlap

    table, report = clean(target, cleaning)
    shared: list[Shared] = []
    if target.schema.has(Role.IMAGE):
        shared += _twice(target)
    distances: list[Distance] = []
    if source is not None:
        other, _ = clean(source, cleaning)
        shared.append((other.name, overlap(other, table), table, other))
        distances = _distances(other, table, model)
    notes = [OverlapNote.of(found, of, said, first) for said, found, of, first in shared]
    return make_card(table, report, overlaps=notes, distances=distances), shared


def _twice(table: "Table") -> "list[Shared]":
    """Pictures that are in the table twice, or in two of its splits, before it is cleaned."""
    from transfuse.data import SPLIT_COLUMN, overlap_within

    found: list[Shared] = []
    if SPLIT_COLUMN in table.dataset.column_names:
        across = overlap_within(table, table.values(SPLIT_COLUMN))
        found.append(("another split", across, table, table))
    return [*found, ("the table itself", overlap_within(table), table, table)]


def _distances(source: "Table", target: "Table", model: str | None) -> "list[Distance]":
    from transfuse.cli.progress import RowProgress
    from transfuse.data import Role
    from transfuse.transfer.distances import table_distances

    model = model or default_encoder(target.reads == (Role.IMAGE,))
    with RowProgress("measuring distances") as progress:
        return table_distances(source, target, model, progress=progress)


def write_sheets(shared: "list[Shared]", path: Path) -> str:
    """Writes the first overlap that has any pairs of pictures as one picture.

    Args:
        shared: What was found.
        path: The new file.

    Returns:
        What was done, in words.
    """
    from transfuse.data import Role
    from transfuse.data.images.pairs import write_sheet

    for said, found, table, first in shared:
        if len(found) and table.schema.has(Role.IMAGE) and first.schema.has(Role.IMAGE):
            title = f"{table.name}: pictures that are in {said} too"
            write_sheet(found, table, first, path, title)
            return f"sheet  {path}"
    return "sheet  not written: no picture was found twice"
