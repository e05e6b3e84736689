"""Roles worked out from names and contents."""

from typing import Any

import datasets
import pytest

from transfuse.data.infer import infer_schema
from transfuse.data.schema import Role
from transfuse.errors import DataError

TEXTS = ["a fine day it was", "nothing of the kind", "too long to read", "short and sweet"]


def roles(columns: dict[str, list[Any]], **given: Any) -> dict[str, str]:
    schema, _ = infer_schema(datasets.Dataset.from_dict(columns), given or None)
    return {name: str(role) for name, role in schema.roles.items()}


@pytest.mark.parametrize("text", ["text", "Sentence", "review", "review text", "内容", "评论"])
@pytest.mark.parametrize("label", ["label", "Stars", "category", "类别", "标签"])
def test_columns_are_known_by_their_names(text: str, label: str) -> None:
    found = roles({label: [1, 2, 1, 2], text: TEXTS, "extra": [0.5, 1.5, 2.5, 3.5]})
    assert found == {text: "text", label: "label"}


@pytest.mark.parametrize("group", ["group", "document", "doc_id", "user"])
def test_a_column_that_repeats_is_a_group_by_its_name(group: str) -> None:
    columns = {"text": TEXTS, "label": [0, 1, 0, 1], group: ["d1", "d1", "d2", "d2"]}
    assert roles(columns)[group] == "group"
    columns[group] = ["d1", "d2", "d3", "d4"]
    assert group not in roles(columns)


def test_a_document_column_of_prose_is_the_text() -> None:
    assert roles({"document": TEXTS, "label": [0, 1, 0, 1]})["document"] == "text"


def test_a_surer_name_wins_over_a_less_sure_one() -> None:
    found = roles({"title": TEXTS, "body": TEXTS, "rating": [1, 2, 1, 2], "label": [0, 1, 0, 1]})
    assert found == {"body": "text", "label": "label"}


def test_contents_tell_where_names_do_not() -> None:
    columns = {
        "key": ["0a1b2c3d4e5f60718293", "1b", "2c", "3d"],
        "opinion": TEXTS,
        "mood": ["sad", "glad", "sad", "glad"],
        "weight": [0.1, 0.2, 0.3, 0.4],
    }
    dataset = datasets.Dataset.from_dict(columns)
    schema, notes = infer_schema(dataset, where="x.csv")
    assert schema.roles == {"opinion": Role.TEXT, "mood": Role.LABEL}
    assert notes == [
        "x.csv: text is column 'opinion', since it holds the longest text.",
        "x.csv: label is column 'mood', since it holds only 2 different values.",
    ]


def test_chinese_prose_is_free_text() -> None:
    columns = {
        "code": ["aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbb"] * 2,
        "c": ["这家店的服务很好", "不会再来了真的", "味道一般般吧", "强烈推荐给大家"],
    }
    columns["code"] = [code + str(place) for place, code in enumerate(columns["code"])]
    assert roles(columns) == {"c": "text"}


def test_given_roles_stand_and_none_means_none() -> None:
    columns = {"text": TEXTS, "other": TEXTS, "label": [0, 1, 0, 1], "stars": [1, 2, 1, 2]}
    found = roles(columns, text="other", label=None)
    assert found == {"other": "text"}


def test_two_names_of_one_rank_are_an_error_that_lists_both() -> None:
    with pytest.raises(DataError, match=r"2 columns could be the text: 'review', 'comment'.*text:"):
        roles({"review": TEXTS, "comment": TEXTS})


def test_two_columns_of_few_values_are_an_error_that_lists_both() -> None:
    columns = {"text": TEXTS, "kind": ["a", "b"] * 2, "place": ["x", "x", "y", "y"]}
    with pytest.raises(DataError, match=r"could be the label: 'kind', 'place'.*`label: null`"):
        roles(columns)
    assert roles(columns, label="place")["place"] == "label"


def test_two_columns_of_prose_are_an_error_that_lists_both() -> None:
    with pytest.raises(DataError, match="2 columns could be the text: 'one', 'two'"):
        roles({"one": TEXTS, "two": TEXTS[::-1], "label": [0, 1, 0, 1]})


def test_no_text_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match=r"no column holds text; the columns are 'a', 'b'"):
        roles({"a": [1, 2], "b": [0.5, 0.6]})


def test_the_split_column_is_never_the_label() -> None:
    assert "split" not in roles({"text": TEXTS, "split": ["train", "test"] * 2})


def test_other_kinds_of_tables_need_no_text() -> None:
    found = roles({"user": ["a", "b"], "item": ["x", "y"], "rating": [1, 5]})
    assert found == {"user": "user", "item": "item", "rating": "rating"}
    found = roles({"tokens": [["a"], ["b", "c"]], "tags": [[0], [1, 0]]})
    assert found == {"tokens": "tokens", "tags": "tags"}
    found = roles({"source": ["a dog", "a cat"], "target": ["ein Hund", "eine Katze"]})
    assert found == {"source": "source", "target": "target"}
