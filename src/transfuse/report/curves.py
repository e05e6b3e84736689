"""The learning curve: all recipes in one chart with direct labels, then each one on its own.

Ten lines in ten colours cannot be read. A few recipes are coloured (the headline's, its baselines,
the best), the rest are grey and still named; the small multiples give each its turn in colour.
"""

from collections.abc import Sequence

from transfuse.report.format import shown
from transfuse.report.layout import spread, text_width, within, wrap
from transfuse.report.results import Recipe, Results, Row
from transfuse.report.theme import LIGHT, Spec, marks, raw, tag

__all__ = ["SMALL", "coloured", "learning", "multiples", "small"]

WIDE = 820
NARROW = 358
HUES = ("blue", "orange", "green", "purple")
LABEL_SIZE = 12
NAMED_BESIDE = 160
SMALL = 156


def coloured(results: Results) -> dict[str, str]:
    """The recipes in colour: the headline's, its baselines, the best, the best that is cheap."""
    headline = results.headline
    wanted: list[str] = [headline.recipe, headline.baseline] if headline else []
    wanted.extend(results.baselines)
    wanted.extend(recipe.name for recipe in results.recipes[:2])
    # Blue is the headline's, orange its baseline's wherever a chart tells recipes apart.
    return dict(zip(dict.fromkeys(wanted), HUES, strict=False))


def _points(results: Results, recipe: Recipe) -> list[tuple[int, Row]]:
    found = ((budget, results.score(recipe.name, budget)) for budget in results.budgets)
    return [(budget, row) for budget, row in found if row is not None and row.measured]


def _records(results: Results, recipe: Recipe, colour: str) -> list[Spec]:
    measure = results.primary
    records: list[Spec] = []
    for budget, row in _points(results, recipe):
        said = (
            f"{recipe.title}, {budget:,} labels: {shown(row.value, measure.style)} {measure.unit}"
        )
        record: Spec = {
            "recipe": recipe.name,
            "x": budget,
            "y": measure.scale * row.value,
            "colour": LIGHT[colour],
            "fixed": row.budget == 0,
        }
        record["low"] = measure.scale * row.low if row.bounded else record["y"]
        record["high"] = measure.scale * row.high if row.bounded else record["y"]
        if row.bounded:
            ends = shown(row.low, measure.style), shown(row.high, measure.style)
            said = f"{said.rstrip()} ({ends[0]} to {ends[1]})"
        record["tag"] = tag(row.row, said)
        records.append(record)
    return records


Range = tuple[float, float, list[float]]


def _domain(records: Sequence[Spec], count: int) -> Range:
    """Round values around the scores; one wide interval must not flatten every curve."""
    values = [record["y"] for record in records]
    reach = (max(values) - min(values)) * 0.25
    low = max(min(record["low"] for record in records), min(values) - reach)
    high = min(max(record["high"] for record in records), max(values) + reach)
    return within(low, high, count)


def _axes(results: Results, span: Range, titled: bool = True) -> tuple[Spec, Spec]:
    measure = results.primary
    low, high = results.budgets[0], results.budgets[-1]
    edge = (high / low) ** (0.02 if titled else 0.05) if 0 < low < high else 2.0
    log = low > 0
    x: Spec = {
        "field": "x",
        "type": "quantitative",
        "scale": {
            "type": "log" if log else "linear",
            "domain": [low / edge, high * edge] if log else [low - 1, high + 1],
            "nice": False,
            "zero": False,
        },
        "axis": {
            "values": list(results.budgets),
            "format": ",d" if titled else "~s",
            "title": f"target labels{' (log)' if log else ''}" if titled else None,
            "grid": True,
            "labelOverlap": "greedy",
        },
    }
    y_title = f"{measure.phrase}, {measure.unit}" if measure.unit else measure.phrase
    y: Spec = {
        "field": "y",
        "type": "quantitative",
        "scale": {"domain": list(span[:2]), "nice": False, "zero": False},
        "axis": {"values": span[2], "title": y_title if titled else None, "format": ",~f"},
    }
    return x, y


def _lines(records: Sequence[Spec], x: Spec, y: Spec, width: float, dots: bool) -> list[Spec]:
    """Lines through the points, one for each recipe and dashed where no label was used."""
    place = {"x": x, "y": y, "color": raw("colour")}
    layers: list[Spec] = []
    for fixed in (False, True):
        if chosen := [record for record in records if record["fixed"] == fixed]:
            bare = [{key: record[key] for key in _LINE} for record in chosen]
            detail = {"detail": {"field": "recipe", "type": "nominal"}}
            dash = {"strokeDash": [2, 5]} if fixed else {}
            layers.append(
                marks("line", bare, {**place, **detail}, strokeWidth=width, clip=True, **dash)
            )
    if dots:
        look = {"stroke": raw("colour"), "fill": raw("colour")}
        shown_dots = [record for record in records if not record["fixed"]]
        if shown_dots:
            layers.append(
                marks("point", shown_dots, {"x": x, "y": y, **look}, size=46, opacity=1, clip=True)
            )
    return layers


_LINE = ("recipe", "x", "y", "colour")


def _bands(records: Sequence[Spec], x: Spec, y: Spec) -> list[Spec]:
    """Intervals: a band under a curve, whiskers where one budget makes no curve."""
    bare = [{key: record[key] for key in (*_LINE, "low", "high")} for record in records]
    ends = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    detail = {"detail": {"field": "recipe", "type": "nominal"}, "color": raw("colour")}
    if len({record["x"] for record in records}) > 1:
        return [marks("area", bare, {**ends, **detail}, opacity=0.13, clip=True)]
    return [marks("rule", bare, {**ends, **detail}, strokeWidth=2, opacity=0.6, clip=True)]


