"""The colours of a report, and the drawing of one chart as SVG that follows the page's theme.

Charts are static SVG, not inlined Vega: the page then needs no JavaScript, prints as it is seen and
can forbid all scripts. Hovering a mark shows its numbers by SVG's own `<title>`. Colours become
classes, so that one drawing serves light, dark and paper.
"""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import vl_convert

from transfuse.report.format import plain

__all__ = ["DARK", "FONT", "LIGHT", "Spec", "draw", "marks", "raw", "styled", "tag"]

Spec = dict[str, Any]
"""A Vega-Lite chart or a part of one, as plain data."""

FONT = "Helvetica Neue, Helvetica, Arial, sans-serif"

# Series are Okabe and Ito's hues, darkened for white paper so that they also serve as text.
LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#ffffff",
        "ink": "#1c2127",
        "muted": "#59636e",
        "grid": "#e4e8ec",
        "rule": "#8a949f",
        "grey": "#a3adb8",
        "rest": "#d3d9df",
        "blue": "#0068a8",
        "orange": "#a85a00",
        "green": "#00785a",
        "purple": "#9a4382",
        "gain": "#0067a6",
        "loss": "#b3261e",
        "even": "#66707b",
    }
)
DARK: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#14181d",
        "ink": "#e9ecef",
        "muted": "#a7b1bb",
        "grid": "#2b323a",
        "rule": "#79848f",
        "grey": "#5f6a75",
        "rest": "#3b444d",
        "blue": "#5cb8ef",
        "orange": "#f0a63c",
        "green": "#35c79e",
        "purple": "#e29acb",
        "gain": "#5cb7ee",
        "loss": "#ff8a80",
        "even": "#9aa5b0",
    }
)
_NAMES = {colour: name for name, colour in LIGHT.items()}
_PREFIX = "row:"
_GEOMETRY = {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height"}
_DOT = re.compile(r"M(?P<r>[\d.]+),0A(?P=r),(?P=r),0,1,1,-(?P=r),0A(?P=r),(?P=r),0,1,1,(?P=r),0")
_LONG = re.compile(r"-?\d+\.\d{2,}(e-\d+)?")
_CONFIG: Mapping[str, Any] = MappingProxyType(
    {
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelColor": LIGHT["muted"],
            "titleColor": LIGHT["muted"],
            "gridColor": LIGHT["grid"],
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "titlePadding": 8,
        },
        "title": {
            "anchor": "start",
            "frame": "group",
            "fontSize": 13,
            "fontWeight": 600,
            "color": LIGHT["ink"],
            "offset": 8,
        },
    }
)


def tag(row: int, title: str, field: str = "", style: str = "") -> str:
    """What a mark carries through Vega in its description; `draw` turns it into attributes.

    Args:
        row: The row of `study.parquet` that the mark shows.
        title: What hovering shows.
        field: The column that a text mark shows. Default: none, for shapes.
        style: How a text mark writes it. Default: none.
    """
    return f"{_PREFIX}{row}|{field}|{style}|{plain(title)}"


def styled(chart: Spec) -> Spec:
    """The chart with the report's type, axes and transparent ground."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "background": "transparent",
        "padding": 4,
        "config": dict(_CONFIG),
        **chart,
    }


def marks(kind: str, rows: Sequence[Spec], encoding: Spec, **options: Any) -> Spec:
    """One layer: a mark for each row of data.

    Args:
        kind: A Vega-Lite mark: point, rule, line, text, area …
        rows: The data. The field `tag`, where there is one, is what the mark carries (see `tag`).
        encoding: The Vega-Lite encoding.
        options: Further properties of the mark.
    """
    if rows and "tag" in rows[0]:
        encoding = {**encoding, "description": {"field": "tag", "type": "nominal"}}
    return {
        "mark": {"type": kind, **options},
        "data": {"values": list(rows)},
        "encoding": encoding,
    }


def raw(field: str) -> Spec:
    """An encoding that takes the field's values as they are: colours, widths, shapes."""
    return {"field": field, "type": "nominal", "scale": None, "legend": None}


