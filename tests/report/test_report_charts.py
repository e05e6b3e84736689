"""The few decisions that charts make about numbers: sign, front, bounds, ticks."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.report.confusion import matrix
from transfuse.report.figures import bound, efficiency, gain, tone
from transfuse.report.results import Results, Row
from transfuse.report.scatter import front


def gain_row(value: float, low: float, high: float) -> Row:
    return Row(0, "gain", "r", 50, None, "", "accuracy", "b", "", value, low, high, 0.01, 0.02)


@pytest.mark.parametrize(
    ("row", "colour"),
    [
        (gain_row(0.05, 0.01, 0.09), "gain"),
        (gain_row(-0.05, -0.09, -0.01), "loss"),
        (gain_row(0.05, -0.01, 0.11), "even"),
        (gain_row(0.05, 0.0, 0.11), "even"),
        (gain_row(0.05, math.nan, math.nan), "even"),
    ],
)
def test_the_colour_is_the_sign_of_the_interval(row: Row, colour: str) -> None:
    assert tone(row) == colour
    assert tone(row, -1) == {"gain": "loss", "loss": "gain", "even": "even"}[colour]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=20))
def test_nothing_beats_the_front_and_the_front_beats_the_rest(
    points: list[tuple[int, int]],
) -> None:
    kept = front([(float(x), float(y)) for x, y in points])

    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a != b and a[0] <= b[0] and a[1] >= b[1]

    for index in kept:
        assert not any(beats(point, points[index]) for point in points)
    for index in set(range(len(points))) - set(kept):
        assert any(beats(points[k], points[index]) or points[k] == points[index] for k in kept)
    costs = [points[index][0] for index in kept]
    assert costs == sorted(set(costs))


@pytest.mark.parametrize(
    ("value", "text", "style"),
    [(50.0, "≤ 50", "within"), (654.2, "654", "count"), (math.inf, "> 1,000", "beyond")],
)
def test_labels_beyond_those_tried_are_bounds(value: float, text: str, style: str) -> None:
    assert bound(gain_row(value, math.nan, math.nan), (50, 200, 1000)) == (text, style)


def test_panels_share_their_axis_and_their_lines(ten: Path) -> None:
    chart = gain(Results.read(ten), "scratch")
    assert chart is not None
    panels = [panel for row in chart["vconcat"] for panel in row["hconcat"]]
    assert [panel["title"] for panel in panels] == ["50 labels", "200 labels", "1,000 labels"]
    axes = {str(panel["layer"][0]["encoding"]["x"]["scale"]) for panel in panels}
    assert len(axes) == 1
    assert {panel["height"] for panel in panels} == {panels[0]["height"]}


def test_panels_stand_below_each_other_on_a_phone(ten: Path) -> None:
    chart = gain(Results.read(ten), "scratch", 358)
    assert chart is not None
    assert [len(row["hconcat"]) for row in chart["vconcat"]] == [1, 1, 1]


def test_a_panel_in_which_nobody_is_caught_up_with_is_left_out(ten: Path) -> None:
    results = Results.read(ten)
    chart = efficiency(results, "scratch")
    assert chart is not None
    titles = [panel["title"] for row in chart["vconcat"] for panel in row["hconcat"]]
    assert titles == ["with 50 labels", "with 200 labels"]


def test_the_tint_of_a_matrix_is_the_share_of_the_true_label(ten: Path) -> None:
    results = Results.read(ten)
    found = matrix(results, results.recipes[0], 200)
    assert found is not None
    for line in found.lines:
        shares = [float(cell.style.removeprefix("--heat:")) for cell in line.cells]
        assert sum(shares) == pytest.approx(1, abs=2e-3)
