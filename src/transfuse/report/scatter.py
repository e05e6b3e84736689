"""Charts on two measured axes: score against cost, and accuracy against confidence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from transfuse.report.curves import SMALL, small
from transfuse.report.format import shown
from transfuse.report.layout import Box, log_steps, place, text_width, within, wrap
from transfuse.report.results import Recipe, Results, Row
from transfuse.report.theme import LIGHT, Spec, marks, raw, tag

__all__ = ["PRICES", "Price", "front", "pareto", "reliability"]


@dataclass(frozen=True)
class Price:
    """A cost that a score is drawn against; less is better.

    Args:
        metric: Its name in the rows of the study.
        axis: What the axis says.
        unit: What stands after its numbers.
    """

    metric: str
    axis: str
    unit: str


PRICES = {
    price.metric: price
    for price in (
        Price("seconds", "seconds to train", "s"),
        Price("row_ms", "milliseconds for a text among many", "ms"),
        Price("latency_ms", "milliseconds for one text", "ms"),
        Price("size_mb", "megabytes on disk", "MB"),
        Price("answering_memory_mb", "megabytes of memory to answer", "MB"),
    )
}

WIDE = 820
NARROW = 358
LABEL_SIZE = 12


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other beats on both axes.

    Args:
        points: Cost (less is better) and score (more is better) of each.

    Returns:
        Their positions in the list, from the cheapest to the dearest. Of equal points the first.
    """
    best = float("-inf")
    kept = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i)):
        if points[index][1] > best:
            best = points[index][1]
            kept.append(index)
    return kept


def _priced(results: Results, budget: int, metric: str) -> list[tuple[Recipe, Row, Row]]:
    found = []
    for recipe in results.recipes:
        cost, score = results.cost(recipe.name, budget, metric), results.score(recipe.name, budget)
        if cost and score and cost.measured and score.measured and cost.value > 0:
            found.append((recipe, cost, score))
    return found


def pareto(
    results: Results, budget: int, width: int = WIDE, price: Price | None = None
) -> Spec | None:
    """Score against a cost at one budget, with the recipes that nothing beats.

    Args:
        results: The study.
        budget: The number of target labels.
        width: In pixels. Default: 820.
        price: The cost. Default: seconds of training.
    """
    price = price or PRICES["seconds"]
    priced = _priced(results, budget, price.metric)
    if len(priced) < 2:
        return None
    measure = results.primary
    spots = [(cost.value, measure.scale * score.value) for _, cost, score in priced]
    kept = front([(x, measure.sign * y) for x, y in spots])
    inner, height = width - 64, 330 if width > 500 else 300
    low, high = min(x for x, _ in spots) / 2, max(x for x, _ in spots) * 2
    bottom, top, ticks = within(min(y for _, y in spots), max(y for _, y in spots), 5)
    x_axis = {
        "field": "x",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        "axis": {
            "title": f"{price.axis} (log)",
            "format": ",~f",
            "values": log_steps(low, high),
        },
    }
    y_title = f"{measure.phrase}, {measure.unit}" if measure.unit else measure.phrase
    y_axis = {
        "field": "y",
        "type": "quantitative",
        "scale": {"domain": [bottom, top], "nice": False, "zero": False},
        "axis": {"values": ticks, "title": y_title, "format": ",~f"},
    }
    dots, pixels = [], []
    for index, (recipe, cost, score) in enumerate(priced):
        x, y = spots[index]
        colour = LIGHT["blue" if index in kept else "rule"]
        said = f"{recipe.title}: {shown(score.value, measure.style)} {measure.unit}".rstrip()
        said += f", {shown(cost.value, 'number')} {price.unit}"
        fill = colour if index in kept else LIGHT["paper"]
        dots.append({"x": x, "y": y, "colour": colour, "fill": fill, "tag": tag(score.row, said)})
        share = _log_share(x, low, high)
        pixels.append((inner * share, height * (top - y) / (top - bottom)))
    line = [{"x": spots[index][0], "y": spots[index][1]} for index in kept]
    encoding = {"x": x_axis, "y": y_axis}
    look = {"stroke": raw("colour"), "fill": raw("fill")}
    step = {"interpolate": "step-after", "strokeWidth": 1.5, "opacity": 0.55}
    return {
        "layer": [
            marks("line", line, encoding, color=LIGHT["blue"], **step),
            marks("point", dots, {**encoding, **look}, size=80, opacity=1, strokeWidth=1.75),
            *_labels(results, priced, kept, pixels, Box(0, -12, inner, height - 4)),
        ],
        "width": inner,
        "height": height,
    }


