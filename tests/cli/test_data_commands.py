"""Data looked at through the command line."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cli_helpers import Command, reviews, write_csv, write_recipe

from transfuse.data import Distance, Table


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample without a download."""

    def made(name: str) -> Table:
        texts, labels = zip(*reviews(24, seed=len(name)), strict=True)
        return Table.from_dict({"text": texts, "label": labels}, name=name)

    monkeypatch.setattr("transfuse.data.sample", made)


def test_a_card_shows_rows_labels_lengths_and_cleaning(
    cli: Command, table: Path, place: Path
) -> None:
    rows = [*reviews(), reviews()[0], ("  two   spaces  ", "positive")]
    write_csv(table, rows)
    said = cli("check", table)
    assert said.code == 0, said.err
    for expected in (
        "reviews.csv",
        "81",
        "positive",
        "negative",
        "█",
        "duplicates",
        "text is column",
    ):
        assert expected in said.out


def test_a_card_against_a_source_shows_overlap_and_distance(
    cli: Command, table: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(place / "source.csv", [*reviews(40, seed=3), *reviews()[:4]])
    asked = []

    def distances(source: Table, target: Table, model: str, **_: object) -> list[Distance]:
        asked.append((source.name, target.name, model))
        return [Distance("proxy A-distance", source.name, 1.25, "2: told apart")]

    monkeypatch.setattr("transfuse.transfer.distances.table_distances", distances)
    said = cli("check", table, "--against", "source.csv", "--model", "some", "--output", "c.html")
    assert said.code == 0, said.err
    assert asked == [("source.csv", "reviews.csv", "some")]
    assert "Rows that are in source.csv too" in said.out
    assert "1.25" in said.out
    assert "reviews.csv" in (place / "c.html").read_text(encoding="utf-8")


def test_distances_ask_for_an_encoder_where_none_is_installed(
    cli: Command, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = cli("check", table, "--against", table)
    assert said.code == 2
    assert "--model" in said.err


def test_columns_and_cleaning_come_from_a_recipe(cli: Command, table: Path, place: Path) -> None:
    write_csv(table, [("x", *row) for row in reviews()], ("title", "body", "stars"))
    recipe = write_recipe(
        place / "r.yaml",
        {"path": "reviews.csv", "text": "body", "label": "stars"},
        clean={"duplicates": False},
    )
    said = cli("check", "--recipe", recipe)
    assert said.code == 0, said.err
    assert "body (text), stars (label)" in said.out
    assert "duplicates" not in said.out


def test_check_needs_data(cli: Command) -> None:
    said = cli("check")
    assert said.code == 2
    assert "--recipe" in said.err


def test_check_refuses_bad_data(cli: Command, place: Path) -> None:
    (place / "bad.csv").write_text("text,label\n", encoding="utf-8")
    said = cli("check", "bad.csv", "--output", "card.html")
    assert said.code == 2
    assert not (place / "card.html").exists()


def test_samples_are_listed_and_written(cli: Command, samples: None, place: Path) -> None:
    listed = cli("samples")
    assert listed.code == 0
    for name in ("news", "products", "movies", "tweets"):
        assert name in listed.out
    assert cli("samples", "get", "news").out.strip() == "news.csv"
    with (place / "news.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 24
    assert cli("samples", "get", "news", "--output", "n.parquet").code == 0
    assert pq.read_table(place / "n.parquet").num_rows == 24
    assert cli("samples", "get", "news", "--output", "n.jsonl").code == 0
    line = (place / "n.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert set(json.loads(line)) == {"text", "label"}


def test_a_sample_is_checked_by_its_name(cli: Command, samples: None) -> None:
    said = cli("check", "news")
    assert said.code == 0, said.err
    assert "news" in said.out
    assert "24" in said.out
