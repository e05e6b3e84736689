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


def test_predict_adds_sets_and_withholds_answers(cli: Command, model: Path, place: Path) -> None:
    write_csv(place / "new.csv", [*reviews(40, seed=9), ("the this it", "negative")])
    said = cli("predict", model, "new.csv", "--output", "out.csv", "--sets", "0.8",
               "--abstain-below", "0.6")  # fmt: skip
    assert said.code == 0, said.err
    assert "Sets hold the true label of 80% of the rows" in said.err
    with (place / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[2:] == ["prediction", "confidence", "prediction_set", "abstained"]
    assert {row["prediction_set"] for row in rows} <= {"negative", "positive", "negative|positive"}
    for row in rows:
        assert (row["abstained"] == "True") == (float(row["confidence"]) < 0.6)
        assert (row["prediction"] == "") == (row["abstained"] == "True")
    one = cli("predict", model, "--text", "the this it", "--abstain-below", "0.9", "--sets", "0.5")
    assert one.code == 0, one.err
    assert "I don't know" in one.out
    assert "set" in one.out


def test_doubt_is_measured_on_labelled_rows(cli: Command, model: Path, place: Path) -> None:
    write_csv(place / "new.csv", reviews(60, seed=9))
    write_csv(place / "held.csv", reviews(150, seed=8))
    told = cli("evaluate", model, "new.csv", "--json", "--risk", "0.1", "--sets", "0.9",
               "--calibrate", "held.csv")  # fmt: skip
    assert told.code == 0, told.err
    metrics = json.loads(told.out)["metrics"]
    assert 0.8 <= metrics["set_coverage"] <= 1.0
    assert 1.0 <= metrics["set_size"] <= 2.0
    assert 0.0 < metrics["answered"] <= 1.0
    assert metrics["answered_risk"] <= 0.1
    assert "fewer than 10.0% of the answers are wrong" in told.err


def test_doubt_that_cannot_be_is_refused(cli: Command, model: Path, place: Path) -> None:
    for options, named in (
        (("--sets", "1.2"), "sets lies between 0 and 1"),
        (("--risk", "0.1", "--abstain-below", "0.5"), "both set a threshold"),
        (("--calibrate", "reviews.csv"), "is given alone"),
        (("--sets", "0.9", "--set-method", "best"), "one of lac, aps, raps"),
        (("--sets", "0.9", "--calibrate", "reviews.csv"), "were trained on"),
        (("--risk", "0.0001"), "cannot be promised"),
    ):
        said = cli("predict", model, "reviews.csv", "--output", "out.csv", *options)
        assert said.code == 2, said.out
        assert named in said.err
    (model / "calibration.safetensors").unlink()
    said = cli("predict", model, "reviews.csv", "--output", "out.csv", "--sets", "0.9")
    assert said.code == 2
    assert "--calibrate FILE" in said.err
    assert not (place / "out.csv").exists()


def test_explain_names_the_words_that_decide(cli: Command, model: Path, place: Path) -> None:
    said = cli("explain", model, "--text", "the phone is great, it works [bold]")
    assert said.code == 0, said.err
    assert said.out.startswith("positive")
    assert "the phone is great, it works [bold]" in said.out
    weights = dict(line.split() for line in said.out.splitlines() if line.startswith("great"))
    assert float(weights["great"]) > 0
    other = cli("explain", model, "--text", "great", "--label", "negative", "--json")
    told = json.loads(other.out)
    assert told["tokens"][0]["weight"] < 0
    said = cli("explain", model, "--data", "reviews.csv", "--rows", "3", "--html", "why.html")
    assert said.code == 0, said.err
    page = (place / "why.html").read_text(encoding="utf-8")
    assert page.count('class="words"') == 3
    assert "<script" not in page


def test_explain_says_what_is_missing(cli: Command, model: Path) -> None:
    for options, named in (
        ((), "needs a text, a picture or a file"),
        (("--text", "a", "--data", "reviews.csv"), "one of them"),
        (("--text", "a", "--method", "lime"), "one of occlusion"),
        (("--text", "a", "--label", "positiv"), "Did you mean 'positive'"),
        (("--text", "a", "--method", "integrated_gradients"), "occlusion"),
    ):
        said = cli("explain", model, *options)
        assert said.code == 2
        assert named in said.err