def _log_share(value: float, low: float, high: float) -> float:
    return math.log(value / low) / math.log(high / low)


def _labels(
    results: Results,
    priced: Sequence[tuple[Recipe, Row, Row]],
    kept: Sequence[int],
    pixels: Sequence[tuple[float, float]],
    frame: Box,
) -> list[Spec]:
    """Names beside the dots: the headline's first, then those on the front, then the others.

    A name that finds no room clear of the front's line is tried again across it.
    """
    headline = results.headline

    def rank(index: int) -> tuple[bool, bool]:
        return (headline is None or priced[index][0].name != headline.recipe, index not in kept)

    order = sorted(range(len(priced)), key=rank)
    names = [wrap(priced[index][0].title, 190, LABEL_SIZE, lines=1)[0] for index in order]
    sizes = [(text_width(name, LABEL_SIZE) + 4, 14.0) for name in names]
    points = [pixels[index] for index in order]
    stairs: list[Box] = []
    corners = [pixels[index] for index in kept]
    for (x, y), (right, up) in pairwise(corners):
        stairs.extend((Box(x, y - 1, right, y + 1), Box(right - 1, up, right + 1, y)))
    placed = place(points, sizes, frame, radius=8, obstacles=stairs)
    done = [
        Box(at[0], at[1] - 7, at[0] + size[0], at[1] + 7)
        for at, size in zip(placed, sizes, strict=True)
        if at is not None
    ]
    left = [position for position, at in enumerate(placed) if at is None]
    everything = [*done, *(Box(x - 7, y - 7, x + 7, y + 7) for x, y in points)]
    again = place(
        [points[i] for i in left], [sizes[i] for i in left], frame, radius=9, obstacles=everything
    )
    for position, at in zip(left, again, strict=True):
        placed[position] = at
    rows = []
    for index, name, size, at in zip(order, names, sizes, placed, strict=True):
        if at is None:
            continue
        # Held at the end that is next to the dot, whatever the reader's font makes of its length.
        start, middle = at
        beside = start + size[0] <= pixels[index][0]
        row = {"px": start + size[0] - 2 if beside else start + 2, "py": middle, "text": name}
        rows.append({**row, "strong": index in kept, "align": "right" if beside else "left"})
    return _written(rows)


def _written(rows: Sequence[Spec]) -> list[Spec]:
    """Text at pixels, with a halo of the ground so that lines do not run through it."""
    encoding = {
        "x": {"field": "px", "type": "quantitative", "scale": None},
        "y": {"field": "py", "type": "quantitative", "scale": None},
        "text": {"field": "text"},
    }
    layers = []
    for strong, align in product((False, True), ("left", "right")):
        chosen = [row for row in rows if (row["strong"], row["align"]) == (strong, align)]
        if not chosen:
            continue
        look = {"align": align, "fontSize": LABEL_SIZE, "fontWeight": 600 if strong else 400}
        halo = {"stroke": LIGHT["paper"], "strokeWidth": 4, "color": LIGHT["paper"]}
        layers.append(marks("text", chosen, encoding, **look, **halo))
        colour = LIGHT["ink" if strong else "muted"]
        layers.append(marks("text", chosen, encoding, color=colour, **look))
    return layers


