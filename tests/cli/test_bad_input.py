"""Every bad input of a person's own making, through the command line.

Each ends with exit code 2, names the place, shows no traceback and leaves nothing behind under a
final name.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import Command, Said, final_names, reviews, write_csv, write_recipe

from transfuse.models import Engine


@pytest.fixture
def refused(cli: Command, place: Path) -> Callable[..., Said]:
    """Runs a recipe that must be refused; every given text must be in the message."""

    def check(recipe: Path, *expected: str) -> Said:
        said = cli("run", recipe, "--output", place / "out")
        assert said.code == 2, said.err
        message = " ".join(said.err.split())
        for text in expected:
            assert text in message
        assert "Traceback" not in said.err
        assert said.out == ""
        assert final_names(place / "out") == []
        return said

    return check


def test_a_missing_file_is_named_with_its_neighbours(
    refused: Callable[..., Said], table: Path, place: Path
) -> None:
    recipe = write_recipe(place / "r.yaml", {"path": "review.csv"})
    refused(recipe, "review.csv", "no such file", "Did you mean reviews.csv?")


def test_a_wrong_column_is_named_with_the_nearest(
    refused: Callable[..., Said], table: Path, place: Path
) -> None:
    recipe = write_recipe(place / "r.yaml", {"path": "reviews.csv", "label": "lable"})
    refused(recipe, "reviews.csv", "no column 'lable' for the label", "Did you mean 'label'?")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"text,label\n"])
def test_an_empty_file(refused: Callable[..., Said], place: Path, content: bytes) -> None:
    (place / "reviews.csv").write_bytes(content)
    refused(write_recipe(place / "r.yaml"), "reviews.csv", "at least one row")


def test_one_class_only(refused: Callable[..., Said], place: Path) -> None:
    write_csv(place / "reviews.csv", [(text, "positive") for text, _ in reviews()])
    refused(write_recipe(place / "r.yaml"), "reviews.csv", "only one class, 'positive'")


def test_fewer_rows_than_classes(refused: Callable[..., Said], place: Path) -> None:
    rows = [(text, f"kind {row}") for row, (text, _) in enumerate(reviews(6))]
    write_csv(place / "reviews.csv", rows)
    labels = [f"kind {number}" for number in range(9)]
    recipe = write_recipe(place / "r.yaml", task={"classification": {"labels": labels}})
    refused(recipe, "kind")


def test_labels_of_the_test_rows_that_training_never_saw(
    refused: Callable[..., Said], table: Path, place: Path
) -> None:
    rows = [
        (text, "neutral" if row < 3 else label)
        for row, (text, label) in enumerate(reviews(20, seed=1))
    ]
    write_csv(place / "test.csv", rows)
    data = {"target": {"path": "reviews.csv"}, "test": {"path": "test.csv"}}
    recipe = write_recipe(place / "r.yaml", data=data)
    refused(recipe, "'neutral'", "3 rows with a label that training never saw")


@pytest.mark.parametrize("missing", ["", "NaN", "nan", "null"])
def test_missing_labels_are_named_row_by_row(
    refused: Callable[..., Said], place: Path, missing: str
) -> None:
    rows = [
        (text, missing if row in (4, 7) else label) for row, (text, label) in enumerate(reviews())
    ]
    write_csv(place / "reviews.csv", rows)
    refused(
        write_recipe(place / "r.yaml"),
        "reviews.csv, row 5 (line 6), column 'label'",
        "reviews.csv, row 8 (line 9), column 'label'",
    )


def test_nan_among_numbers(refused: Callable[..., Said], place: Path) -> None:
    rows = [(text, "nan" if row == 2 else row / 7) for row, (text, _) in enumerate(reviews())]
    write_csv(place / "reviews.csv", rows)
    refused(
        write_recipe(place / "r.yaml", task="regression"),
        "reviews.csv, row 3 (line 4), column 'label'",
    )


def test_a_megabyte_of_text_in_one_cell(refused: Callable[..., Said], place: Path) -> None:
    rows = reviews()
    rows[10] = ("word " * (2**20 // 5 + 1), "negative")
    write_csv(place / "reviews.csv", rows)
    said = refused(
        write_recipe(place / "r.yaml"),
        "reviews.csv, row 11 (line 12), column 'text'",
        "a text of 1,048,580 characters",
        "at most 1,000,000",
    )
    assert len(said.err) < 2000


def test_invalid_utf8_is_named_by_line_and_byte(
    refused: Callable[..., Said], table: Path, place: Path
) -> None:
    lines = table.read_bytes().splitlines(keepends=True)
    lines[3] = b"caf\xe9 was bad,negative\n"
    table.write_bytes(b"".join(lines))
    byte = sum(map(len, lines[:3])) + 3
    refused(write_recipe(place / "r.yaml"), f"reviews.csv, line 4, byte {byte:,}", "e9")


def test_a_broken_quote_at_line_40000(refused: Callable[..., Said], place: Path) -> None:
    lines = [f"the phone number {row} is fine,positive\n" for row in range(60_000)]
    lines[39_998] = '"the phone broke,negative\n'
    (place / "reviews.csv").write_text("text,label\n" + "".join(lines), encoding="utf-8")
    refused(write_recipe(place / "r.yaml"), "reviews.csv, row 39999 (line 40000)", "quote")


def test_three_mistakes_of_a_recipe_come_at_once(
    refused: Callable[..., Said], table: Path, place: Path
) -> None:
    recipe = write_recipe(
        place / "r.yaml",
        tune={"lora": {"rnak": 4}},
        train={"epohcs": 3},
        learn=["target", {"source": {"wieght": 0.5}}],
    )
    refused(
        recipe,
        "tune.lora.rnak",
        "Did you mean 'rank'?",
        "train.epohcs",
        "Did you mean 'epochs'?",
        "learn[1].source.wieght",
        "Did you mean 'weight'?",
    )


def test_mistakes_of_a_study_are_named_under_their_recipe(
    refused: Callable[..., Said], table: Path, place: Path
) -> None:
    recipe = write_recipe(
        place / "r.yaml",
        recipes={"one": {"tune": "ful"}, "two": {"balance": "fixt"}},
        study={"sedes": [0]},
    )
    refused(
        recipe,
        "recipes.one.tune",
        "Did you mean 'full'?",
        "recipes.two.balance",
        "study.sedes",
        "Did you mean 'seeds'?",
    )


def test_a_recipe_that_is_not_yaml_is_named_by_line(
    refused: Callable[..., Said], place: Path
) -> None:
    path = place / "r.yaml"
    path.write_text("model: tfidf\ndata: {target: reviews.csv\n", encoding="utf-8")
    refused(path, "r.yaml, line")


def test_a_model_that_is_not_there(
    refused: Callable[..., Said], table: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfuse.training.engines.probe_engine", lambda job: Engine())
    recipe = write_recipe(place / "r.yaml", model="./models/minilm")
    refused(recipe, "./models/minilm", "there is no such folder")


def test_an_output_folder_that_cannot_be_one(cli: Command, recipe: Path, place: Path) -> None:
    (place / "out").write_text("a file", encoding="utf-8")
    said = cli("run", recipe, "--output", "out")
    assert said.code == 2
    assert "out" in said.err
    assert "Traceback" not in said.err


def test_problems_do_not_read_texts_as_markup(cli: Command, place: Path) -> None:
    said = cli("validate", "[red]nothing[/red].yaml")
    assert said.code == 2
    assert "[red]nothing[/red].yaml" in said.err
