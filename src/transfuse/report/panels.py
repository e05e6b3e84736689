"""Charts of one line per recipe: dots, spans and a number, on one axis, a panel for each budget.

The gain with its interval, the labels saved, the forgetting and the calibration error are all this
chart; only what stands on a line differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from transfuse.report.layout import wrap
from transfuse.report.theme import LIGHT, Spec, marks, raw, tag

__all__ = ["Axis", "Dot", "Line", "Note", "Panel", "Span", "panels"]

ROW_HEIGHT = 26
NOTE_WIDTH = 60
LABEL_SIZE = 12
LINE_HEIGHT = 13
GAP = 14
DOT_SIZE = 64
_ARROW = "M-0.5,-0.6L0.6,0L-0.5,0.6Z"
_ARROW_SIZE = 90


@dataclass(frozen=True)
class Dot:
    """A point on a line. `colour` is a name of the theme; a hollow one is outlined."""

    x: float
    colour: str
    row: int
    title: str
    hollow: bool = False
    arrow: bool = False


@dataclass(frozen=True)
class Span:
    """A stroke from `start` to `end`."""

    start: float
    end: float
    colour: str
    row: int
    title: str


@dataclass(frozen=True)
class Note:
    """The number at the right end of a line, a column of a row of the study."""

    text: str
    colour: str
    row: int
    field: str
    style: str
    strong: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a panel: a recipe and what was measured of it."""

    label: str
    dots: tuple[Dot, ...] = ()
    spans: tuple[Span, ...] = ()
    note: Note | None = None
    strong: bool = False


@dataclass(frozen=True)
class Panel:
    """The lines of one budget under a title."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Axis:
    """The axis that the panels of a chart share, in the unit that is shown.

    Args:
        low: Its left end.
        high: Its right end.
        title: What it shows, with its unit.
        ticks: Where it is labelled.
        log: Whether it is logarithmic. Default: no.
        zero: Where the line of no difference stands. Default: there is none.
        format: How ticks are written, in d3's notation. Default: plain.
    """

    low: float
    high: float
    title: str
    ticks: Sequence[float] = field(default=())
    log: bool = False
    zero: float | None = None
    format: str = ",~f"


def _scale(axis: Axis) -> Spec:
    kind = "log" if axis.log else "linear"
    return {"domain": [axis.low, axis.high], "nice": False, "zero": False, "type": kind}


def _spans(panel: Panel) -> list[Spec]:
    return [
        {
            "y": index,
            "x": span.start,
            "x2": span.end,
            "colour": LIGHT[span.colour],
            "tag": tag(span.row, span.title),
        }
        for index, line in enumerate(panel.lines)
        for span in line.spans
    ]


def _dots(panel: Panel) -> list[Spec]:
    return [
        {
            "y": index,
            "x": dot.x,
            "colour": LIGHT[dot.colour],
            "fill": LIGHT["paper"] if dot.hollow else LIGHT[dot.colour],
            "shape": _ARROW if dot.arrow else "circle",
            "size": _ARROW_SIZE if dot.arrow else DOT_SIZE,
            "tag": tag(dot.row, dot.title),
        }
        for index, line in enumerate(panel.lines)
        for dot in line.dots
    ]


def _notes(panel: Panel) -> list[Spec]:
    return [
        {
            "y": index,
            "text": line.note.text,
            "colour": LIGHT[line.note.colour],
            "strong": line.note.strong,
            "tag": tag(line.note.row, "", line.note.field, line.note.style),
        }
        for index, line in enumerate(panel.lines)
        if line.note is not None
    ]


def _names(panel: Panel, y: Spec, width: float) -> list[Spec]:
    """The recipes' names; Vega centres one line on its row but hangs a second one below it."""
    rows: list[Spec] = [
        {"y": index, "text": wrap(line.label, width - 10, LABEL_SIZE), "strong": line.strong}
        for index, line in enumerate(panel.lines)
    ]
    return [
        marks(
            "text",
            chosen,
            {"x": {"value": -8}, "y": y, "text": {"field": "text"}},
            align="right",
            baseline="middle",
            color=LIGHT["ink"],
            fontSize=LABEL_SIZE,
            fontWeight=600 if strong else 400,
            lineHeight=LINE_HEIGHT,
            dy=-(count - 1) * LINE_HEIGHT / 2,
        )
        for strong in (False, True)
        for count in (1, 2)
        if (
            chosen := [row for row in rows if row["strong"] == strong and len(row["text"]) == count]
        )
    ]


