"""What the page promises: traceable, self-contained, accessible, safe, and never half written."""

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from html_page import Element, number
from synthetic_study import TEN, study_info, study_rows, write_study
from traced import agrees, check

from transfuse.errors import DataError
from transfuse.report import write_report

SMALL = {"budgets": (50, 1000), "seeds": (0, 1)}


def rewrite(folder: Path, frame: pd.DataFrame, **changes: object) -> Path:
    """A study with these rows and other entries of study.json, and its report."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / "study.parquet", index=False)
    entries = [entry for entry in TEN if entry[0] in set(frame.recipe)]
    budgets = sorted({int(budget) for budget in frame.budget} - {0}) or [0]
    info = {**study_info(frame, entries, budgets=budgets), **changes}
    (folder / "study.json").write_text(json.dumps(info), encoding="utf-8")
    write_report(folder)
    return folder


def section(page: Element, name: str) -> Element | None:
    return next((part for part in page.all("section") if part.attributes.get("id") == name), None)


def test_every_number_is_a_row(ten: Path) -> None:
    page = check(ten)
    traced = [element for element in page.walk() if "data-row" in element.attributes]
    assert len(traced) > 2000


def test_the_check_sees_a_wrong_number() -> None:
    assert agrees("83.1", 0.8312, "percent")
    assert not agrees("83.2", 0.8312, "percent")
    assert not agrees("−1.2", 0.012, "points")
    assert not agrees("> 1,000", 1500.0, "beyond")
    assert number("22.7 M") == pytest.approx((22.7e6, 0.05e6))


def test_all_that_was_asked_for_is_there(page: Element) -> None:
    names = [part.attributes.get("id") for part in page.all("section")]
    assert names == ["results", "gain", "curve", "labels", "forgetting", "calibration",
                     "confusion", "cost", "method", "reproduce"]  # fmt: skip


def test_nothing_is_loaded_and_nothing_runs(page: Element) -> None:
    for element in page.walk():
        assert element.tag not in ("script", "link", "iframe", "img", "object", "base")
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action"):
                assert value.startswith("#")
    policy = [meta.attributes for meta in page.all("meta") if "http-equiv" in meta.attributes]
    assert "default-src 'none'" in policy[0]["content"]
    assert "script-src" not in policy[0]["content"]
    style = "".join(str(child) for child in page.first("style").children)
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_stays_light(ten: Path) -> None:
    assert (ten / "report.html").stat().st_size < 1_500_000


def test_accessible(page: Element) -> None:
    assert page.first("html").attributes["lang"] == "en"
    for table in page.all("table"):
        assert table.first("caption").text
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.all("th"))
    for svg in page.all("svg"):
        assert svg.attributes["role"] == "img"
        assert len(svg.attributes["aria-label"]) > 20
    ids = [element.attributes["id"] for element in page.walk() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    labelled = {label.attributes["for"] for label in page.all("label")}
    assert all(field.attributes["id"] in labelled for field in page.all("input"))
    links = [link.attributes["href"][1:] for link in page.all("a")]
    assert set(links) <= set(ids)
    heads = [int(e.tag[1]) for e in page.walk() if re.fullmatch("h[1-6]", e.tag)]
    assert heads[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(heads))


def test_clips_point_into_their_own_drawing(page: Element) -> None:
    for svg in page.all("svg"):
        own = {e.attributes["id"] for e in svg.walk() if "id" in e.attributes}
        used = {e.attributes["clip-path"] for e in svg.walk() if "clip-path" in e.attributes}
        assert used == {f"url(#{name})" for name in own}


def test_the_headline_says_what_which_and_where(page: Element) -> None:
    headline = next(e for e in page.all("div") if e.has("headline"))
    assert headline.has("gain")
    assert headline.all("p")[0].text == (
        "Full, joint with news gains +21.7 points of accuracy over From scratch, with 200 labels."
    )
    assert "95 % interval +19.0 to +24.4" in headline.text


def test_negative_transfer_is_named_in_red(tmp_path: Path) -> None:
    frame = study_rows(TEN[:3], **SMALL)
    lost = (frame.kind == "gain") & (frame.recipe == "source-only") & (frame.budget == 1000)
    row = int(frame[lost & (frame.baseline == "tfidf")].row.iloc[0])
    page = check(rewrite(tmp_path, frame, headline={"row": row}))
    headline = next(e for e in page.all("div") if e.has("headline"))
    assert headline.has("loss")
    assert headline.all("p")[0].text.startswith("Negative transfer: Source only is at −3.6 points")


def test_negative_transfer_is_listed_with_the_gains(page: Element) -> None:
    gains = section(page, "gain")
    assert gains is not None
    lead = gains.first("p").text
    # From scratch loses to TF-IDF too, but transfers nothing.
    assert lead == (
        "No recipe that transfers falls below From scratch. Negative transfer against "
        "TF-IDF + logistic regression: Source only with 1,000 labels (−3.6)."
    )


def test_an_undecided_gain_is_not_called_one(tmp_path: Path) -> None:
    frame = study_rows(TEN[:3], **SMALL)
    row = int(frame[frame.kind == "gain"].row.iloc[0])
    frame.loc[row, ["value", "low", "high"]] = (0.004, -0.01, 0.018)
    page = check(rewrite(tmp_path, frame, headline={"row": row}))
    headline = next(e for e in page.all("div") if e.has("headline"))
    assert headline.has("even")
    assert headline.all("p")[0].text.startswith("No sure gain")


def test_metrics_switch_without_script(page: Element) -> None:
    results = section(page, "results")
    assert results is not None
    titles = [label.text for label in results.all("label")]
    assert titles == ["Accuracy", "Macro precision", "Macro recall", "Macro F1", "Log loss"]
    panels = [e for e in results.all("div") if e.has("panel")]
    assert [panel.attributes["id"] for panel in panels] == [f"panel-{i}" for i in range(5)]
    chosen = [e for e in results.all("input") if "checked" in e.attributes]
    assert [e.attributes["id"] for e in chosen] == ["metric-0"]


def test_the_best_of_a_column_is_bold(page: Element) -> None:
    results = section(page, "results")
    assert results is not None
    for table in results.all("table"):
        best = [cell for cell in table.all("td") if cell.has("best")]
        assert len(best) == 3
    # Less log loss is better: the smallest number of its column.
    losses = results.all("table")[-1]
    column = [float(row.all("td")[0].first("data").attributes["value"])
              for row in losses.first("tbody").all("tr")]  # fmt: skip
    best = next(cell for cell in losses.all("td") if cell.has("best"))
    assert float(best.first("data").attributes["value"]) == min(column)


def test_significance_is_drawn(page: Element) -> None:
    """A filled dot is p < 0.05 after Holm, a hollow one is not."""
    figure = next(e for e in page.all("figure") if e.attributes["id"] == "figure-gain1")
    dots = [e for e in figure.all("circle") if "data-row" in e.attributes]
    assert {dot.has("f-paper") for dot in dots} == {True, False}
    for dot in dots:
        tip = "".join(str(child) for child in dot.first("title").children)
        p = re.search(r"p (?:= ([\d.]+)|< 0\.001) after Holm", tip)
        assert p
        assert dot.has("f-paper") == (float(p[1] or 0) >= 0.05)


def test_the_same_study_gives_the_same_page(tmp_path: Path) -> None:
    folder = write_study(tmp_path, TEN[:3], **SMALL)
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script>\x00\u202e"quoted" & |pipes|'
    entries = [(name, f"{title} {evil}", evil, *rest) for name, title, _, *rest in TEN[:3]]
    labels = ("<b>好</b>", "差 & 'bad'", "a→b", "")
    folder = write_study(tmp_path, entries, labels=labels, **SMALL)
    info = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    info.update(title=evil, description=evil, notes=[evil], environment={evil: evil})
    (folder / "study.json").write_text(json.dumps(info), encoding="utf-8")
    write_report(folder)
    page = check(folder)
    assert page.all("script") == []
    assert {e.parent.tag for e in page.all("b") if e.parent} <= {"span", "div"}  # the drawn ones
    assert not any(e.text for e in page.all("b") if e.text != "no difference")
    assert "\x00" not in (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" in page.first("h1").text
    confusion = section(page, "confusion")
    assert confusion is not None
    assert "a→b" in [head.text for head in confusion.all("th")]


def test_long_and_chinese_names_are_whole_in_the_tables(tmp_path: Path) -> None:
    long = "A recipe whose name goes on and on until no chart could ever hold it in one line"
    chinese = "源域与目标域联合训练的线性探针并冻结编码器的全部层"
    entries = [(TEN[0][0], long, *TEN[0][2:]), (TEN[1][0], chinese, *TEN[1][2:]), TEN[2]]
    folder = write_study(tmp_path, entries, **SMALL)
    write_report(folder)
    names = {e.text for e in check(folder).all("span") if e.has("title")}
    assert {long, chinese} <= names


@pytest.mark.parametrize(
    ("entries", "options"),
    [
        (TEN[1:2], SMALL),
        (TEN[:3], {"budgets": (100,)}),
        (TEN[:3], {"budgets": (50, 200), "seeds": (7,)}),
        (TEN[:2], {"budgets": (20, 50, 100, 200, 500, 1000)}),
    ],
    ids=["one recipe", "one budget", "one seed", "many budgets"],
)
def test_small_and_odd_studies(tmp_path: Path, entries: tuple, options: dict) -> None:
    folder = write_study(tmp_path, entries, **options)
    write_report(folder)
    page = check(folder)
    assert section(page, "results") is not None
    if "budgets" in options and len(options["budgets"]) == 1:
        assert section(page, "curve") is None


def test_a_study_on_all_rows_says_all_labels(tmp_path: Path) -> None:
    frame = study_rows(TEN[:3], budgets=(100,), reference="")
    frame["budget"] = 0
    folder = rewrite(tmp_path, frame, budgets=[], recipes=[])
    page = check(folder)
    results = section(page, "results")
    assert results is not None
    assert [head.text for head in results.first("thead").all("th")] == ["Recipe", "all labels"]


def test_many_classes_show_the_most_confused_pairs(tmp_path: Path) -> None:
    labels = tuple(f"intent {index}" for index in range(150))
    frame = study_rows(TEN[:2], budgets=(200,), labels=labels)
    folder = rewrite(tmp_path, frame, labels=list(labels))
    page = check(folder)
    confusion = section(page, "confusion")
    assert confusion is not None
    assert not [e for e in confusion.all("table") if e.has("matrix")]
    first = next(e for e in confusion.all("table") if e.has("pairs"))
    shown = [float(row.first("data").attributes["value"]) for row in first.all("tr")[1:]]
    assert len(shown) == 10
    assert shown == sorted(shown, reverse=True)
    recipe = re.search(r"pairs that (.+) confuses", first.first("caption").text)
    assert recipe
    name = next(entry[0] for entry in TEN if entry[1] == recipe[1])
    rows = frame[(frame.kind == "confusion") & (frame.recipe == name)]
    wrong = rows[[x.split("→")[0] != x.split("→")[1] for x in rows.x]]
    assert shown[0] == wrong.value.max()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("gain", "gain"),
        ("efficiency", "labels"),
        ("forgetting", "forgetting"),
        ("confusion", "confusion"),
        ("cost", "cost"),
    ],
)
def test_what_was_not_measured_is_not_there(tmp_path: Path, kind: str, name: str) -> None:
    frame = study_rows(TEN[:4], **SMALL)
    page = check(rewrite(tmp_path, frame[frame.kind != kind]))
    assert section(page, name) is None
    assert section(page, "results") is not None
    assert f"#{name}" not in [link.attributes["href"] for link in page.all("a")]


def test_only_scores(tmp_path: Path) -> None:
    frame = study_rows(TEN[:2], **SMALL)
    page = check(rewrite(tmp_path, frame[frame.kind == "score"], headline=None, reference=None))
    assert "No recipe was compared with a baseline" in page.text


def test_an_empty_study_is_a_page(tmp_path: Path) -> None:
    page = check(rewrite(tmp_path, study_rows(TEN[:1]).iloc[:0], headline={}))
    assert section(page, "method") is not None


def test_numbers_that_are_none(tmp_path: Path) -> None:
    frame = study_rows(TEN[:4], **SMALL)
    rng = np.random.default_rng(3)
    for column, nothing in (("value", math.nan), ("low", math.nan), ("high", math.inf),
                            ("value", math.inf), ("p_holm", math.nan)):  # fmt: skip
        hit = rng.random(len(frame)) < 0.1
        frame.loc[hit, column] = nothing
    page = check(rewrite(tmp_path, frame))
    assert "nan" not in page.text.lower().split()


def test_every_number_missing(tmp_path: Path) -> None:
    frame = study_rows(TEN[:3], **SMALL)
    frame[["value", "low", "high", "p", "p_holm"]] = math.nan
    page = check(rewrite(tmp_path, frame))
    assert page.all("data") == [] or all("data-row" in e.attributes for e in page.all("data"))


def test_less_is_better_for_an_error(tmp_path: Path) -> None:
    frame = study_rows(TEN[:4], **SMALL)
    frame = frame[(frame.metric != "accuracy") | (frame.kind == "gain")]
    frame.loc[frame.kind == "gain", "metric"] = "rmse"
    frame.loc[frame.metric == "log_loss", "metric"] = "rmse"
    page = check(rewrite(tmp_path, frame, primary_metric="rmse"))
    headline = next(e for e in page.all("div") if e.has("headline"))
    assert "is better by +0.061" in headline.text
    assert "of RMSE than" in headline.text
    results = section(page, "results")
    assert results is not None
    order = [float(row.all("td")[-1].first("data").attributes["value"])
             for row in results.first("tbody").all("tr")]  # fmt: skip
    assert order == sorted(order)


def test_a_missing_study_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"study\.json"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_is_left(ten: Path) -> None:
    assert sorted(path.name for path in ten.iterdir()) == [
        "report.html",
        "study.json",
        "study.parquet",
    ]
