import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.data.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6), max_size=8)


def as_lists(ragged):
    return [row.tolist() for row in ragged]


@given(ROWS)
def test_rows_come_back_as_they_went_in(rows):
    ragged = Ragged.from_rows(rows)
    assert as_lists(ragged) == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert len(ragged) == len(rows)
    assert ragged.values.dtype == np.int32
    assert ragged.offsets.dtype == np.int64


@given(ROWS.filter(len), st.data())
def test_take_is_what_indexing_one_by_one_gives(rows, data):
    picked = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=10))
    ragged = Ragged.from_rows(rows)
    assert as_lists(ragged.take(np.array(picked, dtype=np.int64))) == [rows[i] for i in picked]
    mask = np.array([len(row) % 2 == 0 for row in rows])
    assert as_lists(ragged.take(mask)) == [row for row in rows if len(row) % 2 == 0]


@given(st.lists(ROWS, max_size=3))
def test_concatenate_keeps_every_row_in_order(parts):
    whole = Ragged.concatenate(Ragged.from_rows(part) for part in parts)
    assert as_lists(whole) == [row for part in parts for row in part]


@pytest.mark.parametrize(
    ("values", "offsets"), [([1, 2], [0, 1]), ([1, 2], [1, 2]), ([1, 2], [0, 2, 1, 2]), ([1], [])]
)
def test_offsets_that_do_not_describe_the_values_are_refused(values, offsets):
    with pytest.raises(ValueError, match="expected"):
        Ragged(np.array(values, dtype=np.int32), np.array(offsets, dtype=np.int64))


def test_a_row_that_is_not_there_is_an_index_error():
    with pytest.raises(IndexError):
        Ragged.from_rows([[1]])[1]
