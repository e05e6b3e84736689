"""Captions made of labels."""

import pytest

from joined_models import picture
from transfuse.data import Role, Table
from transfuse.data.captions import pseudo_captions
from transfuse.errors import DataError


def pictures(labels: list[object]) -> Table:
    columns = {"image": [picture(row % 256) for row in range(len(labels))], "label": labels}
    roles = {"image": "image", "label": "label", "text": None, "group": None, "id": None}
    return Table.from_dict(columns, roles=roles)


def test_a_caption_says_the_name_of_the_label() -> None:
    table = pseudo_captions(pictures(["sea_lion", "cat"]), ["a photo of a {}"])
    assert table.texts() == ["a photo of a sea lion", "a photo of a cat"]
    assert table.schema.column(Role.TEXT) == "caption"
    assert table.labels() == ["sea_lion", "cat"]


def test_sentences_are_drawn_by_row_and_stay_when_the_table_grows() -> None:
    few, many = pictures(["cat"] * 20), pictures(["cat"] * 50)
    said = pseudo_captions(few, ["a {}", "the {}", "some {}"]).texts()
    assert len(set(said)) == 3
    assert pseudo_captions(many, ["a {}", "the {}", "some {}"]).texts()[:20] == said
    assert pseudo_captions(few, ["a {}", "the {}", "some {}"], seed=1).texts() != said


def test_a_table_with_a_text_is_refused() -> None:
    table = pseudo_captions(pictures(["cat", "dog"]), ["a {}"])
    with pytest.raises(DataError, match="has a text already"):
        pseudo_captions(table, ["a {}"])


def test_a_sentence_needs_one_place() -> None:
    for wrong in ([], ["a cat"], ["{} and {}"]):
        with pytest.raises(ValueError, match="once"):
            pseudo_captions(pictures(["cat", "dog"]), wrong)
