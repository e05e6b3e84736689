"""Numbers read as they are stored, at the digits that are shown."""

import math

import pytest
from html_page import number, parse
from hypothesis import given
from hypothesis import strategies as st

from transfuse.report.format import between, measure_of, plain, shown, tagged
from transfuse.report.results import Row

FINITE = st.floats(-1e12, 1e12, allow_nan=False)


def row(value: float, low: float = math.nan, high: float = math.nan) -> Row:
    return Row(7, "score", "r", 50, None, "target", "accuracy", "", "", value, low, high,
               math.nan, math.nan)  # fmt: skip


@given(FINITE, st.sampled_from(["number", "signed", "si", "count"]))
def test_what_is_shown_is_the_value_rounded(value: float, style: str) -> None:
    read, half = number(shown(value, style))
    assert abs(read - value) <= half * (1 + 1e-9)


@given(st.floats(-2, 2), st.sampled_from(["percent", "points"]))
def test_shares_are_shown_in_percent(value: float, style: str) -> None:
    read, half = number(shown(value, style))
    assert abs(read - 100 * value) <= half * (1 + 1e-9)


@given(FINITE)
def test_three_digits_tell_a_number(value: float) -> None:
    read, _ = number(shown(value, "number"))
    assert abs(read - value) <= 0.005 * abs(value) + (0.5 if abs(value) >= 100 else 5e-4)


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.8312, "percent", "83.1"),
        (0.217, "points", "+21.7"),
        (-0.0123, "points", "−1.2"),
        (-0.0001, "points", "0.0"),
        (0.0, "signed", "0.000"),
        (22_713_986, "si", "22.7 M"),
        (999_950, "si", "1.00 M"),
        (770, "si", "770"),
        (1234.0, "count", "1,234"),
        (63.667, "count", "63.7"),
        (0.0004, "p", "< 0.001"),
        (0.0312, "p", "0.031"),
        (math.nan, "percent", "–"),
        (math.inf, "count", "∞"),
        (-math.inf, "number", "−∞"),
        (3.2e-7, "number", "3.20e−07"),
    ],
)
def test_styles(value: float, style: str, text: str) -> None:
    assert shown(value, style) == text


def test_a_number_carries_its_row() -> None:
    data = parse(str(tagged(row(0.8312), "percent"))).first("data")
    assert data.text == "83.1"
    assert data.attributes == {
        "value": "0.83120000000000005",
        "data-row": "7",
        "data-field": "value",
        "data-style": "percent",
    }


def test_what_was_not_measured_is_a_dash_without_a_row() -> None:
    for nothing in (None, row(math.nan)):
        assert "data-row" not in tagged(nothing, "percent")
        assert parse(str(tagged(nothing, "percent"))).text == "–"


def test_an_interval_has_both_ends_or_none() -> None:
    assert parse(str(between(row(0.5, 0.41, 0.62), "percent"))).text == "41.0–62.0"
    assert parse(str(between(row(0.5, -0.41, -0.02), "points"))).text == "−41.0 to −2.0"
    assert between(row(0.5, 0.4), "percent") == ""
    assert between(None, "percent") == ""


def test_unknown_metrics_have_a_name_and_a_direction() -> None:
    measure = measure_of("span_f1")
    assert (measure.title, measure.sign, measure.share) == ("Span f1", 1, False)
    assert measure_of("rmse").sign == -1
    assert measure_of("").title == "Score"


def test_names_inside_a_sentence_start_small_unless_they_are_letters() -> None:
    assert measure_of("accuracy").phrase == "accuracy"
    assert measure_of("rmse").phrase == "RMSE"
    assert measure_of("r2").phrase == "R²"


@given(st.text())
def test_plain_text_can_be_written_as_xml(text: str) -> None:
    cleaned = plain(text)
    cleaned.encode("utf-8")
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in cleaned)
    assert plain(cleaned) == cleaned
