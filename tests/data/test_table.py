"""Tables: rows, subsets, fingerprints and keys."""

import pickle
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.data.read import read
from transfuse.data.schema import Role
from transfuse.data.table import Table
from transfuse.errors import DataError

COLUMNS: dict[str, list[Any]] = {
    "text": ["one two", "three four", "五 六", "seven"],
    "label": ["x", "y", "x", "z"],
    "group": [1, 1, 2, 2],
    "extra": [0.1, 0.2, 0.3, 0.4],
}


def table(**changes: list[Any]) -> Table:
    return Table.from_dict({**COLUMNS, **changes}, name="t")


def test_columns_come_back_as_they_were() -> None:
    found = table()
    assert len(found) == 4
    assert found.texts() == COLUMNS["text"]
    assert found.labels() == COLUMNS["label"]
    assert found.groups() == COLUMNS["group"]
    assert found.column("label") == found.column(Role.LABEL) == COLUMNS["label"]
    assert found.values("extra") == COLUMNS["extra"]


def test_a_table_without_groups_has_none_and_without_labels_says_so() -> None:
    found = Table.from_dict({"text": ["a b", "c d"]})
    assert found.groups() is None
    with pytest.raises(DataError, match="no column is known to be the label"):
        found.labels()


@pytest.mark.parametrize("labels", [[0, 1, 2, 1], [0.5, 1.0, 2.0, 1.5], ["a", "b", "a", "b"]])
def test_labels_keep_their_type(labels: list[Any]) -> None:
    found = table(label=labels).labels()
    assert found == labels
    assert {type(label) for label in found} == {type(labels[0])}


def test_lists_of_labels_stay_lists() -> None:
    labels = [["a"], ["a", "b"], [], ["c"]]
    found = table(label=labels)
    assert found.labels() == labels
    assert found.class_counts == {"a": 2, "b": 1, "c": 1}


def test_taking_rows_keeps_order_repeats_and_counts_from_the_end() -> None:
    found = table().take([3, 0, 0, -2])
    assert found.texts() == ["seven", "one two", "one two", "五 六"]
    assert found.take([1]).labels() == ["x"]
    assert len(found.take([])) == 0
    assert found.take(np.array([], dtype=np.int64)).texts() == []
    with pytest.raises(IndexError, match="table of 4 rows"):
        found.take([4])


def test_filtering_by_mask_and_by_row() -> None:
    found = table()
    assert found.filter([True, False, False, True]).labels() == ["x", "z"]
    assert found.filter(lambda row: row["label"] == "x").texts() == ["one two", "五 六"]
    with pytest.raises(ValueError, match="mask of shape"):
        found.filter([True])


def test_a_column_can_be_added_and_replaced() -> None:
    found = table()
    changed = found.with_column("text", ["a", "b", "c", "d"]).with_column(
        "from", ["n"] * 4, role="domain"
    )
    assert changed.texts() == ["a", "b", "c", "d"]
    assert changed.column(Role.DOMAIN) == ["n"] * 4
    assert found.texts() == COLUMNS["text"]
    assert found.take([2, 1]).with_column("text", ["p", "q"]).labels() == ["x", "y"]


def test_classes_are_counted() -> None:
    found = table()
    assert found.class_counts == {"x": 2, "y": 1, "z": 1}


def test_the_fingerprint_ignores_the_order_of_rows_and_columns() -> None:
    found = table()
    assert found.take([2, 0, 3, 1]).fingerprint == found.fingerprint
    turned = dict(reversed(COLUMNS.items()))
    assert Table.from_dict(turned).fingerprint == found.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        table(text=["one two", "three four", "五 六", "Seven"]),
        table(label=["x", "y", "x", "y"]),
        table(group=[1, 1, 1, 2]),
        table(text=COLUMNS["text"][::-1]),
        table().take([0, 1, 2]),
        table().take([0, 0, 1, 2, 3]),
        Table.from_dict(COLUMNS, roles={"group": None}),
    ],
)
def test_the_fingerprint_changes_with_any_content(other: Table) -> None:
    assert other.fingerprint != table().fingerprint


def test_the_fingerprint_ignores_columns_without_a_role() -> None:
    assert table(extra=[1.0, 2.0, 3.0, 4.0]).fingerprint == table().fingerprint


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.tuples(st.text(max_size=4), st.integers(0, 3)), min_size=2, max_size=6),
    seed=st.randoms(use_true_random=False),
)
def test_fingerprints_are_equal_exactly_for_equal_collections_of_rows(
    rows: list[tuple[str, int]], seed: Any
) -> None:
    def of(some: list[tuple[str, int]]) -> str:
        texts, labels = zip(*some, strict=True)
        return Table.from_dict({"text": texts, "label": labels}).fingerprint

    mixed = list(rows)
    seed.shuffle(mixed)
    assert of(mixed) == of(rows)
    assert of([*rows, rows[0]]) != of(rows)
    assert of([*rows[:-1], (rows[-1][0] + "x", rows[-1][1])]) != of(rows)


