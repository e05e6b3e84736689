"""Numbers and names as people read them.

A number of a report is shown by `tagged`, which leaves the row and the column that it comes from in
the page beside it; the styles say how a stored value becomes text and nothing else does.
"""

import math
import unicodedata
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup, escape

__all__ = ["STYLES", "Measure", "between", "measure_of", "plain", "shown", "tagged"]

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


class Numbered(Protocol):
    """Anything that knows its row in `study.parquet`."""

    @property
    def row(self) -> int:
        """The number of the row."""
        ...


@dataclass(frozen=True)
class Measure:
    """How one metric is named and written.

    Args:
        name: Its name in `study.parquet`.
        title: What people read.
        share: Whether it is a share of 1, written in percent, with differences in points.
        sign: 1 where more is better, -1 where less is.
        note: What it means, in one sentence. Default: none.
    """

    name: str
    title: str
    share: bool = False
    sign: int = 1
    note: str = ""

    @property
    def style(self) -> str:
        """The style of its values."""
        return "percent" if self.share else "number"

    @property
    def gain_style(self) -> str:
        """The style of its differences."""
        return "points" if self.share else "signed"

    @property
    def unit(self) -> str:
        """The unit of its values, for axes and column heads."""
        return "%" if self.share else ""

    @property
    def gain_unit(self) -> str:
        """The unit of its differences."""
        return "points" if self.share else ""

    @property
    def scale(self) -> float:
        """What a stored value is multiplied with to be shown."""
        return 100.0 if self.share else 1.0

    @property
    def phrase(self) -> str:
        """The title inside a sentence."""
        keep = len(self.title) > 1 and not self.title[1].islower()
        return self.title if keep else self.title[0].lower() + self.title[1:]


_MEASURES = {
    measure.name: measure
    for measure in (
        Measure("accuracy", "Accuracy", True, note="Share of test rows that are right."),
        Measure(
            "macro_precision",
            "Macro precision",
            True,
            note="Of the rows given a label, the share that have it; mean over labels.",
        ),
        Measure(
            "macro_recall",
            "Macro recall",
            True,
            note="Of the rows that have a label, the share given it; mean over labels.",
        ),
        Measure(
            "macro_f1",
            "Macro F1",
            True,
            note="Harmonic mean of precision and recall; mean over labels.",
        ),
        Measure("micro_f1", "Micro F1", True, note="F1 over all label decisions together."),
        Measure("label_macro_f1", "Macro F1", True, note="Mean over labels of each label's F1."),
        Measure(
            "subset_accuracy", "Exact match", True, note="Share of rows with every label right."
        ),
        Measure(
            "hamming_loss", "Hamming loss", True, -1, "Share of label decisions that are wrong."
        ),
        Measure(
            "log_loss",
            "Log loss",
            False,
            -1,
            "Mean surprise at the true label, in nats; less is better.",
        ),
        Measure("r2", "R²", note="Share of the variance explained."),
        Measure("rmse", "RMSE", False, -1, "Root mean squared error; less is better."),
        Measure("mae", "MAE", False, -1, "Mean absolute error; less is better."),
        Measure("pearson", "Pearson r", note="Linear correlation with the true values."),
        Measure(
            "map", "mAP@[.5:.95]", True, note="Average precision, mean over classes and overlaps."
        ),
        Measure("map50", "mAP@.5", True, note="Average precision at an overlap of half."),
        Measure("map75", "mAP@.75", True, note="Average precision at an overlap of 3/4."),
        Measure("miou", "Mean IoU", True, note="Shared area over joint area, mean over classes."),
        Measure("pixel_accuracy", "Pixels right", True, note="Share of labelled cells."),
        Measure("ece", "ECE", True, -1, "Expected calibration error; less is better."),
        Measure("ece_scaled", "ECE after scaling", True, -1),
        Measure("seconds", "Seconds", False, -1),
    )
}


def measure_of(name: str) -> Measure:
    """The measure of a metric; an unknown metric is named by its name and more is better."""
    known = _MEASURES.get(name)
    if known is not None:
        return known
    words = name.replace("_", " ").strip() or "score"
    return Measure(name, words[0].upper() + words[1:])


def plain(value: object) -> str:
    """Text from outside, fit for HTML and SVG: no control characters, no lone surrogates.

    A tab or a line break becomes a space, what cannot be written a replacement character.
    """
    if value is None:
        return ""
    return "".join(
        " "
        if character in "\t\r\n"
        else "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character) in ("Cc", "Cs", "Cn")
        else character
        for character in str(value)
    )


def _fixed(value: float, digits: int, sign: bool = False) -> str:
    text = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    if not any(digit in "123456789" for digit in text):
        return text.lstrip("+-")  # a zero has no sign, however it was rounded
    return text.replace("-", MINUS)


def _significant(value: float, sign: bool = False) -> str:
    size = abs(value)
    if size and not 1e-4 <= size < 1e9:
        text = f"{value:+.2e}" if sign else f"{value:.2e}"
        return text.replace("-", MINUS)
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    if 0 < size < 0.01:
        digits = 5
    return _fixed(value, digits, sign)


def _si(value: float) -> str:
    for size, suffix in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * size:
            return _significant(value / size) + suffix
    return _fixed(value, 0)


def _count(value: float) -> str:
    return _fixed(value, 0 if value == round(value) or abs(value) >= 100 else 1)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


STYLES = {
    "percent": lambda value: _fixed(100 * value, 1),
    "points": lambda value: _fixed(100 * value, 1, sign=True),
    "number": _significant,
    "signed": lambda value: _significant(value, sign=True),
    "si": _si,
    "count": _count,
    "p": _p,
}
"""How a stored value becomes text, by the name of the style."""


def shown(value: float, style: str) -> str:
    """A value as text.

    Args:
        value: The stored value; not measured is NaN.
        style: A name of `STYLES`.

    Examples:
        >>> shown(0.8312, "percent"), shown(-0.0123, "points"), shown(22_713_216, "si")
        ('83.1', '−1.2', '22.7 M')
    """
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    return STYLES[style](value)


def tagged(row: Numbered | None, style: str, field: str = "value") -> Markup:
    """A number of the page, marked with the row and the column of `study.parquet` that it is.

    Args:
        row: Where the number is stored; nothing shows a dash.
        style: A name of `STYLES`.
        field: The column of the row. Default: "value".
    """
    value = math.nan if row is None else float(getattr(row, field))
    if row is None or math.isnan(value):
        return Markup('<span class="none" title="not measured">{}</span>').format(NOTHING)
    return Markup(
        '<data value="{}" data-row="{}" data-field="{}" data-style="{}">{}</data>'
    ).format(f"{value:.17g}", row.row, field, style, escape(shown(value, style)))


def between(row: Numbered | None, style: str) -> Markup:
    """The interval of a row, both ends marked; empty where there is none."""
    if row is None or any(math.isnan(float(getattr(row, end))) for end in ("low", "high")):
        return Markup("")
    word = NOTHING if style == "percent" else " to "
    return Markup('<span class="interval">{}{}{}</span>').format(
        tagged(row, style, "low"), word, tagged(row, style, "high")
    )