def _named(
    results: Results, colours: dict[str, str], span: Range, height: float, room: float
) -> list[Spec]:
    """A label for each recipe at the right end of its curve, moved apart where they collide.

    Where there is little room only the coloured recipes are named, each on two lines.
    """
    measure = results.primary
    narrow = room < NAMED_BESIDE
    gap = 30.0 if narrow else 15.0
    ends = [
        (recipe, points[-1][1])
        for recipe in results.recipes
        if (points := _points(results, recipe))
    ]
    chosen = [end for end in ends if end[0].name in colours]
    if not narrow:
        spare = max(int(height // gap) - len(chosen), 0)
        chosen += [end for end in ends if end[0].name not in colours][:spare]
    low, high, _ = span
    wanted = []
    for _, row in chosen:
        value = min(max(measure.scale * row.value, low), high)
        wanted.append(height * (high - value) / (high - low))
    rows = []
    places = spread(wanted, gap, gap / 2, height - gap / 2)
    for (recipe, row), at, placed in zip(chosen, wanted, places, strict=True):
        text = shown(row.value, measure.style)
        colour = colours.get(recipe.name)
        left = 0.0 if narrow else text_width(text, LABEL_SIZE) + 8
        rows.append(
            {
                "from": at,
                "to": placed,
                "value_at": placed - 7 if narrow else placed,
                "name_at": placed + 7 if narrow else placed,
                "shift": left,
                "text": text,
                "name": wrap(recipe.title, room - left - 22, LABEL_SIZE, lines=1)[0],
                "colour": LIGHT[colour or "muted"],
                "line": LIGHT[colour or "grey"],
                "strong": colour is not None,
                "tag": tag(row.row, "", "value", measure.style),
            }
        )
    return rows


def _label_layers(rows: Sequence[Spec], width: float, room: float) -> list[Spec]:
    def pixel(field: str) -> Spec:
        return {"field": field, "type": "quantitative", "scale": None}

    leaders = [{key: row[key] for key in ("from", "to", "line")} for row in rows]
    ends = {"x": {"value": width + 2}, "x2": {"value": width + 16}, "color": raw("line")}
    ends.update(y=pixel("from"), y2={"field": "to"})
    # The point holds the room for names open whatever font they are measured in.
    edge = {"x": {"value": width + room}, "y": {"value": 0}}
    layers = [
        marks("rule", leaders, ends, strokeWidth=1),
        marks("point", [{}], edge, opacity=0, size=0),
    ]
    shift = max((row["shift"] for row in rows), default=0.0)
    for strong in (False, True):
        chosen = [row for row in rows if row["strong"] == strong]
        if not chosen:
            continue
        look = {"align": "left", "fontSize": LABEL_SIZE, "fontWeight": 600 if strong else 400}
        place = {"y": pixel("value_at"), "color": raw("colour"), "text": {"field": "text"}}
        layers.append(marks("text", chosen, {**place, "x": {"value": width + 20}}, **look))
        names = [{key: row[key] for key in ("name_at", "name", "colour")} for row in chosen]
        place = {"y": pixel("name_at"), "color": raw("colour"), "text": {"field": "name"}}
        layers.append(marks("text", names, {**place, "x": {"value": width + 20 + shift}}, **look))
    return layers


def learning(results: Results, width: int = WIDE) -> Spec | None:
    """Score against target labels for every recipe, with direct labels.

    Bands are the intervals of the coloured recipes; the grey ones' are in the small multiples. A
    dotted line is a recipe that uses no target labels.

    Args:
        results: The study.
        width: In pixels. Default: 820.
    """
    colours = coloured(results)
    records = {
        recipe.name: _records(results, recipe, colours.get(recipe.name, "grey"))
        for recipe in results.recipes
    }
    everything = [record for some in records.values() for record in some]
    if not everything:
        return None
    room = 266 if width > 500 else 112
    inner, height = width - room - 56, 380 if width > 500 else 330
    span = _domain(everything, 6)
    x, y = _axes(results, span)
    grey = [record for name in records if name not in colours for record in records[name]]
    bright = [record for name in colours for record in records.get(name, [])]
    layers: list[Spec] = []
    if bright:
        layers.extend(_bands(bright, x, y))
    if grey:
        layers.extend(_lines(grey, x, y, 1.5, dots=True))
    if bright:
        layers.extend(_lines(bright, x, y, 2.5, dots=True))
    named = _named(results, colours, span, height, room)
    layers.extend(_label_layers(named, inner, room))
    return {"layer": layers, "width": inner, "height": height}


def multiples(results: Results) -> tuple[tuple[Recipe, Spec], ...]:
    """A small learning curve for each recipe, in colour with its interval over all the others."""
    kept = [recipe for recipe in results.recipes if _points(results, recipe)]
    if len(results.budgets) < 2 or len(kept) < 2:
        return ()
    everything = [record for recipe in kept for record in _records(results, recipe, "rest")]
    span = _domain(everything, 3)
    x, y = _axes(results, span, titled=False)
    parts = []
    for recipe in kept:
        own = _records(results, recipe, "blue")
        rest = [record for record in everything if record["recipe"] != recipe.name]
        layers = [*_lines(rest, x, y, 1, dots=False), *_bands(own, x, y)]
        layers.extend(_lines(own, x, y, 2.5, dots=True))
        parts.append((recipe, small(recipe, layers, SMALL, 0.72 * SMALL)))
    return tuple(parts)


def small(recipe: Recipe, layers: Sequence[Spec], width: float, height: float) -> Spec:
    """A chart of small multiples: the recipe's name over its layers."""
    title = {"text": wrap(recipe.title, width, LABEL_SIZE), "fontSize": LABEL_SIZE, "offset": 6}
    return {"layer": list(layers), "width": width, "height": height, "title": title}