@pytest.mark.parametrize(
    "labels", [[3, 1, 2], [0.5, 1.0, 2.25], ["x", "y", "z"], [["a", "b"], ["a"], ["c", "a"]]]
)
def test_the_fingerprint_is_the_same_from_every_format(labels: list[Any], tmp_path: Path) -> None:
    frame = pd.DataFrame({"内容": ['a "b", c', "d\ne f", "五 六"], "标签": labels})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True, force_ascii=False)
    frame.to_json(tmp_path / "t.json", orient="records")
    written = frame.assign(标签=["|".join(x) if isinstance(x, list) else x for x in labels])
    written.to_csv(tmp_path / "t.csv", index=False)
    written.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    tables = [read(frame), *(read(path) for path in sorted(tmp_path.iterdir()))]
    assert len(tables) == 6
    for found in tables:
        assert found.texts() == list(frame["内容"]), found.name
        assert found.labels() == labels, found.name
    assert len({found.fingerprint for found in tables}) == 1
    assert len({tuple(found.row_keys()) for found in tables}) == 1


def test_row_keys_are_equal_exactly_for_texts_equal_after_nfc() -> None:
    composed, decomposed = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    found = Table.from_dict({"text": [composed, decomposed, "cafe", "CAFE"]})
    keys = found.row_keys()
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert {len(key) for key in keys} == {16}


def test_row_keys_of_pairs_keep_the_two_texts_apart() -> None:
    found = Table.from_dict(
        {"p": ["ab", "a"], "h": ["c", "bc"]}, roles={"text": ["p", "h"], "label": None}
    )
    assert len(set(found.row_keys())) == 2


def test_frames_keep_types_and_lose_the_index() -> None:
    frame = pd.DataFrame(
        {
            "text": pd.Series(["a b", "c d", "e f"], dtype="string"),
            "label": pd.Categorical(["u", "v", "u"]),
            "n": np.array([1, 2, 3], dtype=np.int16),
        }
    )
    frame.index = pd.Index([7, 8, 9])
    found = Table.from_pandas(frame, name="f")
    assert found.labels() == ["u", "v", "u"]
    assert found.dataset.column_names == ["text", "label", "n"]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_missing_values_in_frames_are_named_with_their_rows(missing: Any) -> None:
    frame = pd.DataFrame({"text": ["a b", missing, "e f"], "label": ["u", "v", missing]})
    with pytest.raises(DataError) as caught:
        Table.from_pandas(frame, name="f")
    assert [str(problem) for problem in caught.value.problems] == [
        "f, row 2, column 'text': no text; expected a text in each row. "
        "Fill it in or leave the row out.",
        "f, row 3, column 'label': no label; expected a label in each row. "
        "Fill it in or leave the row out.",
    ]


def test_nan_and_infinite_numbers_are_no_labels() -> None:
    with pytest.raises(DataError) as caught:
        table(label=[0.5, float("nan"), float("inf"), 1.0])
    assert [problem.what for problem in caught.value.problems] == ["no label", "the label is inf"]


def test_booleans_become_the_names_that_a_csv_file_would_give() -> None:
    found = table(label=[True, False, True, True])
    assert found.labels() == ["True", "False", "True", "True"]
    assert any("true and false" in note for note in found.notes)


def test_labels_of_several_types_are_named_with_their_rows() -> None:
    with pytest.raises(DataError) as caught:
        table(label=[1, "two", 3, [4]])
    assert [str(problem).split(".")[0] for problem in caught.value.problems] == [
        "t, row 2, column 'label': a text ('two'); expected an integer, as in 2 of 4 rows",
        "t, row 4, column 'label': a list of integer ([4]); expected an integer, as in 2 of 4 rows",
    ]


def test_columns_that_make_no_table_are_errors() -> None:
    with pytest.raises(DataError, match="different lengths: 'text' has 1, 'label' has 2"):
        Table.from_dict({"text": ["a"], "label": [1, 2]})
    with pytest.raises(DataError, match="no rows"):
        Table.from_dict({"text": [], "label": []})
    with pytest.raises(DataError, match="more than one column named 'text'"):
        Table.from_pandas(pd.DataFrame([["a", "b"]], columns=["text", "text"]))
    with pytest.raises(DataError, match="half a character"):
        Table.from_dict({"text": ["\ud83d"]})
    with pytest.raises(DataError, match=r"the text column holds int64.*text: NAME"):
        Table.from_dict({"text": [1, 2]})
    with pytest.raises(DataError, match="expected a text, a number"):
        Table.from_dict({"text": ["a b", "c d"], "label": [{"a": 1}, {"a": 2}]})


def test_a_hundred_bad_rows_are_shown_as_twenty_and_a_count() -> None:
    labels = [None] * 100 + [1] * 50
    with pytest.raises(DataError) as caught:
        Table.from_dict({"text": [f"t {n}" for n in range(150)], "label": labels}, name="t")
    problems = caught.value.problems
    assert len(problems) == 21
    assert [problem.where for problem in problems[:2]] == [
        "t, row 1, column 'label'",
        "t, row 2, column 'label'",
    ]
    assert str(problems[20]) == "t: 80 more problems"


def test_a_table_of_picked_rows_takes_no_more_along_than_its_rows() -> None:
    texts = [f"row {number} " * 20 for number in range(2000)]
    whole = Table.from_dict({"text": texts, "label": [number % 2 for number in range(2000)]})
    picked = whole.take(range(0, 2000, 2)).append(whole.take(range(1, 2000, 2)))
    assert len(pickle.dumps(picked)) < 2 * len(pickle.dumps(whole))
