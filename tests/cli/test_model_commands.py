"""Models at work through the command line."""

import csv
import json
from pathlib import Path

from cli_helpers import Command, reviews, write_csv


def test_evaluate_prints_the_scorecard(cli: Command, model: Path, place: Path) -> None:
    write_csv(place / "new.csv", reviews(30, seed=9))
    said = cli("evaluate", model, "new.csv")
    assert said.code == 0, said.err
    assert "30 test rows" in said.out
    told = json.loads(cli("evaluate", model, "new.csv", "--json").out)
    assert told["rows"] == 30
    assert told["metrics"]["accuracy"] > 0.8


def test_evaluate_refuses_rows_that_were_learnt_from(cli: Command, model: Path) -> None:
    said = cli("evaluate", model, "reviews.csv")
    assert said.code == 2
    assert "were trained on" in said.err
    assert "--allow-trained-rows" in said.err
    assert cli("evaluate", model, "reviews.csv", "--allow-trained-rows").code == 0


def test_evaluate_names_labels_that_the_model_does_not_know(
    cli: Command, model: Path, place: Path
) -> None:
    write_csv(place / "new.csv", [(text, "neutral") for text, _ in reviews(5, seed=9)])
    said = cli("evaluate", model, "new.csv")
    assert said.code == 2
    assert "'neutral'" in said.err


def test_evaluate_needs_labels(cli: Command, model: Path, place: Path) -> None:
    write_csv(place / "new.csv", [(text,) for text, _ in reviews(5, seed=9)], ("text",))
    said = cli("evaluate", model, "new.csv")
    assert said.code == 2
    assert "--label" in said.err


def test_predict_writes_the_file_with_answers(cli: Command, model: Path, place: Path) -> None:
    write_csv(place / "new.csv", reviews(20, seed=9), ("body", "truth"))
    said = cli("predict", model, "new.csv", "--output", "out.csv", "--column", "body")
    assert said.code == 0, said.err
    assert said.out.strip() == "out.csv"
    with (place / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["body", "truth", "prediction", "confidence"]
    assert sum(row["truth"] == row["prediction"] for row in rows) >= 16


def test_predict_answers_for_one_text(cli: Command, model: Path) -> None:
    said = cli("predict", model, "--text", "a great and lovely phone [bold]")
    assert said.code == 0, said.err
    assert "positive" in said.out
    assert "negative" in said.out
    assert "%" in said.out


def test_predict_says_what_is_missing(cli: Command, model: Path) -> None:
    assert "the file to read" in cli("predict", model).err
    assert "--output" in cli("predict", model, "reviews.csv").err
    both = cli("predict", model, "reviews.csv", "--text", "x")
    assert both.code == 2
    assert "--text" in both.err


def test_bad_input_is_refused_and_leaves_nothing(cli: Command, model: Path, place: Path) -> None:
    (place / "bad.csv").write_bytes(b"text\nfine\ncaf\xe9\n")
    before = sorted(path.name for path in place.iterdir())
    for arguments, named in (
        (("bad.csv", "--output", "out.csv"), "bad.csv, line 3"),
        (("none.csv", "--output", "out.csv"), "none.csv"),
        (("reviews.csv", "--output", "out.xyz"), ".xyz"),
        (("reviews.csv", "--output", "out.csv", "--column", "txt"), "Did you mean 'text'?"),
        (("reviews.csv", "--output", "reviews.csv"), "is the input"),
    ):
        said = cli("predict", model, *arguments)
        assert said.code == 2
        assert named in said.err
        assert "Traceback" not in said.err
    assert sorted(path.name for path in place.iterdir()) == before


def test_a_folder_without_a_model(cli: Command, place: Path, table: Path) -> None:
    for command in (("evaluate", ".", "reviews.csv"), ("predict", "nowhere", "--text", "x")):
        said = cli(*command)
        assert said.code == 2
        assert "transfuse.json" in said.err
