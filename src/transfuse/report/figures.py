"""The charts of one line per recipe: gain, labels saved, forgetting, calibration error.

Each function takes the `Results` and gives a chart for a width, so that a page can hold a wide and
a narrow drawing of the same rows, or nothing where the study did not measure it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from transfuse.report.format import shown
from transfuse.report.layout import log_steps, within
from transfuse.report.panels import Axis, Dot, Line, Note, Panel, Span, panels
from transfuse.report.results import Results, Row
from transfuse.report.theme import Spec

__all__ = ["bound", "calibration", "efficiency", "forgetting", "gain", "labels", "tone"]

WIDE = 820
NARROW = 358
SIGNIFICANT = 0.05


def labels(budget: int) -> str:
    """A budget as the title of a panel. Budget 0 of a whole study means all training rows."""
    if budget == 0:
        return "all labels"
    return f"{budget:,} labels" if budget != 1 else "1 label"


def tone(row: Row, sign: int = 1) -> str:
    """The colour of a difference: a gain, a loss, or not told apart from nothing.

    Args:
        row: The difference with its interval.
        sign: 1 where a positive difference is good, -1 where it is bad. Default: 1.
    """
    low, high = sorted((sign * row.low, sign * row.high)) if row.bounded else (math.nan, math.nan)
    if low > 0:
        return "gain"
    if high < 0:
        return "loss"
    return "even"


def _said(results: Results, row: Row, style: str, what: str) -> str:
    """What hovering a mark shows."""
    text = f"{results.title_of(row.recipe)}, {labels(row.budget)}: {what} {shown(row.value, style)}"
    if row.bounded:
        text += f" ({shown(row.low, style)} to {shown(row.high, style)})"
    if not math.isnan(row.p_holm):
        p = shown(row.p_holm, "p")
        text += f", p {p if p.startswith('<') else '= ' + p} after Holm"
    return text


def _span_axis(rows: Iterable[Row], scale: float, title: str) -> Axis:
    ends = [end for row in rows for end in (row.low, row.value, row.high) if math.isfinite(end)]
    low, high, ticks = within(scale * min(0.0, *ends), scale * max(0.0, *ends), 4)
    return Axis(low, high, title, ticks, zero=0.0)


def _differences(
    results: Results,
    rows: dict[tuple[str, int], Row],
    what: str,
    sign: int,
    sure: Callable[[Row], bool],
    width: int,
) -> Spec | None:
    """Dots with intervals around the line of no difference."""
    if not any(row.measured for row in rows.values()):
        return None
    measure = results.primary
    scale, style = measure.scale, measure.gain_style
    kept = [recipe for recipe in results.recipes if any(key[0] == recipe.name for key in rows)]
    headline = results.headline
    parts = []
    for budget in results.budgets:
        lines = []
        for recipe in kept:
            row = rows.get((recipe.name, budget))
            strong = headline is not None and recipe.name == headline.recipe
            if row is None or not row.measured:
                lines.append(Line(recipe.title, strong=strong))
                continue
            colour, said = tone(row, sign), _said(results, row, style, what)
            spans = (Span(scale * row.low, scale * row.high, colour, row.row, said),)
            dot = Dot(scale * row.value, colour, row.row, said, hollow=not sure(row))
            note = Note(shown(row.value, style), colour, row.row, "value", style, sure(row))
            lines.append(Line(recipe.title, (dot,), spans if row.bounded else (), note, strong))
        parts.append(Panel(labels(budget), tuple(lines)))
    unit = measure.gain_unit or measure.phrase
    axis = _span_axis(rows.values(), scale, f"{what}, {unit}")
    return panels(parts, axis, width, _across(len(parts), width))


def _across(count: int, width: int) -> int:
    return 1 if width < 500 else min(count, 3)


def gain(results: Results, baseline: str, width: int = WIDE) -> Spec | None:
    """The gain of every recipe over one baseline, a panel for each budget.

    A filled dot is significant after Holm's correction; the colour is the sign of the interval.

    Args:
        results: The study.
        baseline: The recipe compared with.
        width: In pixels. Default: 820.
    """
    rows = {
        (recipe.name, budget): row
        for recipe in results.recipes
        for budget in results.budgets
        if (row := results.find("gain", recipe.name, budget, results.primary.name,
                                baseline=baseline))
    }  # fmt: skip

    def sure(row: Row) -> bool:
        return row.p_holm < SIGNIFICANT

    return _differences(results, rows, "gain", 1, sure, width)


def forgetting(results: Results, width: int = WIDE) -> Spec | None:
    """What each recipe lost on the source's test rows against the reference."""
    rows = {(row.recipe, row.budget): row for row in results.of("forgetting")}
    for recipe, budget in list(rows):
        if budget == 0:
            row = rows.pop((recipe, 0))
            rows.update({(recipe, other): row for other in results.budgets})

    def sure(row: Row) -> bool:
        return tone(row) != "even"

    return _differences(results, rows, "lost on the source", -1, sure, width)