def _bins(results: Results, recipe: Recipe, budget: int, baseline: str) -> list[Spec]:
    """The bins of one reliability curve, from the least to the most confident."""
    found: dict[str, dict[str, Row]] = {}
    for chosen in (budget, 0):
        for row in results.of("reliability"):
            if (row.recipe, row.budget, row.baseline) == (recipe.name, chosen, baseline):
                found.setdefault(row.x, {})[row.metric] = row
        if found:
            break
    bins = []
    for parts in found.values():
        confidence, accuracy = parts.get("bin_confidence"), parts.get("bin_accuracy")
        share = parts.get("bin_share")
        if not confidence or not accuracy or not confidence.measured or not accuracy.measured:
            continue
        weight = share.value if share and share.measured else 0.1
        said = (
            f"{'after' if baseline else 'before'} scaling: confidence "
            f"{shown(confidence.value, 'percent')} %, right {shown(accuracy.value, 'percent')} %, "
            f"{shown(weight, 'percent')} % of rows"
        )
        bins.append(
            {
                "x": 100 * confidence.value,
                "y": 100 * accuracy.value,
                "size": 12 + 140 * weight,
                "tag": tag(accuracy.row, said),
            }
        )
    return sorted(bins, key=lambda item: item["x"])


def _curve(bins: Sequence[Spec], x: Spec, y: Spec, colour: str, hollow: bool) -> list[Spec]:
    fill = LIGHT["paper"] if hollow else LIGHT[colour]
    place = {"x": x, "y": y}
    bare = [{"x": item["x"], "y": item["y"]} for item in bins]
    size = {"field": "size", "type": "quantitative", "scale": None}
    return [
        marks("line", bare, place, color=LIGHT[colour], strokeWidth=1.25 if hollow else 2),
        marks("point", bins, {**place, "size": size}, fill=fill, stroke=LIGHT[colour], opacity=1,
              strokeWidth=1.5),
    ]  # fmt: skip


def _errors(results: Results, recipe: Recipe, budget: int) -> list[Spec]:
    """The calibration errors in the corner that a calibrated curve leaves empty."""
    rows = []
    for metric, colour, word, down in (
        ("ece", "even", "before", 10),
        ("ece_scaled", "blue", "after", 25),
    ):
        row = results.score(recipe.name, budget, metric)
        if row and row.measured:
            text = shown(row.value, "percent")
            mark = tag(row.row, "", "value", "percent")
            rows.append({"py": down, "text": text, "tag": mark, "word": word,
                         "colour": LIGHT[colour]})  # fmt: skip
    if not rows:
        return []
    y = {"field": "py", "type": "quantitative", "scale": None}
    look = {"y": y, "color": raw("colour")}
    words = [{key: row[key] for key in ("py", "word", "colour")} for row in rows]
    return [
        marks("text", rows, {**look, "x": {"value": 6}, "text": {"field": "text"}},
              align="left", fontSize=12, fontWeight=600),
        marks("text", words, {**look, "x": {"value": 42}, "text": {"field": "word"}},
              align="left", fontSize=11),
    ]  # fmt: skip


def reliability(results: Results, budget: int) -> tuple[tuple[Recipe, Spec], ...]:
    """Share right against stated confidence, a small chart for each recipe.

    Args:
        results: The study.
        budget: The number of target labels.
    """
    before = {recipe.name: _bins(results, recipe, budget, "") for recipe in results.recipes}
    after = {recipe.name: _bins(results, recipe, budget, "scaled") for recipe in results.recipes}
    kept = [recipe for recipe in results.recipes if before[recipe.name] or after[recipe.name]]
    bins = [item for side in (before, after) for some in side.values() for item in some]
    if not kept:
        return ()
    low = min(50.0, *(10.0 * (item[key] // 10) for item in bins for key in ("x", "y")))
    axis = {"values": [low, (low + 100) / 2, 100], "title": None, "format": ",~f"}
    scale = {"domain": [low, 100], "nice": False, "zero": False}
    x: Spec = {"field": "x", "type": "quantitative", "scale": scale, "axis": axis}
    y: Spec = {**x, "field": "y"}
    ends = [{"x": low, "y": low}, {"x": 100, "y": 100}]
    dashed = {"color": LIGHT["rule"], "strokeWidth": 1, "strokeDash": [3, 3]}
    parts = []
    for recipe in kept:
        layers = [marks("line", ends, {"x": x, "y": y}, **dashed)]
        if before[recipe.name]:
            layers.extend(_curve(before[recipe.name], x, y, "even", hollow=True))
        if after[recipe.name]:
            layers.extend(_curve(after[recipe.name], x, y, "blue", hollow=False))
        layers.extend(_errors(results, recipe, budget))
        parts.append((recipe, small(recipe, layers, SMALL, SMALL)))
    return tuple(parts)
