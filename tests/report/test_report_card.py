"""Data cards: every number is where its pointer says, whatever the card holds."""

import json
from pathlib import Path
from typing import Any

import pytest
from html_page import Element, parse
from synthetic_study import TEN, study_info, study_rows
from traced import agrees, check, in_json

from transfuse.data import Cleaning, Table, clean, make_card
from transfuse.data.card import Distance, OverlapNote
from transfuse.report import write_card, write_report


def card() -> dict[str, Any]:
    texts = [f"sentence {i} of a <b>review</b> 好 " + "very " * (i % 17) for i in range(60)]
    labels = ["good" if i % 3 else "ba/d~" for i in range(60)]
    table = Table.from_dict(
        {"text": [*texts, *texts[:4], "  loose  "], "label": [*labels, *labels[:4], "good"]},
        name="reviews",
    )
    cleaned, report = clean(table, Cleaning())
    return make_card(
        cleaned,
        report,
        overlaps=[OverlapNote("news", 3, 1, ("A <i>shared</i> text",))],
        distances=[Distance("proxy A-distance", "news", 1.42, "2 is the most")],
        notes=["column “text” was taken for the text"],
    ).to_json()


def traced(path: Path, document: dict[str, Any]) -> Element:
    page = parse(path.read_text(encoding="utf-8"))
    for element in page.all("data"):
        stored = in_json(document, element.attributes["data-json"])
        assert agrees(element.text, stored, element.attributes["data-style"])
    return page


def test_a_card_is_a_page(tmp_path: Path) -> None:
    document = json.loads(json.dumps(card()))
    path = write_card(document, tmp_path / "card.html")
    page = traced(path, document)
    heads = [head.text for head in page.all("h4")]
    assert heads == ["Labels", "Words of a text", "Cleaning", "Overlap", "Distance", "Notes"]
    text = page.text
    for expected in ("ba/d~", "Duplicates left out", "A <i>shared</i> text", "proxy A-distance"):
        assert expected in text
    assert page.all("i") == []
    assert page.all("script") == []


def test_bars_are_as_long_as_their_counts(tmp_path: Path) -> None:
    page = parse(write_card(card(), tmp_path / "card.html").read_text(encoding="utf-8"))
    lengths = [e.attributes["style"] for e in page.all("span") if e.has("fill")]
    assert lengths == ["--length:100.0%", "--length:48.8%"]


def test_a_histogram_says_its_bins(tmp_path: Path) -> None:
    document = card()
    page = parse(write_card(document, tmp_path / "card.html").read_text(encoding="utf-8"))
    tips = ["".join(map(str, e.first("title").children)) for e in page.all("rect")]
    assert len(tips) == len(document["words"]["counts"])
    assert sum(int(tip.rsplit(": ", 1)[1]) for tip in tips) == document["rows"]


def test_cards_of_a_study_point_into_its_json(tmp_path: Path) -> None:
    frame = study_rows(TEN[:2], budgets=(50,), seeds=(0,))
    frame.to_parquet(tmp_path / "study.parquet")
    info = study_info(frame, TEN[:2], budgets=(50,))
    info["data"] = {"target": card(), "source": card()}
    (tmp_path / "study.json").write_text(json.dumps(info), encoding="utf-8")
    write_report(tmp_path)
    page = check(tmp_path)
    pointers = [e.attributes["data-json"] for e in page.walk() if "data-json" in e.attributes]
    assert any(pointer.startswith("/data/source/overlaps/0/") for pointer in pointers)
    assert "#data" in [link.attributes["href"] for link in page.all("a")]


@pytest.mark.parametrize("document", [{}, {"name": "x", "rows": 0}, {"labels": {}, "words": None},
                                      {"words": {"counts": [], "edges": []}},
                                      {"overlaps": [{}], "distances": [{"value": None}]},
                                      {"cleaning": {"counts": {"new_step": 4}}}])  # fmt: skip
def test_a_card_may_hold_little(tmp_path: Path, document: dict[str, Any]) -> None:
    page = traced(write_card(document, tmp_path / "card.html"), document)
    assert page.first("h1").text in ("Data", "x")


def test_many_labels_are_cut_and_counted(tmp_path: Path) -> None:
    document = {"name": "x", "labels": {f"label {i}": 200 - i for i in range(150)}}
    page = traced(write_card(document, tmp_path / "card.html"), document)
    assert len([e for e in page.all("span") if e.has("fill")]) == 20
    assert "and 130 more labels" in page.text
