"""What was measured on one model, in a form that a file keeps exactly."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from transfuse.errors import DataError, Problem

__all__ = ["Scorecard"]


@dataclass(frozen=True)
class Scorecard:
    """The measured results of one model on one test set.

    Args:
        metrics: Metric name to value.
        costs: What it took: seconds, trained parameters, latency and so on. Default: none.
        temperature: By which its probabilities are calibrated. Default: 1, not calibrated.
        rows: Number of test rows. Default: 0, unknown.
        fingerprints: Split name (`train`, `validation`, `test` …) to the fingerprint of its rows.
            Default: none.
    """

    metrics: Mapping[str, float]
    costs: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    rows: int = 0
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a float that JSON cannot hold becomes "nan", "inf" or "-inf"."""
        return {
            "metrics": {name: _written(value) for name, value in self.metrics.items()},
            "costs": {name: _written(value) for name, value in self.costs.items()},
            "temperature": _written(self.temperature),
            "rows": int(self.rows),
            "fingerprints": dict(self.fingerprints),
        }

    def to_json(self) -> str:
        """Standard JSON text; every float comes back exactly."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`.

        Args:
            text: JSON.

        Raises:
            DataError: If it is not JSON, or not that of a scorecard.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(Problem("scorecard", f"not JSON: {error}")) from None
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The inverse of `to_dict`.

        Args:
            values: The mapping that `to_dict` gave.

        Raises:
            DataError: With every key that is unknown or has the wrong kind of value, and if there
                are no metrics. What has a default may be missing.
        """
        if not isinstance(values, Mapping):
            raise DataError(Problem("scorecard", f"got {type(values).__name__}", "a mapping"))
        known = [part.name for part in fields(cls)]
        problems = [
            Problem(f"scorecard.{key}", "unknown key", "one of " + ", ".join(known))
            for key in values
            if key not in known
        ]
        if "metrics" not in values:
            problems.append(Problem("scorecard.metrics", "missing"))
        read: dict[str, Any] = {}
        for key in known:
            if key in values:
                read[key] = _READERS[key](f"scorecard.{key}", values[key], problems)
        if problems:
            raise DataError(problems)
        return cls(**read)


_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _written(value: float) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _number(where: str, value: Any, problems: list[Problem]) -> float:
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        problems.append(Problem(where, f"got {value!r}", "a number"))
        return math.nan
    return float(value)


def _count(where: str, value: Any, problems: list[Problem]) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        problems.append(Problem(where, f"got {value!r}", "a whole number"))
        return 0
    return value


def _text(where: str, value: Any, problems: list[Problem]) -> str:
    if not isinstance(value, str):
        problems.append(Problem(where, f"got {value!r}", "text"))
    return str(value)


def _mapping(where: str, value: Any, problems: list[Problem], read: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        problems.append(Problem(where, f"got {value!r}", "a mapping"))
        return {}
    return {str(name): read(f"{where}.{name}", item, problems) for name, item in value.items()}


def _numbers(where: str, value: Any, problems: list[Problem]) -> dict[str, float]:
    return _mapping(where, value, problems, _number)


def _texts(where: str, value: Any, problems: list[Problem]) -> dict[str, str]:
    return _mapping(where, value, problems, _text)


_READERS: dict[str, Any] = {
    "metrics": _numbers,
    "costs": _numbers,
    "temperature": _number,
    "rows": _count,
    "fingerprints": _texts,
}
