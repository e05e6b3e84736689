"""Colours that everybody can tell apart and read, in light, in dark and on paper."""

import itertools

import altair as alt
import pytest
from html_page import parse

from transfuse.report.curves import coloured, learning, multiples
from transfuse.report.figures import calibration, efficiency, forgetting, gain
from transfuse.report.results import Results
from transfuse.report.scatter import pareto, reliability
from transfuse.report.theme import DARK, LIGHT, draw, marks, styled, tag

TEXT = ("ink", "muted", "blue", "orange", "green", "purple", "gain", "loss", "even")

# Machado, Oliveira and Fernandes (2009): how the three commonest kinds of colour blindness see
# linear RGB, severity 1.
BLIND = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
               (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
               (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
               (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def contrast(a: str, b: str) -> float:
    """The contrast ratio of WCAG 2."""
    light = sorted(
        sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))
        for colour in (a, b)
    )
    return (light[1] + 0.05) / (light[0] + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", TEXT)
def test_text_has_aa_contrast(theme: dict[str, str], name: str) -> None:
    assert contrast(theme[name], theme["paper"]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_marks_and_lines_are_seen(theme: dict[str, str]) -> None:
    assert contrast(theme["rule"], theme["paper"]) >= 3
    assert contrast(theme["grey"], theme["paper"]) >= 2


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", BLIND)
def test_a_gain_and_a_loss_differ_for_colour_blind_eyes(theme: dict[str, str], eyes: str) -> None:
    seen = []
    for name in ("gain", "loss"):
        parts = linear(theme[name])
        seen.append([sum(w * p for w, p in zip(row, parts, strict=True)) for row in BLIND[eyes]])
    assert sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5 > 0.15


def test_themes_name_the_same_colours() -> None:
    assert set(LIGHT) == set(DARK)
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_the_page_knows_every_colour_of_a_drawing(ten) -> None:
    html = (ten / "report.html").read_text(encoding="utf-8")
    page = parse(html)
    for svg in page.all("svg"):
        for element in svg.walk():
            for name in ("fill", "stroke"):
                assert element.attributes.get(name, "none") in ("none", "transparent")
            for name in element.attributes.get("class", "").split():
                assert f".{name} {{" in html
    for name in LIGHT:
        assert html.count(f"--{name}:{DARK[name]};") == 3
        assert html.count(f"--{name}:{LIGHT[name]};") == 1


def test_every_chart_is_valid_vega_lite(ten) -> None:
    results = Results.read(ten)
    charts = [
        gain(results, "scratch"),
        efficiency(results, "tfidf"),
        forgetting(results),
        calibration(results),
        learning(results),
        learning(results, 358),
        pareto(results, 200),
        multiples(results)[0][1],
        reliability(results, 200)[0][1],
    ]
    for chart in charts:
        assert chart is not None
        alt.Chart.from_dict(styled(chart), validate=True)


def test_a_mark_carries_its_row_and_its_words() -> None:
    rows = [{"x": 1, "text": "1.0", "tag": tag(12, "a | b <c>", "low", "percent")}]
    chart = marks("text", rows, {"x": {"field": "x", "type": "quantitative"},
                                 "text": {"field": "text"}})  # fmt: skip
    svg = parse(draw(chart, "one", "says one")).first("svg")
    mark = next(e for e in svg.walk() if "data-row" in e.attributes)
    assert (mark.tag, mark.attributes["data-row"]) == ("text", "12")
    assert (mark.attributes["data-field"], mark.attributes["data-style"]) == ("low", "percent")
    assert "".join(str(c) for c in mark.first("title").children) == "a | b <c>"
    assert mark.text == "1.0"


def test_few_recipes_are_coloured_and_the_headline_is_blue(ten) -> None:
    results = Results.read(ten)
    colours = coloured(results)
    assert colours == {"full-joint": "blue", "scratch": "orange", "tfidf": "green",
                       "lp-ft": "purple"}  # fmt: skip


def test_direct_labels_do_not_overlap(ten) -> None:
    svg = parse(draw(learning(Results.read(ten)) or {}, "curve", "alt")).first("svg")
    tops = sorted(
        float(e.attributes["transform"].rstrip(")").split(",")[1])
        for e in svg.all("text")
        if e.attributes.get("data-field") == "value"
    )
    assert len(tops) == 10
    assert all(b - a >= 13 for a, b in itertools.pairwise(tops))
