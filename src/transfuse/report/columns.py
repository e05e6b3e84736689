"""The section of a report on networks of several columns: what each column brings."""

from collections.abc import Mapping, Sequence
from functools import partial

from markupsafe import Markup

from transfuse.report.figures import SIGNIFICANT, labels, tone
from transfuse.report.format import between, shown, tagged
from transfuse.report.layout import within
from transfuse.report.panels import Axis, Dot, Line, Note, Panel, Span, panels
from transfuse.report.parts import Drawing, Fold, Section, drawn, key
from transfuse.report.results import Recipe, Results, Row
from transfuse.report.tables import Cell, Table
from transfuse.report.tables import Line as TableLine
from transfuse.report.theme import Spec

__all__ = ["columns_section"]

_NAMES = {"text": "text", "image": "picture", "audio": "sound", "fields": "fields"}

_MOST_ACROSS = 3


def columns_section(results: Results) -> Section:
    """What each column brings at the focus budget; empty where no network reads several."""
    groups: dict[tuple[str, ...], list[Recipe]] = {}
    for recipe in results.recipes:
        columns = _columns(results, recipe.name)
        if columns:
            groups.setdefault(columns, []).append(recipe)
    drawings: tuple[Drawing, ...] = ()
    folds: list[Fold] = []
    for place, (columns, recipes) in enumerate(groups.items()):
        *first, last = (_NAMES.get(name, name) for name in columns)
        told = f"{', '.join(first)} and {last}"
        legend = key(
            ("dot gain filled", "brings something, sure after Holm"),
            ("dot loss filled", "does harm"),
            ("dot even", "interval holds zero"),
        )
        drawings += drawn(
            f"brings{place}",
            partial(_brings, results, columns, recipes),
            f"What each of {told} brings: the score less that without it, with its interval.",
            Markup("<strong>What each column brings.</strong> {}").format(legend),
        )
        drawings += drawn(
            f"left{place}",
            partial(_left, results, columns, recipes),
            f"The score of networks of {told} with some of them taken away, with its interval.",
            Markup(
                "<strong>The score that is left</strong> of the same network when columns are "
                "taken away at the test."
            ),
        )
        table = _table(results, columns, recipes)
        folds.append(Fold(f"The numbers for {told}", tables=(table,)))
    note = Markup(
        "Nothing is trained anew: what is taken away is as if no test row had it, and the learnt "
        "vector for a missing column stands in its place. A network that was trained on one column "
        "alone can do better with it; compare it as a recipe of its own. What two columns say only "
        "together counts for each of them. P-values are corrected over the columns of a network."
    )
    return Section("columns", "Columns", _lead(results), drawings, folds=tuple(folds), note=note)


def _columns(results: Results, recipe: str) -> tuple[str, ...]:
    found = (row for row in results.of("column_gain") if row.recipe == recipe)
    return tuple(dict.fromkeys(row.x for row in found if row.budget in (results.focus, 0)))


def _gain(results: Results, recipe: str, column: str) -> Row | None:
    return results.find("column_gain", recipe, results.focus, results.primary.name, x=column)


def _ways(columns: Sequence[str]) -> dict[str, str]:
    """What is left of the columns, and how it is called."""
    names = {name: _NAMES.get(name, name) for name in columns}
    ways = {name: f"{told} alone" for name, told in names.items()}
    if len(columns) > 2:  # of two, one without the other is that one alone
        for name, told in names.items():
            ways["+".join(other for other in columns if other != name)] = f"without {told}"
    return ways | {"": "none of them"}


def _brings(
    results: Results, columns: Sequence[str], recipes: Sequence[Recipe], width: int
) -> Spec | None:
    measure = results.primary
    rows = {
        (recipe.name, name): row
        for recipe in recipes
        for name in columns
        if (row := _gain(results, recipe.name, name)) is not None
    }
    parts = []
    for recipe in recipes:
        lines = []
        for name in columns:
            row = rows.get((recipe.name, name))
            label = _NAMES.get(name, name)
            if row is None:
                lines.append(Line(label))
                continue
            sure = row.p_holm < SIGNIFICANT
            lines.append(_line(label, row, measure.scale, measure.gain_style, tone(row), sure))
        parts.append(Panel(recipe.title, tuple(lines)))
    unit = measure.gain_unit or measure.phrase
    axis = _axis(rows, measure.scale, f"score less that without it, {unit}", zero=True)
    return panels(parts, axis, width, _across(len(parts), width))


