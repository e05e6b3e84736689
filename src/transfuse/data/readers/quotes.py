"""Quotes that never close: finding where they opened, and cells that swallowed rows."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass

from transfuse.errors import Problem

__all__ = ["Record", "looks_swallowed", "quote_problem"]

_SWALLOWED_LINES = 10
"""A cell is looked at for swallowed rows from this many lines on."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a CSV file.

    Args:
        line: Its first line, from 1.
        cells: Its cells; empty if it could not be parsed.
        lines: Its lines as they stand in the file; valid until the next record is read.
        error: What the parser said, if it could not be parsed.
    """

    line: int
    cells: list[str]
    lines: list[str]
    error: str = ""


def quote_problem(
    record: Record, name: str, where: str, header: Sequence[str], separator: str
) -> Problem:
    """The problem of a record that could not be parsed, or that swallowed others.

    Args:
        record: The record.
        name: The file's name.
        where: The record's place; the quote's own place is used where it can be found.
        header: The column names.
        separator: What stands between cells.

    Returns:
        A problem that names the line and the column where the quote opened.
    """
    text = "".join(record.lines)
    opened, closed, column = _last_quote(text, separator)
    if opened < 0:
        return Problem(where, f"cannot be parsed ({record.error})", "separated values")
    row = where.removeprefix(name).split(" (line")[0]
    place = f"{name}{row} (line {_line_of(record, opened)})"
    if column < len(header):
        place += f", column {header[column]!r}"
    fix = 'Close it, write quotes inside a cell twice (""), or say quotes=False.'
    if not record.error:
        taken = f"takes in {len(record.lines) - 1:,} lines that look like rows"
        return Problem(place, f"a double quote opens here and {taken}", "a closing quote", fix)
    if closed < 0:
        return Problem(place, "a double quote opens here and never closes", "a closing quote", fix)
    end = _line_of(record, closed)
    after = text[closed + 1 : closed + 13].splitlines()[0]
    what = f"a double quote opens here and closes on line {end} before {after!r}"
    return Problem(place, what, f"{separator!r} or the end of the line after it", fix)


def looks_swallowed(record: Record, width: int, separator: str) -> bool:
    """Whether a record of many lines looks like rows that an unclosed quote has swallowed.

    Args:
        record: A record that was parsed.
        width: How many columns the header has.
        separator: What stands between cells.

    Returns:
        True if nine in ten of its inner lines are rows of the right width by themselves.
    """
    inner = record.lines[1:-1]
    if width < 2 or len(inner) < _SWALLOWED_LINES:
        return False
    rows = csv.reader(inner, delimiter=separator, quoting=csv.QUOTE_NONE)
    return sum(len(row) == width for row in rows) >= 0.9 * len(inner)


def _last_quote(text: str, separator: str) -> tuple[int, int, int]:
    """The quoted cell at fault: where it opened, where it closed (-1: nowhere), its column.

    Walks from quoted cell to quoted cell; the fault is the first whose end is wrong, or else the
    longest. Without any quoted cell the first number is -1.
    """
    longest = (-1, -1, 0)
    at = column = 0
    while at < len(text):
        if text[at] == '"':
            closed = _closing(text, at)
            after = text[closed + 1 : closed + 2]
            if closed < 0 or after not in {"", separator, "\r", "\n"}:
                return at, closed, column
            if longest[0] < 0 or closed - at > longest[1] - longest[0]:
                longest = (at, closed, column)
            at = closed + 1
        following = text.find(separator, at)
        if following < 0:
            break
        at = following + 1
        column += 1
    return longest


def _line_of(record: Record, offset: int) -> int:
    end = 0
    for line, text in enumerate(record.lines, start=record.line):
        end += len(text)
        if offset < end:
            return line
    return record.line + len(record.lines) - 1


def _closing(text: str, opened: int) -> int:
    at = opened + 1
    while True:
        at = text.find('"', at)
        if at < 0 or text[at + 1 : at + 2] != '"':
            return at
        at += 2
