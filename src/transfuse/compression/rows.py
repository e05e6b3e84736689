"""Which rows a compression may fit on, and which it chooses by."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from transfuse.answering import Evidence
from transfuse.data import Role, Table, seed_for
from transfuse.errors import DataError, Problem

__all__ = ["rows_to_choose", "rows_to_fit"]


def rows_to_fit(
    evidence: Evidence, reads: Sequence[Role], rows: int, seed: int, name: str
) -> Sequence[Any]:
    """Rows to calibrate on: training rows, none of which is a validation row too.

    Args:
        evidence: The rows at hand.
        reads: The roles of the columns that the model reads.
        rows: How many rows at the most.
        seed: Seed of the choice.
        name: Names the choice; others draw independently.

    Raises:
        DataError: If every training row is a validation row.
    """
    judged = set(evidence.validation.row_keys()) if len(evidence.validation) else set()
    keys = evidence.train.row_keys() if len(evidence.train) else []
    apart = np.array([place for place, key in enumerate(keys) if key not in judged], np.int64)
    if not len(apart):
        raise DataError(
            Problem(
                evidence.train.name,
                "every training row is a validation row, so that nothing can be calibrated on",
                "training rows that the result is not judged by",
            )
        )
    return _some(evidence.train, apart, rows, seed, name).inputs(reads)


def rows_to_choose(evidence: Evidence, rows: int, seed: int) -> Table:
    """Labelled rows to choose by.

    Args:
        evidence: The rows at hand.
        rows: How many at the most.
        seed: Seed of the choice.

    Raises:
        DataError: If there are none.
    """
    if not len(evidence.validation):
        raise DataError(
            Problem("validation", "there are no rows", "rows to choose by", "Set split.validation.")
        )
    every = np.arange(len(evidence.validation))
    return _some(evidence.validation, every, rows, seed, "validation")


def _some(table: Table, places: "np.ndarray", rows: int, seed: int, name: str) -> Table:
    rng = np.random.default_rng(seed_for(seed, "compression", name))
    if len(places) > rows:
        places = np.sort(rng.choice(places, rows, replace=False))
    return table.take(places)
