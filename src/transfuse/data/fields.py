"""Structured columns as vectors: numbers brought to one scale, categories counted off.

What is learnt of a column (its middle and spread, its categories) comes from the rows that train
and is kept with the model. The vector of a row has a fixed layout: the numbers, then a flag for
each number that is missing, then the place of each category.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from transfuse.data.content import hashed
from transfuse.errors import DataError, Problem

__all__ = ["MISSING", "UNKNOWN", "CategoryField", "FieldRows", "FieldTable", "NumberField"]

MISSING = 0
"""The place of a category that a row does not have."""

UNKNOWN = 1
"""The place of a category that was not learnt."""

_REACH = 3.0
"""How far from the middle a number can come to lie, whatever its size."""

Row = Mapping[str, Any]
"""One row: a number, a text or None by column."""


@dataclass(frozen=True)
class NumberField:
    """A column of numbers.

    A number x becomes z / sqrt(1 + (z/3)²) with z = (x - middle) / spread: in order, between -3
    and 3, and hardly changed near the middle, so that one huge value cannot drown the others
    (robust scaling with smooth clipping; Holzmüller et al., 2024, arXiv:2407.04491).
    """

    name: str
    middle: float
    """The median."""

    spread: float
    """The distance of the quartiles, or else half the range; 1 where all are the same."""

    @classmethod
    def fit(cls, name: str, values: npt.NDArray[np.float64]) -> Self:
        """Learns a column.

        Args:
            name: The column.
            values: Its numbers, NaN where one is missing, [rows].
        """
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(name, 0.0, 1.0)
        low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
        spread = high - low or (known.max() - known.min()) / 2 or 1.0
        return cls(name, float(middle), float(spread))

    def scaled(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The numbers on the common scale; 0 for one that is missing.

        Args:
            values: Numbers, NaN where one is missing, [rows].
        """
        # Anything beyond lies at the edge of the scale, and its square must be a number.
        far = np.clip((values - self.middle) / self.spread, -1e12, 1e12)
        scaled = far / np.sqrt(1.0 + np.square(far / _REACH))
        return np.where(np.isnan(values), 0.0, scaled)


@dataclass(frozen=True)
class CategoryField:
    """A column of categories."""

    name: str
    values: tuple[str, ...]
    """The known ones in order; the first has the place 2, after missing and unknown."""

    @classmethod
    def fit(cls, name: str, values: Sequence[str | None], rare: int) -> Self:
        """Learns a column.

        Args:
            name: The column.
            values: Its categories, None where one is missing.
            rare: Categories with fewer rows than this count as unknown.
        """
        counts: dict[str, int] = {}
        for value in values:
            if value is not None:
                counts[value] = counts.get(value, 0) + 1
        return cls(name, tuple(sorted(each for each, count in counts.items() if count >= rare)))

    @property
    def size(self) -> int:
        """How many places there are."""
        return len(self.values) + 2

    def places(self, values: Sequence[str | None]) -> npt.NDArray[np.float64]:
        """The place of each category, [rows]."""
        known = {value: place for place, value in enumerate(self.values, UNKNOWN + 1)}
        found = (MISSING if value is None else known.get(value, UNKNOWN) for value in values)
        return np.fromiter(found, np.float64, len(values))


@dataclass(frozen=True)
class FieldRows:
    """Rows of structured columns as vectors; a `Preprocessed`.

    Args:
        matrix: float32 [rows, width].
    """

    matrix: npt.NDArray[np.float32]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """One for each row, int64 [rows]."""
        return np.ones(len(self.matrix), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.matrix)

    def take(self, indices: npt.ArrayLike) -> "FieldRows":
        """The rows at the given places, in that order."""
        return FieldRows(self.matrix[np.asarray(indices, dtype=np.int64)])

    def keys(self) -> npt.NDArray[Any]:
        """A 16-byte key of each row's vector, S16 [rows]."""
        return np.array([hashed([row.tobytes()]) for row in self.matrix], dtype="S16")


@dataclass(frozen=True)
class FieldTable:
    """What is known of a table's structured columns.

    Args:
        numbers: The columns of numbers.
        categories: The columns of categories.
    """

    numbers: tuple[NumberField, ...]
    categories: tuple[CategoryField, ...]

    @classmethod
    def fit(
        cls, rows: Sequence[Row | None], categories: Sequence[str] = (), rare: int = 2
    ) -> "FieldTable":
        """Learns the columns of some rows.

        A column is one of numbers where all that it holds are numbers, else of categories.

        Args:
            rows: The rows that train; None for a row without any value.
            categories: Columns of numbers that are categories all the same, such as postcodes.
                Default: none.
            rare: Categories with fewer rows than this count as unknown. Default: 2.

        Raises:
            DataError: If no row has a value, or a column is not there.
        """
        names = list(dict.fromkeys(name for row in rows if row is not None for name in row))
        missing = sorted(set(categories).difference(names))
        if not names or missing:
            what = f"there is no column {missing[0]!r}" if missing else "no row has a value"
            raise DataError(Problem("fields", what, "structured columns", _FIX))
        numbers: list[NumberField] = []
        kinds: list[CategoryField] = []
        for name in names:
            values = [None if row is None else row.get(name) for row in rows]
            if name not in categories and all(_is_number(value) for value in values):
                numbers.append(NumberField.fit(name, _numbers(name, values)))
            else:
                kinds.append(CategoryField.fit(name, [*map(_category, values)], rare))
        return cls(tuple(numbers), tuple(kinds))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""
        numbers = tuple(each.name for each in self.numbers)
        return numbers + tuple(each.name for each in self.categories)

    @property
    def width(self) -> int:
        """Length of a row's vector."""
        return 2 * len(self.numbers) + len(self.categories)

    def vectors(self, rows: Sequence[Row]) -> FieldRows:
        """Rows as vectors; a column that a row does not name is missing in it.

        Args:
            rows: The rows.

        Raises:
            DataError: If a column of numbers holds something else.
        """
        matrix = np.zeros((len(rows), self.width), dtype=np.float32)
        for place, number in enumerate(self.numbers):
            values = _numbers(number.name, [row.get(number.name) for row in rows])
            matrix[:, place] = number.scaled(values)
            matrix[:, len(self.numbers) + place] = np.isnan(values)
        for place, kind in enumerate(self.categories, 2 * len(self.numbers)):
            matrix[:, place] = kind.places([_category(row.get(kind.name)) for row in rows])
        return FieldRows(matrix)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for a file."""
        return {
            "numbers": [
                {"name": each.name, "middle": each.middle, "spread": each.spread}
                for each in self.numbers
            ],
            "categories": [
                {"name": each.name, "values": list(each.values)} for each in self.categories
            ],
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "FieldTable":
        """What `to_dict` gave.

        Args:
            told: The plain values.
        """
        return cls(
            tuple(NumberField(**each) for each in told["numbers"]),
            tuple(
                CategoryField(each["name"], tuple(each["values"])) for each in told["categories"]
            ),
        )


_FIX = "Name columns of numbers or categories, as in fields: [price, colour]."


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _numbers(name: str, values: Sequence[Any]) -> npt.NDArray[np.float64]:
    found = np.full(len(values), math.nan)
    for row, value in enumerate(values):
        if value is None:
            continue
        try:
            found[row] = float(value)
        except (TypeError, ValueError):
            raise DataError(
                Problem(f"row {row}, column {name!r}", f"got {value!r}", "a number, or nothing")
            ) from None
    return found


def _category(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    # 3 and 3.0 are one category: a column with a gap in it is read as one of fractions.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
