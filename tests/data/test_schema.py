"""Roles that a person gives."""

import pytest

from transfuse.data.schema import Role, Schema, given_roles
from transfuse.errors import DataError


def test_a_schema_hands_out_columns_by_role() -> None:
    schema = Schema({"premise": Role.TEXT, "hypothesis": Role.TEXT, "y": Role.LABEL})
    assert schema.column(Role.TEXT) == "premise"
    assert schema.columns(Role.TEXT) == ("premise", "hypothesis")
    assert schema.columns(Role.GROUP) == ()
    assert schema.has(Role.LABEL)
    assert not schema.has(Role.GROUP)


def test_an_absent_role_is_an_error_that_says_what_is_known_and_how_to_name_it() -> None:
    with pytest.raises(DataError, match=r"'y' is label.*group: NAME"):
        Schema({"y": Role.LABEL}).column(Role.GROUP)


def test_given_roles_accept_one_several_or_no_column() -> None:
    given = {"text": ["a", "b"], "label": "c", "group": None}
    assert given_roles(["a", "b", "c"], given) == {
        "a": Role.TEXT,
        "b": Role.TEXT,
        "c": Role.LABEL,
    }


def test_all_wrong_roles_come_at_once_with_the_nearest_right_ones() -> None:
    given = {"txt": "body", "text": "boddy", "label": "stars", "group": "stars"}
    with pytest.raises(DataError) as caught:
        given_roles(["body", "stars"], given, where="reviews.csv")
    texts = [str(problem) for problem in caught.value.problems]
    assert len(texts) == 3
    assert "unknown role 'txt'" in texts[0]
    assert "Did you mean 'text'?" in texts[0]
    assert "no column 'boddy' for the text" in texts[1]
    assert "Did you mean 'body'?" in texts[1]
    assert "'stars' is given as the label and as the group" in texts[2]
    assert all(problem.where == "reviews.csv" for problem in caught.value.problems)
