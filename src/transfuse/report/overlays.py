"""Boxes and masks over test pictures: a section of a report.

Each picture is shown once for the truth and once for each recipe that is compared, with the same
colours for the same classes. Pictures are data within the page; nothing is loaded.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from transfuse.report.format import plain
from transfuse.report.parts import Section
from transfuse.report.stored import told_in

__all__ = ["overlay_section"]

_FILE = "scenes.json"

# Told apart with any colour vision, on light and on dark pictures (Okabe and Ito, 2008).
_COLOURS = (
    *("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7"),
    *("#0072b2", "#999999"),
)

_VEIL = 0.65
"""How much of a picture a mask hides."""

_SHOWN = 224
"""Width of a picture in the page, in pixels."""


def overlay_section(folder: Path) -> tuple[Section, ...]:
    """The test pictures that a study has kept; nothing where it has none.

    Args:
        folder: The study's folder.

    Raises:
        DataError: If the file is damaged.
    """
    section = told_in(folder / _FILE, _section)
    return () if section is None else (section,)


def _section(told: Mapping[str, Any]) -> Section:
    masks = told["kind"] == "segmentation"
    labels = [plain(name) for name in told["labels"]]
    titles = ["The truth", *(plain(name) for name in told["recipes"])]
    clear = _commonest(told["rows"]) if masks else None
    cells = [Markup("<strong>{}</strong>").format(title) for title in titles]
    for row in told["rows"]:
        cells += _pictures(row, labels, titles, clear)
    body = Markup(
        '<div class="scroll"><div style="display:grid;gap:10px;justify-content:start;'
        'grid-template-columns:repeat({},{}px)">{}</div></div>'
    ).format(len(titles), _SHOWN, Markup("").join(cells))
    what = "Masks" if masks else "Boxes"
    said = "" if clear is None else f" The commonest class, {labels[clear]}, is left clear."
    lead = Markup("{} over some test pictures, evenly taken and not picked.{} {}").format(
        what, said, _key(labels, clear)
    )
    note = Markup(
        "Masks are drawn on the grid on which they are learnt and measured."
        if masks
        else "Boxes with their class and probability, from a probability of the task’s "
        "<code>threshold</code> on; the average precision counts those below it too. A dashed box "
        "agrees with no true box of its class by half."
    )
    return Section("overlays", f"{what} seen", lead, body=body, note=note)


def _pictures(
    row: Mapping[str, Any], labels: Sequence[str], titles: Sequence[str], clear: int | None
) -> list[Markup]:
    """One picture for each title."""
    picture = row["picture"]
    sides = int(picture["width"]), int(picture["height"])
    size = _SHOWN, max(1, round(_SHOWN * sides[1] / sides[0]))
    # Decoded once more, so that only base64 can come into the page.
    jpeg = _data(base64.b64decode(picture["jpeg"], validate=True), "jpeg")
    cells = []
    for title, answer in zip(titles, [row["truth"], *row["answers"]], strict=True):
        over = (
            _boxes(answer["boxes"], row["truth"]["boxes"], labels, size)
            if clear is None
            else _mask(answer, size, clear)
        )
        cells.append(
            Markup(
                '<svg viewBox="0 0 {} {}" role="img" aria-label="{}: test row {}">'
                '<image href="{}" width="{}" height="{}" preserveAspectRatio="none"/>{}</svg>'
            ).format(*size, title, int(row["row"]) + 1, jpeg, *size, over)
        )
    return cells


def _boxes(
    boxes: Sequence[Mapping[str, Any]],
    truth: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    size: tuple[int, int],
) -> Markup:
    drawn = []
    for box in boxes:
        kind = int(box["label"])
        x, y, w, h = (float(each) for each in box["place"])
        fits = any(other["label"] == kind and _iou(box, other) >= 0.5 for other in truth)
        chance = box.get("probability")
        words = labels[kind] if chance is None else f"{labels[kind]} {100 * float(chance):.0f} %"
        left, top = x * size[0], y * size[1]
        # Words of boxes at the right edge end where the box ends.
        right = x + w / 2 > 0.6
        at = min(left + w * size[0], size[0] - 1.0) if right else max(left, 1.0)
        drawn.append(
            Markup(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="none" '
                'stroke="{}" stroke-width="2.5"{}/>'
                '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" font-size="11" fill="#fff" '
                'stroke="#000" stroke-width="2.5" paint-order="stroke">{}</text>'
            ).format(
                *(left, top, w * size[0], h * size[1], _colour(kind)),
                Markup("") if fits else Markup(' stroke-dasharray="5 3"'),
                *(at, max(top - 4, 11.0), "end" if right else "start", words),
            )
        )
    return Markup("").join(drawn)


def _mask(answer: Mapping[str, Any], size: tuple[int, int], clear: int) -> Markup:
    """A coloured veil; one class, and cells that nobody labelled, are left clear."""
    from PIL import Image

    cells = _cells(answer)
    colours = np.zeros((256, 4), np.uint8)
    for kind in range(255):
        code = _colour(kind)
        colours[kind] = [*(int(code[at : at + 2], 16) for at in (1, 3, 5)), round(255 * _VEIL)]
    colours[clear] = 0
    image = Image.fromarray(colours[cells])
    # Made larger here: browsers would blur the edges of cells.
    times = -(-_SHOWN // len(cells))
    image = image.resize((len(cells) * times,) * 2, Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "PNG")
    veil = '<image href="{}" width="{}" height="{}" preserveAspectRatio="none"/>'
    return Markup(veil).format(_data(file.getvalue(), "png"), *size)


def _cells(answer: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The class of each cell, [grid, grid]."""
    grid = int(answer["grid"])
    content = base64.b64decode(answer["cells"], validate=True)
    return np.frombuffer(content, np.uint8).reshape(grid, grid)


def _commonest(rows: Sequence[Mapping[str, Any]]) -> int:
    """The class that most cells of the shown pictures have."""
    counts = sum(np.bincount(_cells(row["truth"]).ravel(), minlength=256) for row in rows)
    return int(np.argmax(np.asarray(counts)[:255]))


def _iou(box: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    x, y, w, h = (float(each) for each in box["place"])
    x2, y2, w2, h2 = (float(each) for each in other["place"])
    across = max(0.0, min(x + w, x2 + w2) - max(x, x2))
    down = max(0.0, min(y + h, y2 + h2) - max(y, y2))
    union = w * h + w2 * h2 - across * down
    return across * down / union if union > 0 else 0.0


def _key(labels: Sequence[str], clear: int | None) -> Markup:
    item = Markup('<span class="key"><i class="swatch" style="background:{}"></i>{}</span>')
    return Markup(" ").join(
        item.format(_colour(kind), name)
        for kind, name in enumerate(labels[: len(_COLOURS)])
        if kind != clear
    )


def _colour(kind: int) -> str:
    return _COLOURS[kind % len(_COLOURS)]


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