def efficiency(results: Results, baseline: str, width: int = WIDE) -> Spec | None:
    """Labels used against the labels that a baseline needs for the same score, on a log axis."""
    metric = "labels_needed"
    found = {
        (recipe.name, budget): row
        for recipe in results.recipes
        for budget in results.budgets
        if (row := results.find("efficiency", recipe.name, budget, metric, baseline=baseline))
        and row.value > 0
    }
    if not found:
        return None
    # Where the baseline never gets there, whatever the recipe, a panel of arrows would say little.
    budgets = [
        b for b in results.budgets if b > 0 and any(k[1] == b and found[k].measured for k in found)
    ]
    if not budgets:
        return None
    finite = [row.value for row in found.values() if row.measured]
    low, high = min([*finite, *budgets]) * 0.8, max([*finite, *results.budgets]) * 1.6
    kept = [recipe for recipe in results.recipes if any(key[0] == recipe.name for key in found)]
    parts = []
    for budget in budgets:
        lines = []
        for recipe in kept:
            row = found.get((recipe.name, budget))
            strong = results.headline is not None and recipe.name == results.headline.recipe
            lines.append(
                Line(recipe.title, strong=strong)
                if row is None
                else _saved(results, recipe.title, row, budget, high)
            )
        parts.append(Panel(f"with {labels(budget)}", tuple(lines)))
    ticks = log_steps(low, high)
    axis = Axis(low, high, "labels (log)", ticks, log=True, format="~s")
    return panels(parts, axis, width, _across(len(parts), width))


def bound(row: Row, budgets: Sequence[int]) -> tuple[str, str]:
    """A number of labels as text, and the style that says which way it is a bound.

    Nothing is extrapolated: a baseline that is there with the fewest labels tried needs at most
    those, one that never gets there needs more than the most.
    """
    if not row.measured:
        return f"> {budgets[-1]:,}", "beyond"
    if row.value <= budgets[0]:
        return f"≤ {shown(row.value, 'count')}", "within"
    return shown(row.value, "count"), "count"


def _saved(results: Results, title: str, row: Row, budget: int, edge: float) -> Line:
    end = row.value if row.measured else edge / 1.12
    colour = "gain" if end > budget else "loss" if end < budget else "even"
    most = results.budgets[-1]
    text, style = bound(row, results.budgets)
    needs = f"{text} labels" if row.measured else f"more than {most:,} labels"
    said = f"{title}, {labels(budget)}: {results.title_of(row.baseline)} needs {needs}"
    dots = (
        Dot(budget, "even", row.row, said, hollow=True),
        Dot(end, colour, row.row, said, arrow=not row.measured),
    )
    note = Note(text, colour, row.row, "value", style)
    strong = results.headline is not None and row.recipe == results.headline.recipe
    return Line(title, dots, (Span(budget, end, colour, row.row, said),), note, strong)


def calibration(results: Results, width: int = WIDE) -> Spec | None:
    """The expected calibration error before and after temperature scaling."""
    pairs = {
        (recipe.name, budget): (row, results.score(recipe.name, budget, "ece_scaled"))
        for recipe in results.recipes
        for budget in results.budgets
        if (row := results.score(recipe.name, budget, "ece")) and row.measured
    }
    if not pairs:
        return None
    values = [row.value for pair in pairs.values() for row in pair if row and row.measured]
    low, high, ticks = within(0, 100 * max(values), 4)
    axis = Axis(low, high, "calibration error, %", ticks, zero=0.0)
    kept = [recipe for recipe in results.recipes if any(key[0] == recipe.name for key in pairs)]
    parts = []
    for budget in results.budgets:
        lines = []
        for recipe in kept:
            pair = pairs.get((recipe.name, budget))
            strong = results.headline is not None and recipe.name == results.headline.recipe
            empty = Line(recipe.title, strong=strong)
            lines.append(empty if pair is None else _scaled(empty, *pair))
        parts.append(Panel(labels(budget), tuple(lines)))
    return panels(parts, axis, width, _across(len(parts), width))


def _scaled(line: Line, before: Row, after: Row | None) -> Line:
    said = f"{line.label}: {shown(before.value, 'percent')} % before temperature scaling"
    dot = Dot(100 * before.value, "even", before.row, said, hollow=True)
    if after is None or not after.measured:
        return replace(line, dots=(dot,))
    text = shown(after.value, "percent")
    said += f", {text} % after"
    return replace(
        line,
        dots=(dot, Dot(100 * after.value, "blue", after.row, said)),
        spans=(Span(100 * before.value, 100 * after.value, "even", after.row, said),),
        note=Note(text, "blue", after.row, "value", "percent"),
    )
