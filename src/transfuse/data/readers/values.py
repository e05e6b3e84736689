"""From Python values of unknown kinds (JSON, frames, dicts) to typed Arrow columns."""

import json
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pyarrow as pa

from transfuse.data.loaded import Mixed

__all__ = ["Survey", "shown", "survey", "to_arrow"]

_EXAMPLES = 20
_WORDS = {
    "text": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "big": "an integer beyond 64 bits",
    "object": "an object",
}
_ARROW = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
_EXACT: dict[type, str] = {str: "text", int: "integer", bool: "boolean"}


class Survey:
    """Counts which kinds of values a column holds, to settle its type before it is written."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._examples: dict[str, list[tuple[int, Any]]] = {}

    def add(self, row: int, value: Any) -> None:
        """Notes the value of a row (numbered from 0); missing values are of no kind."""
        kind = _kind(value)
        if not kind:
            return
        count = self.counts[kind] = self.counts.get(kind, 0) + 1
        if count <= _EXAMPLES:
            self._examples.setdefault(kind, []).append((row, value))

    def settle(self) -> tuple[pa.DataType | None, Mixed | None]:
        """The column's Arrow type (None: left to Arrow), and what is mixed in it, if anything."""
        kinds = set(self.counts)
        lists = {kind.removeprefix("list of ") for kind in kinds if kind.startswith("list of ")}
        if lists and len(lists) == len(kinds):
            lists.discard("nothing")
            item = _joined(lists) if lists else "text"
            if item in _ARROW:
                return pa.list_(_ARROW[item]), None
        kind = _joined(kinds)
        if kind in _ARROW:
            return _ARROW[kind], None
        if len(kinds) == 1 and _is_plain(kind):
            # Dates and the like, which Arrow knows; integers beyond 64 bits are held as text.
            return (pa.string() if kind == "big" else None), None
        return pa.string(), self._mixed() if kinds else None

    def _mixed(self) -> Mixed:
        plain = {kind: count for kind, count in self.counts.items() if _is_plain(kind)}
        usual = max(plain, key=lambda kind: plain[kind]) if plain else ""
        others = [
            (row, f"{_in_words(kind)} ({shown(value)})")
            for kind, examples in self._examples.items()
            if kind != usual
            for row, value in examples
        ]
        total = sum(self.counts.values())
        count = total - self.counts.get(usual, 0)
        expected = "a text, a number, or a list of these"
        if usual:
            expected = f"{_in_words(usual)}, as in {self.counts[usual]:,} of {total:,} rows"
        return Mixed(expected, tuple(sorted(others)), count)


def to_arrow(values: Iterable[Any], kind: pa.DataType | None) -> pa.Array:
    """Python values as an Arrow array of a surveyed type.

    Args:
        values: The values; NaN counts as missing.
        kind: What `Survey.settle` found.

    Returns:
        The array; values that do not fit a column of text are written as JSON.
    """
    cleaned = [None if _is_nan(value) else value for value in values]
    if kind == pa.string():
        cleaned = [v if v is None or isinstance(v, str) else _as_json(v) for v in cleaned]
    elif kind is not None and pa.types.is_list(kind):
        cleaned = [None if value is None else list(value) for value in cleaned]
    return pa.array(cleaned, kind)


def _as_json(value: Any) -> str:
    """A value written as JSON, or as Python writes it where JSON cannot."""
    return json.dumps(value, ensure_ascii=False, default=str)


def shown(value: Any) -> str:
    """A value as messages show it: cut to 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _kind(value: Any) -> str:
    exact = _EXACT.get(type(value))
    if exact == "integer":
        return "integer" if -(2**63) <= value < 2**63 else "big"
    if exact:
        return exact
    if value is None or _is_nan(value):
        return ""
    if isinstance(value, str):
        return "text"
    if isinstance(value, (bool, np.bool_)):
        return "boolean"
    if isinstance(value, Integral):
        return "integer"
    if isinstance(value, Real):
        return "number"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "list of " + (_joined({_kind(item) for item in value} - {""}) or "nothing")
    return "object" if isinstance(value, dict) else type(value).__name__


def _is_plain(kind: str) -> bool:
    nested = kind.startswith(("object", "list of object", "list of list"))
    return not nested and " and " not in kind


def _joined(kinds: set[str]) -> str:
    if kinds == {"integer", "number"}:
        return "number"
    return next(iter(kinds)) if len(kinds) == 1 else " and ".join(sorted(kinds))


def _in_words(kind: str) -> str:
    return "a " + kind if kind.startswith("list of ") else _WORDS.get(kind, kind)


def _is_nan(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    # pandas marks missing values with objects of its own, which are the only ones of their type.
    return type(value).__name__ in {"NAType", "NaTType"}


def survey(values: Sequence[Any]) -> tuple[pa.Array, Mixed | None]:
    """A column that is in memory as a whole: its array, and what is mixed in it, if anything."""
    found = Survey()
    for row, value in enumerate(values):
        found.add(row, value)
    kind, mixed = found.settle()
    return to_arrow(values, kind), mixed
