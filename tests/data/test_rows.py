"""Rows of several columns: read by name, picked, and narrowed to what a model reads."""

import pytest

from transfuse.data import Records, Role, Table, narrowed, picked

BOTH = (Role.TEXT, Role.FIELDS)


def records() -> Records:
    fields = [{"price": 1.0}, {"price": 2.0}, {"price": None}]
    return Records({"text": ["one", None, "three"], "fields": fields})


def test_a_row_has_every_column_and_a_part_every_row() -> None:
    found = records()
    assert found[1] == {"text": None, "fields": {"price": 2.0}}
    assert found[-1]["text"] == "three"
    assert [row["text"] for row in found[1:]] == [None, "three"]
    assert list(found) == [found[0], found[1], found[2]]
    with pytest.raises(IndexError):
        found[3]


def test_parts_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        Records({"text": ["a"], "fields": []})


def test_picked_rows_keep_their_columns_and_their_order() -> None:
    some = picked(records(), [2, 0])
    assert isinstance(some, Records)
    assert some.parts["text"] == ["three", "one"]
    assert picked(["a", "b", "c"], [1, 1]) == ["b", "b"]


def test_a_model_of_fewer_roles_gets_what_it_would_have_been_given() -> None:
    found = records()
    assert narrowed(found, BOTH, (Role.TEXT,)) == ["one", None, "three"]
    fields = narrowed(found, BOTH, (Role.FIELDS,))
    assert isinstance(fields, Records)
    assert fields[0] == {"fields": {"price": 1.0}}
    assert narrowed(found, BOTH, BOTH) is found
    assert narrowed(["a"], (Role.TEXT,), (Role.TEXT,)) == ["a"]


def test_a_table_gives_the_roles_that_are_asked_for() -> None:
    table = Table.from_dict(
        {"title": ["a fine film", "a poor book"], "price": [1.5, 2.5], "label": ["x", "y"]},
        roles={"text": "title", "fields": "price", "label": "label"},
    )
    assert table.reads == BOTH
    assert table.inputs((Role.TEXT,)) == ["a fine film", "a poor book"]
    assert table.inputs()[1] == {"text": "a poor book", "fields": {"price": 2.5}}
    other = table.with_column("price", [1.5, 9.0])
    same = [a == b for a, b in zip(table.row_keys(), other.row_keys(), strict=True)]
    assert same == [True, False], "a row is what is read of it, all columns together"