def _left(
    results: Results, columns: Sequence[str], recipes: Sequence[Recipe], width: int
) -> Spec | None:
    measure = results.primary
    rows: dict[tuple[str, str], Row] = {}
    parts = []
    for recipe in recipes:
        lines = []
        whole = results.score(recipe.name, results.focus)
        found = {"all of them": whole} | {
            told: results.find("column", recipe.name, results.focus, measure.name, x=left)
            for left, told in _ways(columns).items()
        }
        for told, row in found.items():
            if row is None:
                lines.append(Line(told))
                continue
            rows[recipe.name, told] = row
            first = row is whole
            colour = "blue" if first else "even"
            line = _line(told, row, measure.scale, measure.style, colour, True, strong=first)
            lines.append(line)
        parts.append(Panel(recipe.title, tuple(lines)))
    unit = f", {measure.unit}" if measure.unit else ""
    axis = _axis(rows, measure.scale, f"{measure.phrase}{unit}", zero=False)
    return panels(parts, axis, width, _across(len(parts), width))


def _line(
    label: str, row: Row, scale: float, style: str, colour: str, sure: bool, *, strong: bool = False
) -> Line:
    said = f"{label}: {shown(row.value, style)}"
    if row.bounded:
        said += f" ({shown(row.low, style)} to {shown(row.high, style)})"
    span = Span(scale * row.low, scale * row.high, colour, row.row, said)
    return Line(
        label,
        (Dot(scale * row.value, colour, row.row, said, hollow=not sure),),
        (span,) if row.bounded else (),
        Note(shown(row.value, style), colour, row.row, "value", style, strong),
        strong,
    )


def _axis(rows: Mapping[tuple[str, str], Row], scale: float, title: str, *, zero: bool) -> Axis:
    ends = [
        scale * end
        for row in rows.values()
        for end in ((row.low, row.value, row.high) if row.bounded else (row.value,))
    ]
    low, high, ticks = within(min([0.0] * zero + ends), max([0.0] * zero + ends), 4)
    return Axis(low, high, title, ticks, zero=0.0 if zero else None)


def _across(count: int, width: int) -> int:
    return 1 if width < 500 else min(count, _MOST_ACROSS)


def _table(results: Results, columns: Sequence[str], recipes: Sequence[Recipe]) -> Table:
    measure = results.primary
    lines = []
    for name in columns:
        cells = []
        for recipe in recipes:
            row = _gain(results, recipe.name, name)
            content = tagged(row, measure.gain_style)
            if row is not None:
                content += Markup(" {}").format(between(row, measure.gain_style))
                content += Markup(' <span class="p">p {}</span>').format(tagged(row, "p", "p_holm"))
            sure = row is not None and row.p_holm < SIGNIFICANT
            colour = "" if row is None else tone(row)
            cells.append(Cell(content, f"{colour} sure" if sure else colour))
        lines.append(TableLine(f"{_NAMES.get(name, name)} {_bring(name)}", tuple(cells)))
    for left, told in _ways(columns).items():
        cells = []
        for recipe in recipes:
            row = results.find("column", recipe.name, results.focus, measure.name, x=left)
            content = tagged(row, measure.style)
            if row is not None:
                content += Markup(" {}").format(between(row, measure.style))
            cells.append(Cell(content))
        lines.append(TableLine(told, tuple(cells)))
    caption = Markup("{} on the target’s test rows, {}, mean over seeds, with its interval.")
    heads = tuple(recipe.title for recipe in recipes)
    told_caption = caption.format(measure.title, labels(results.focus))
    return Table(told_caption, "Columns", heads, tuple(lines))


def _lead(results: Results) -> Markup:
    """What the best network of several columns owes to each of them."""
    best = next((r for r in results.recipes if _columns(results, r.name)), None)
    if best is None:
        return Markup("")
    style = results.primary.gain_style
    said = [
        Markup('the {} {} <span class="{}">{}</span>').format(
            _NAMES.get(name, name), _bring(name), tone(row), tagged(row, style)
        )
        for name in _columns(results, best.name)
        if (row := _gain(results, best.name, name)) is not None
    ]
    unit = results.primary.gain_unit or results.primary.phrase
    return Markup("In {}, {} ({}).").format(best.title, Markup(", ").join(said), unit)


def _bring(column: str) -> str:
    return "bring" if column == "fields" else "brings"
