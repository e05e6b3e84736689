"""The tables of a report: every number in them is one row of the study, marked with it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from transfuse.report.figures import SIGNIFICANT, bound, labels, tone
from transfuse.report.format import Measure, between, tagged
from transfuse.report.results import Recipe, Results, Row

__all__ = [
    "Cell",
    "Line",
    "Table",
    "calibrated",
    "costs",
    "forgot",
    "gains",
    "heads",
    "needed",
    "saved",
    "scores",
]


@dataclass(frozen=True)
class Cell:
    """What one cell holds.

    Args:
        content: Its content, marked up.
        tone: A class of the style sheet. Default: none.
        style: CSS variables for a small drawing. Default: none.
    """

    content: Markup
    tone: str = ""
    style: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a table: what it is about, and its cells."""

    title: str
    cells: tuple[Cell, ...]
    note: str = ""
    badge: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its caption, the heads of its columns and its lines.

    Args:
        caption: What it shows.
        corner: The head of the first column.
        heads: The heads of the others.
        lines: The lines.
        kind: A class of the style sheet. Default: none.
        name: Unique in the page where the table is switched to; default: none.
    """

    caption: Markup
    corner: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    kind: str = ""
    name: str = ""
    title: str = ""


def heads(budgets: Iterable[int]) -> tuple[str, ...]:
    """Budgets as the heads of columns."""
    return tuple(labels(budget) for budget in budgets)


def _line(results: Results, recipe: Recipe, cells: Iterable[Cell]) -> Line:
    headline = results.headline
    return Line(
        title=recipe.title,
        cells=tuple(cells),
        note=f"failed: {why}" if (why := results.why_failed(recipe.name)) else recipe.description,
        badge="baseline" if recipe.baseline else "",
        strong=headline is not None and headline.recipe == recipe.name,
    )


def _bounded(row: Row | None, style: str) -> Markup:
    """A number and its interval."""
    return Markup("{} {}").format(tagged(row, style), between(row, style))


def _by_budget(
    results: Results,
    find: Callable[[Recipe, int], Row | None],
    write: Callable[[Row | None], Cell],
    caption: Markup,
    budgets: Sequence[int] = (),
) -> Table | None:
    """Recipes by budgets; recipes without a single row are left out."""
    budgets = budgets or results.budgets
    lines = []
    for recipe in results.recipes:
        rows = [find(recipe, budget) for budget in budgets]
        if any(rows):
            lines.append(_line(results, recipe, [write(row) for row in rows]))
    if not lines:
        return None
    return Table(caption, "Recipe", heads(budgets), tuple(lines))


def scores(results: Results, measure: Measure) -> Table | None:
    """One metric on the target's test rows: recipes by budgets with intervals, the best in bold."""
    rows = {
        (recipe.name, budget): row
        for recipe in results.recipes
        for budget in results.budgets
        if (row := results.score(recipe.name, budget, measure.name)) and row.measured
    }
    best = {
        budget: max(measure.sign * row.value for key, row in rows.items() if key[1] == budget)
        for budget in {key[1] for key in rows}
    }
    ends = [end for row in rows.values() for end in (row.low, row.value, row.high)]
    ends = [end for end in ends if math.isfinite(end)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)

    def share(value: float) -> str:
        return f"{100 * (value - low) / (high - low or 1.0):.1f}%"

    lines = []
    for recipe in results.recipes:
        cells = []
        for budget in results.budgets:
            row = rows.get((recipe.name, budget))
            if row is None:
                why = results.why_failed(recipe.name, budget)
                failed = Cell(Markup("failed"), "loss")
                cells.append(failed if why else Cell(tagged(None, measure.style)))
                continue
            content = _bounded(row, measure.style)
            tone_of = "best" if measure.sign * row.value == best[budget] else ""
            style = f"--at:{share(row.value)}"
            if row.bounded:
                style += f";--from:{share(row.low)};--to:{share(row.high)}"
            cells.append(Cell(content, tone_of, style))
        lines.append(_line(results, recipe, cells))
    if not rows:
        return None
    unit = f", {measure.unit}" if measure.unit else ""
    caption = Markup("{}{} {}, mean over seeds, with its interval. {}").format(
        measure.title, unit, results.where, measure.note
    )
    return Table(
        caption, "Recipe", heads(results.budgets), tuple(lines), "scores", measure.name,
        measure.title,
    )  # fmt: skip


def gains(results: Results, baseline: str) -> Table | None:
    """The gain over one baseline with its interval and its p-value after Holm's correction."""
    style = results.primary.gain_style

    def write(row: Row | None) -> Cell:
        content = _bounded(row, style)
        if row is not None and not math.isnan(row.p_holm):
            content += Markup(' <span class="p">p {}</span>').format(tagged(row, "p", "p_holm"))
        sure = row is not None and row.p_holm < SIGNIFICANT
        colour = tone(row) if row is not None else ""
        return Cell(content, f"{colour} sure" if sure else colour)

    def find(recipe: Recipe, budget: int) -> Row | None:
        return results.find("gain", recipe.name, budget, results.primary.name, baseline=baseline)

    unit = f", {results.primary.gain_unit}" if results.primary.gain_unit else ""
    caption = Markup("Gain in {} over {}{}, with its interval and p after Holm’s correction.")
    title = results.title_of(baseline)
    return _by_budget(results, find, write, caption.format(results.primary.phrase, title, unit))


