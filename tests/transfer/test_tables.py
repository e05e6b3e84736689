"""The rows of files that a recipe takes."""

import csv
from pathlib import Path

import pytest

from transfuse.errors import DataError
from transfuse.transfer import TableChoice, load_table, prepare, read_plan

ROWS = [
    ("a good film", "yes", "film", "train"),
    ("a bad film", "no", "film", "test"),
    ("nobody said", "", "film", "rest"),
    ("a good book", "yes", "book", "train"),
    ("a bad book", "no", "book", "test"),
    ("a poor book", "", "book", "train"),
]


def write(path: Path, rows: list[tuple[str, ...]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label", "kind", "part"))
        writer.writerows(rows)
    return str(path)


def test_rows_that_are_left_out_may_lack_a_label(tmp_path: Path) -> None:
    path = write(tmp_path / "all.csv", ROWS)
    where = {"kind": "film", "part": ("train", "test")}
    table = load_table(TableChoice(path=path, label="label", where=where))
    assert table.texts() == ["a good film", "a bad film"]
    assert table.labels() == ["yes", "no"]


def test_a_bad_row_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "all.csv", ROWS)
    with pytest.raises(DataError) as caught:
        load_table(TableChoice(path=path, label="label", where={"kind": "book"}))
    (problem,) = caught.value.problems
    assert "7" in problem.where, "the seventh line, as the heading is the first"


def test_values_may_stand_in_one_of_several_files(tmp_path: Path) -> None:
    films, books = (write(tmp_path / f"{n}.csv", ROWS[n : n + 2]) for n in (0, 3))
    both = TableChoice(path=(films, books), label="label", where={"kind": ("film", "book")})
    assert len(load_table(both)) == 4
    one = TableChoice(path=(films, books), label="label", where={"kind": "book"})
    assert load_table(one).texts() == ["a good book", "a bad book"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"kind": "filn"}, "Did you mean 'film'"),
        ({"kinds": "film"}, "Did you mean 'kind'"),
        ({"kind": "book", "part": "rest"}, "together"),
    ],
)
def test_what_no_row_has_is_an_error(where: dict[str, str], said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "all.csv", ROWS)
    with pytest.raises(DataError, match=said):
        load_table(TableChoice(path=path, label="label", where=where))


def test_test_rows_that_nearly_stand_among_those_that_train_are_told(tmp_path: Path) -> None:
    words = [f"the {n}th thing was sent to another town of the north in week {n}" for n in range(8)]
    rows = [(text, "yes" if n % 2 else "no", "x", "train") for n, text in enumerate(words)]
    tested = [("something else was here", "yes", "x", "test"), ("a quiet day", "no", "x", "test")]
    path = write(tmp_path / "all.csv", [*rows, (f"{words[0]}!", "no", "x", "test"), *tested])
    file = Path(path)
    file.write_text(file.read_text().replace("part", "split", 1))
    data = {"target": {"path": path, "text": "text", "label": "label"}}
    recipe = {"model": "tfidf", "data": data, "split": {"by": "column", "validation": 0}}
    (said,) = [note for note in prepare(read_plan(recipe)).notes if "rows that train" in note]
    assert said.startswith("target: 1 of 3 test rows")