def _clean(element: ET.Element, prefix: str) -> None:
    """Turn Vega's output into marks that carry their row and take their colour from the page."""
    label = element.get("aria-label", "")
    for name in [key for key in element.attrib if key.startswith(("aria-", "pointer-", "role"))]:
        del element.attrib[name]
    classes: list[str] = []
    element.attrib.pop("class", None)
    for attribute, letter in (("fill", "f"), ("stroke", "s")):
        colour = element.get(attribute, "").lower()
        if colour in _NAMES:
            classes.append(f"{letter}-{_NAMES[colour]}")
            del element.attrib[attribute]
    if classes:
        element.set("class", " ".join(classes))
    for attribute in ("id", "clip-path"):
        value = element.get(attribute)
        if value:
            element.set(
                attribute,
                value.replace("url(#", f"url(#{prefix}-") if "(" in value else f"{prefix}-{value}",
            )
    for attribute in _GEOMETRY & set(element.attrib):
        element.set(attribute, _LONG.sub(_short, element.get(attribute, "")))
    if element.get("opacity") == "1":
        del element.attrib["opacity"]
    _rounded(element)
    if element.tag == "text":
        element.attrib.pop("font-family", None)
    if label.startswith(_PREFIX):
        row, field, style, title = label.removeprefix(_PREFIX).split("|", 3)
        element.set("data-row", row)
        if field:
            element.set("data-field", field)
            element.set("data-style", style)
        if title:
            ET.SubElement(element, "title").text = title
    kept: list[ET.Element] = []
    for child in element:
        if not _invisible(child):
            _clean(child, prefix)
            # A group that says nothing gives its place to what it holds.
            kept.extend(child if child.tag == "g" and not child.attrib else [child])
    element[:] = kept


def _rounded(element: ET.Element) -> None:
    """Vega writes a dot as two arcs; a circle says the same in a third of the bytes."""
    found = _DOT.fullmatch(element.get("d", "")) if element.tag == "path" else None
    if found:
        element.tag = "circle"
        del element.attrib["d"]
        element.set("r", found["r"])


def _short(number: re.Match[str]) -> str:
    """A tenth of a pixel is finer than any screen, and a third of the page is such numbers."""
    return f"{float(number.group()):.1f}".removesuffix(".0")


def _invisible(element: ET.Element) -> bool:
    # Marks without opacity only held room open while Vega laid the chart out.
    if element.get("display") == "none" or element.get("opacity") == "0":
        return True
    ground = element.tag == "path" and element.get("class") in ("background", "foreground")
    return ground and element.get("stroke") is None and element.get("fill") is None


def _renumber(root: ET.Element) -> None:
    """Vega counts its clips over the life of the process; the same study gives the same page."""
    names: dict[str, str] = {}
    for element in root.iter("clipPath"):
        names[element.get("id", "")] = f"clip{len(names)}"
    for element in root.iter():
        for attribute in ("id", "clip-path"):
            value = element.get(attribute, "")
            old = value.removeprefix("url(#").removesuffix(")")
            if old in names:
                element.set(attribute, value.replace(old, names[old]))


def draw(chart: Spec, name: str, alternative: str) -> str:
    """One chart as an `<svg>` element for inlining.

    Args:
        chart: What to draw; its colours are those of `LIGHT`.
        name: Unique in the page; prefixes the ids inside.
        alternative: What the chart says, for those who do not see it.
    """
    text = vl_convert.vegalite_to_svg(json.dumps(styled(chart)), allowed_base_urls=[])
    text = text.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)
    text = text.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "", 1)
    root = ET.fromstring(text)
    _renumber(root)
    _clean(root, name)
    root.set("role", "img")
    root.set("aria-label", plain(alternative))
    root.set("font-family", FONT)
    return ET.tostring(root, encoding="unicode")