def needed(row: Row, budgets: Sequence[int]) -> Markup:
    """A number of labels, also where it is only known to lie beyond those tried."""
    text, style = bound(row, budgets)
    return Markup(
        '<data value="{}" data-row="{}" data-field="value" data-style="{}">{}</data>'
    ).format(f"{row.value:.17g}", row.row, style, text)


def saved(results: Results, baseline: str) -> Table | None:
    """The labels that a baseline needs for the same score, and how many times as many that is."""

    def find(recipe: Recipe, budget: int) -> Row | None:
        return results.find("efficiency", recipe.name, budget, "labels_needed", baseline=baseline)

    def write(row: Row | None) -> Cell:
        if row is None or math.isnan(row.value):
            return Cell(tagged(None, "count"))
        content = needed(row, results.budgets)
        ratio = results.find("efficiency", row.recipe, row.budget, "label_ratio", baseline=baseline)
        if ratio is not None and ratio.measured:
            content += Markup(' <span class="p">{}×</span>').format(tagged(ratio, "number"))
        return Cell(content)

    caption = Markup("Labels that {} needs for the score of each recipe at each budget.")
    return _by_budget(results, find, write, caption.format(results.title_of(baseline)))


def forgot(results: Results) -> Table | None:
    """Score on the source's test rows after the transfer, and what was lost of it."""
    style = results.primary.gain_style
    rows = {(row.recipe, row.budget): row for row in results.of("forgetting")}

    def find(recipe: Recipe, budget: int) -> Row | None:
        return rows.get((recipe.name, budget)) or rows.get((recipe.name, 0))

    def write(row: Row | None) -> Cell:
        content = _bounded(row, style)
        if row is not None:
            name = results.primary.name
            kept = results.find("score", row.recipe, row.budget, name, split="source")
            if kept is not None and kept.measured:
                score = tagged(kept, results.primary.style)
                content += Markup(' <span class="p">scores {}</span>').format(score)
        colour = tone(row, -1) if row is not None else ""
        return Cell(content, colour)

    reference = next((row.baseline for row in rows.values()), "")
    caption = Markup(
        "Lost on the source’s test rows against {}, with its interval; then the score."
    )
    return _by_budget(results, find, write, caption.format(results.title_of(reference)))


def calibrated(results: Results) -> Table | None:
    """Calibration error before and after temperature scaling, and the temperature."""

    def find(recipe: Recipe, budget: int) -> Row | None:
        return results.score(recipe.name, budget, "ece")

    def write(row: Row | None) -> Cell:
        content = tagged(row, "percent")
        if row is not None:
            after = results.score(row.recipe, row.budget, "ece_scaled")
            content += Markup(" → {}").format(tagged(after, "percent"))
            heat = results.cost(row.recipe, row.budget, "temperature")
            if heat is not None and heat.measured:
                content += Markup(' <span class="p">T {}</span>').format(tagged(heat, "number"))
        return Cell(content)

    caption = Markup(
        "Expected calibration error in %, before → after temperature scaling, and the temperature."
    )
    return _by_budget(results, find, write, caption)


_COSTS = (
    ("trained_parameters", "Trained parameters", "si"),
    ("total_parameters", "All parameters", "si"),
    ("seconds", "Training,\N{NO-BREAK SPACE}s", "number"),
    ("peak_memory_mb", "Peak memory,\N{NO-BREAK SPACE}MB", "count"),
    ("latency_ms", "One text,\N{NO-BREAK SPACE}ms", "number"),
    ("row_ms", "One of many,\N{NO-BREAK SPACE}ms", "number"),
    ("answering_memory_mb", "Memory to answer,\N{NO-BREAK SPACE}MB", "count"),
    ("size_mb", "On disk,\N{NO-BREAK SPACE}MB", "number"),
)


def costs(results: Results, budget: int) -> Table | None:
    """What each recipe cost at one budget."""
    kept = [
        entry
        for entry in _COSTS
        if any(results.cost(recipe.name, budget, entry[0]) for recipe in results.recipes)
    ]
    lines = []
    for recipe in results.recipes:
        rows = [(results.cost(recipe.name, budget, metric), style) for metric, _, style in kept]
        if any(row for row, _ in rows):
            cells = [Cell(tagged(row, style)) for row, style in rows]
            lines.append(_line(results, recipe, cells))
    if not lines:
        return None
    caption = Markup("Cost with {}, mean over seeds.").format(heads([budget])[0])
    return Table(caption, "Recipe", tuple(title for _, title, _ in kept), tuple(lines), "costs")
