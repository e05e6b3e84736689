"""The data card: its numbers are those of the table, and it survives JSON."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.data.card import DataCard, Distance, OverlapNote, make_card
from transfuse.data.clean import clean
from transfuse.data.overlap import overlap
from transfuse.data.spread import Spread
from transfuse.data.table import Table
from transfuse.errors import DataError


def table_of(texts, labels=None, groups=None):
    columns = {"text": texts}
    roles = {"text": "text", "label": None, "group": None}
    for name, values in (("label", labels), ("group", groups)):
        if values is not None:
            columns[name], roles[name] = values, name
    return Table.from_dict(columns, name="made", roles=roles)


def test_the_card_counts_what_is_there():
    table = table_of(
        ["one two three", "one two three", "中文文本 ok", "don't"],
        ["good", "good", "bad", "good"],
        ["a", "a", "a", "b"],
    )
    card = make_card(table, notes=["said by hand"])
    assert (card.name, card.rows, card.fingerprint) == ("made", 4, table.fingerprint)
    assert list(card.labels.items()) == [("good", 3), ("bad", 1)]
    assert card.balance == pytest.approx(0.8113, abs=1e-4)  # entropy of 3/4 and 1/4 in bits
    assert (card.groups, card.largest_group, card.duplicates) == (2, 3, 1)
    assert (card.characters.quantiles["0"], card.characters.quantiles["100"]) == (5, 13)
    # Each Han character counts as a word: 3, 3, 4 + 1, 1.
    assert card.words.mean == pytest.approx(3.0)
    assert card.scripts["han"] == pytest.approx(4 / (11 + 11 + 6 + 4))
    assert sum(card.scripts.values()) == pytest.approx(1)
    assert card.notes == (*table.notes, "said by hand")


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=200))
def test_every_number_is_in_one_bin(values):
    spread = Spread.of(np.array(values))
    assert sum(spread.counts) == len(values)
    assert len(spread.edges) == len(spread.counts) + 1 <= 26
    assert all(edge == int(edge) for edge in spread.edges)
    assert spread.edges[0] == min(values)
    assert spread.quantiles["100"] == max(values)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_every_measurement_is_in_one_bin(values):
    spread = Spread.of(np.array(values))
    assert sum(spread.counts) == len(values)
    assert list(spread.edges) == sorted(spread.edges)


def test_one_huge_text_does_not_hide_the_others():
    spread = Spread.of(np.array([*range(10, 30)] * 10 + [1_000_000]))
    assert spread.edges[-1] < 100
    assert spread.counts[-1] >= 1


def test_labels_of_every_kind():
    numbers = make_card(table_of(["a", "b", "c"], [0.5, 1.5, 4.0]))
    assert numbers.labels == {}
    assert numbers.balance is None
    assert numbers.label_values.mean == 2.0
    several = make_card(table_of(["a", "b"], [["x", "y"], ["x"]]))
    assert several.labels == {"x": 2, "y": 1}
    whole = make_card(table_of(["a", "b", "c"], [1, 2, 2]))
    assert whole.labels == {"2": 2, "1": 1}
    assert make_card(table_of(["a", "b"], ["x", "x"])).balance == 0.0
    none = make_card(table_of(["a", "b"]))
    assert (none.labels, none.balance, none.groups, none.label_values) == ({}, None, None, None)


def test_a_table_without_text_has_a_card():
    roles = {"user": "user", "item": "item"}
    table = Table.from_dict({"user": ["a", "b"], "item": ["x", "y"]}, name="made", roles=roles)
    card = make_card(table)
    assert (card.characters, card.words, card.scripts) == (None, None, {})


def test_the_card_survives_json():
    table, report = clean(table_of(["a b ", "a b", "c", "d e"], ["x", "x", "y", "y"]))
    source = table_of(["something", "a  B"])
    note = OverlapNote.of(overlap(source, table), table, "source")
    card = make_card(table, report, overlaps=[note])
    card = card.with_distances([Distance("MMD", "source", 0.25, "on features")])
    assert card.overlaps == (OverlapNote("source", 1, 0, ("a b",)),)
    again = DataCard.from_json(json.loads(json.dumps(card.to_json(), allow_nan=False)))
    assert again == card


def test_scripts_are_shares_of_the_letters():
    card = make_card(table_of(["abc 123 !?", "где", "中文"]))
    assert card.scripts == pytest.approx({"latin": 3 / 8, "han": 2 / 8, "other": 3 / 8})
    assert make_card(table_of(["123 !?", "👍"])).scripts == {}


def test_an_empty_table_has_no_card():
    with pytest.raises(DataError, match="no rows"):
        make_card(table_of(["a"]).take([]))