def _panel(panel: Panel, axis: Axis, width: float, label_width: float, row_height: float) -> Spec:
    y_axis = {"labels": False, "title": None, "grid": True}
    rows = list(range(len(panel.lines)))
    y = {"field": "y", "type": "ordinal", "scale": {"domain": rows}, "axis": y_axis}
    x = {
        "field": "x",
        "type": "quantitative",
        "scale": _scale(axis),
        "axis": {
            "values": list(axis.ticks),
            "title": axis.title,
            "format": axis.format,
            "labelFlush": False,
            "labelOverlap": "greedy",
            "labelSeparation": 6,
        },
    }
    # An invisible mark on each line keeps the axes where nothing was measured.
    everyone = [{"y": index, "x": axis.low} for index in rows]
    layers = [marks("point", everyone, {"x": x, "y": y}, opacity=0, size=0)]
    if axis.zero is not None:
        zero = [{"x": axis.zero}]
        layers.append(marks("rule", zero, {"x": x}, color=LIGHT["rule"], strokeWidth=1.25))
    if spans := _spans(panel):
        place = {"x": x, "x2": {"field": "x2"}, "y": y, "color": raw("colour")}
        layers.append(marks("rule", spans, place, strokeCap="round", strokeWidth=2))
    if dots := _dots(panel):
        look = {"stroke": raw("colour"), "fill": raw("fill"), "shape": raw("shape")}
        size = raw("size")
        layers.append(
            marks(
                "point", dots, {"x": x, "y": y, **look, "size": size}, strokeWidth=1.75, opacity=1
            )
        )
    for strong in (False, True):
        if notes := [note for note in _notes(panel) if note["strong"] == strong]:
            right = {"value": width + NOTE_WIDTH - 4}
            text = {"x": right, "y": y, "text": {"field": "text"}, "color": raw("colour")}
            weight = 600 if strong else 400
            layers.append(marks("text", notes, text, align="right", fontSize=12, fontWeight=weight))
    if label_width:
        layers.extend(_names(panel, y, label_width))
        # Holds the room for names open whatever font they are measured in.
        edge = {"x": {"value": -label_width}, "y": {"value": 0}}
        layers.append(marks("point", [{}], edge, opacity=0, size=0))
    return {"layer": layers, "width": width, "height": row_height * len(rows), "title": panel.title}


def panels(parts: Sequence[Panel], axis: Axis, width: float, across: int) -> Spec:
    """One chart of several panels with the same lines and the same axis.

    Args:
        parts: A panel for each budget.
        axis: The axis that they share.
        width: The width of the whole in pixels.
        across: How many panels stand side by side.
    """
    across = max(1, min(across, len(parts)))
    label_width = 178 if width > 500 else 118
    inner = (width - label_width - 16 - (across - 1) * GAP) / across - NOTE_WIDTH
    wrapped = any(
        len(wrap(line.label, label_width - 10, LABEL_SIZE)) > 1
        for part in parts
        for line in part.lines
    )
    height = ROW_HEIGHT + 4 if wrapped else ROW_HEIGHT
    rows: list[Spec] = [
        {
            "hconcat": [
                _panel(part, axis, inner, 0 if index else label_width, height)
                for index, part in enumerate(parts[start : start + across])
            ],
            "spacing": GAP,
        }
        for start in range(0, len(parts), across)
    ]
    return {"vconcat": rows, "spacing": 22}
