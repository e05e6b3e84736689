"""Structured columns as vectors: what scaling keeps, and what an unknown category becomes."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.data import FieldTable, Preprocessed
from transfuse.data.fields import MISSING, UNKNOWN, CategoryField, NumberField
from transfuse.errors import DataError

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(values=st.lists(NUMBERS, min_size=1, max_size=40), probes=st.lists(NUMBERS, min_size=2))
def test_scaling_keeps_the_order_and_stays_within_3(
    values: list[float], probes: list[float]
) -> None:
    field = NumberField.fit("x", np.array(values))
    ordered = np.sort(np.array(probes))
    scaled = field.scaled(ordered)
    assert (np.diff(scaled) >= 0).all()
    assert (np.abs(scaled) <= 3).all()
    assert field.scaled(np.array([field.middle]))[0] == 0


@given(
    values=st.lists(st.floats(-100, 100), min_size=4, max_size=30, unique=True),
    factor=st.floats(0.1, 10),
    shift=st.floats(-50, 50),
)
def test_the_unit_of_a_number_does_not_matter(
    values: list[float], factor: float, shift: float
) -> None:
    plain = np.array(values)
    if np.subtract(*np.quantile(plain, (0.75, 0.25))) < 1e-3:
        return
    other = plain * factor + shift
    one = NumberField.fit("x", plain).scaled(plain)
    two = NumberField.fit("x", other).scaled(other)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_one_huge_value_does_not_drown_the_others() -> None:
    rng = np.random.default_rng(0)
    plain = rng.normal(size=200)
    with_outlier = np.append(plain, 1e12)
    one, two = NumberField.fit("x", plain), NumberField.fit("x", with_outlier)
    np.testing.assert_allclose(one.scaled(plain), two.scaled(plain), atol=0.05)
    assert two.scaled(np.array([1e12]))[0] == pytest.approx(3)
    assert two.scaled(np.array([math.inf, -math.inf])).tolist() == pytest.approx([3, -3])


def test_a_number_that_is_missing_is_0_and_flagged() -> None:
    rows = [{"price": 1.0}, {"price": None}, {"price": 3.0}, {}, {"price": math.nan}]
    table = FieldTable.fit(rows)
    matrix = table.vectors(rows).matrix
    assert matrix[[1, 3, 4], 0].tolist() == [0, 0, 0]
    assert matrix[:, 1].tolist() == [0, 1, 0, 1, 1]
    assert table.numbers[0].middle == 2.0
    empty = FieldTable.fit([{"price": None, "b": "x"}, {"price": None, "b": "x"}])
    assert empty.vectors([{"price": 5.0, "b": "x"}]).matrix[0, 1] == 0


@given(values=st.lists(st.sampled_from("abcd"), min_size=1, max_size=20), rare=st.integers(1, 4))
def test_categories_have_places_of_their_own(values: list[str], rare: int) -> None:
    field = CategoryField.fit("c", values, rare)
    places = field.places([*"abcd", None, "new"]).tolist()
    known = [place for letter, place in zip("abcd", places, strict=False) if place > UNKNOWN]
    assert len(set(known)) == len(known) == len(field.values)
    for letter, place in zip("abcd", places, strict=False):
        assert (place > UNKNOWN) == (values.count(letter) >= rare)
    assert places[-2:] == [MISSING, UNKNOWN]
    assert max(places) < field.size


def test_what_a_column_is_follows_from_its_values() -> None:
    rows: list[dict[str, Any]] = [
        {"price": 3, "code": 10115, "colour": "red", "sold": True, "mixed": 1},
        {"price": 4.5, "code": 20095, "colour": None, "sold": False, "mixed": "two"},
    ]
    table = FieldTable.fit([*rows, *rows], categories=["code"])
    assert [each.name for each in table.numbers] == ["price"]
    assert [each.name for each in table.categories] == ["code", "colour", "sold", "mixed"]
    assert table.categories[0].values == ("10115", "20095")
    assert table.categories[2].values == ("False", "True")
    assert table.columns == ("price", "code", "colour", "sold", "mixed")
    assert table.width == 6
    # A column of whole numbers with a gap is read as one of fractions.
    assert table.vectors([{"code": 10115.0}]).matrix[0, 2] == UNKNOWN + 1


def test_it_is_kept_as_plain_values() -> None:
    rows = [{"price": float(n), "colour": "red" if n % 2 else "blue"} for n in range(6)]
    table = FieldTable.fit(rows)
    again = FieldTable.from_dict(json.loads(json.dumps(table.to_dict())))
    assert again == table
    np.testing.assert_array_equal(again.vectors(rows).matrix, table.vectors(rows).matrix)


def test_rows_are_ready_for_batches() -> None:
    rows = [{"price": 1.0}, {"price": 2.0}, {"price": 1.0}]
    ready = FieldTable.fit(rows).vectors(rows)
    assert isinstance(ready, Preprocessed)
    assert ready.lengths.tolist() == [1, 1, 1]
    keys = ready.keys()
    assert keys[0] == keys[2] != keys[1]
    assert ready.take([1, 0]).keys().tolist() == keys[[1, 0]].tolist()


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(DataError, match="no row has a value"):
        FieldTable.fit([None, {}])
    with pytest.raises(DataError, match="no column 'zip'"):
        FieldTable.fit([{"price": 1.0}], categories=["zip"])
    table = FieldTable.fit([{"price": 1.0}, {"price": 2.0}])
    with pytest.raises(DataError, match="row 1, column 'price': got 'cheap'"):
        table.vectors([{"price": "3"}, {"price": "cheap"}])
