"""Data cards as people read them: balance, lengths, what cleaning did, overlaps, distances.

A card's numbers come from `study.json`, or from the card itself, and carry the JSON pointer to
their place there (`data-json`), as those of the study carry their row.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from transfuse.report.format import plain, shown
from transfuse.report.pictures import (
    inline_images,
    picture_counts,
    picture_spreads,
    picture_strips,
)

__all__ = ["Bar", "Card", "Histogram", "card_of", "noted"]

MOST_BARS = 20
_TITLES = {
    "rows_before": "Rows read",
    "rows_after": "Rows kept",
    "unicode": "Texts with other Unicode forms, unified",
    "control": "Texts with control characters, removed",
    "whitespace": "Texts with stray white space, removed",
    "empty": "Empty rows left out",
    "duplicates": "Duplicates left out",
    "near_duplicates": "Near-duplicates left out",
    "conflicts": "Rows left out: same text, another label",
    "conflicts_kept": "Rows kept: same text, another label",
    "near_conflicts": "Rows near one with another label, kept",
}


@dataclass(frozen=True)
class Bar:
    """A named number with the length of its bar in percent."""

    name: str
    number: Markup
    length: str
    share: str = ""


@dataclass(frozen=True)
class Histogram:
    """Counts in bins: rectangles in a box of 240 by 60, and the words for it."""

    title: str
    boxes: tuple[tuple[float, float, float, float, str], ...]
    ends: tuple[Markup, Markup]
    summary: Markup


@dataclass(frozen=True)
class Finding:
    """Something that was counted, with examples."""

    title: str
    numbers: tuple[Markup, ...]
    examples: tuple[str, ...] = ()
    sheets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """One table's card."""

    title: str
    name: str
    facts: tuple[Finding, ...]
    bars: tuple[Bar, ...]
    more: str
    histograms: tuple[Histogram, ...]
    cleaning: tuple[Finding, ...]
    overlaps: tuple[Finding, ...]
    distances: tuple[Finding, ...]
    notes: tuple[str, ...]
    columns: str
    fingerprint: str
    strips: tuple[tuple[str, str], ...] = ()


def noted(value: Any, pointer: str, style: str = "count") -> Markup:
    """A number of a JSON file, marked with its place there.

    Args:
        value: The number; anything else is shown as a dash.
        pointer: A JSON pointer (RFC 6901).
        style: A name of `transfuse.report.format.STYLES`. Default: count.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or math.isnan(value):
        return Markup('<span class="none" title="not measured">–</span>')
    return Markup('<data value="{}" data-json="{}" data-style="{}">{}</data>').format(
        f"{value:.17g}", pointer, style, escape(shown(float(value), style))
    )


def _step(pointer: str, name: str) -> str:
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(plain(value) for value in _sequence(values) if plain(value))


def _facts(card: Mapping[str, Any], pointer: str) -> tuple[Finding, ...]:
    entries = (
        ("rows", "Rows", "count"),
        ("groups", "Documents or groups", "count"),
        ("largest_group", "Rows of the largest", "count"),
        ("duplicates", "Duplicates", "count"),
        ("balance", "Balance of labels, 0 to 1", "number"),
    )
    found = [
        Finding(title, (noted(card[name], _step(pointer, name), style),))
        for name, title, style in entries
        if card.get(name) is not None
    ]
    scripts = _mapping(card.get("scripts"))
    for name, share in scripts.items():
        if share and share >= 0.001:
            number = noted(share, _step(_step(pointer, "scripts"), name), "percent")
            title = {"latin": "Latin letters, %", "han": "Chinese characters, %"}.get(
                name, f"{plain(name)} letters, %".capitalize()
            )
            found.append(Finding(title, (number,)))
    found += [
        Finding(title, (noted(count, at),)) for title, count, at in picture_counts(card, pointer)
    ]
    return tuple(found)


def _bars(card: Mapping[str, Any], pointer: str) -> tuple[tuple[Bar, ...], str]:
    counts = {
        name: count for name, count in _mapping(card.get("labels")).items()
        if isinstance(count, int | float)
    }  # fmt: skip
    most = max(counts.values(), default=0) or 1
    place = _step(pointer, "labels")
    bars = tuple(
        Bar(plain(name), noted(count, _step(place, name)), f"{100 * count / most:.1f}%")
        for name, count in list(counts.items())[:MOST_BARS]
    )
    rest = len(counts) - len(bars)
    return bars, f"and {rest:,} more labels" if rest > 0 else ""


def _histogram(spread: Any, title: str, pointer: str) -> Histogram | None:
    counts, edges = (
        _sequence(_mapping(spread).get("counts")),
        _sequence(_mapping(spread).get("edges")),
    )
    quantiles = _mapping(_mapping(spread).get("quantiles"))
    if not counts or len(edges) != len(counts) + 1 or max(counts) <= 0:
        return None
    width = 240 / len(counts)
    boxes = tuple(
        (
            round(index * width + 0.5, 2),
            round(60 - 58 * count / max(counts), 2),
            round(max(width - 1, 0.5), 2),
            round(58 * count / max(counts), 2),
            f"{shown(edges[index], 'number')} to {shown(edges[index + 1], 'number')}: {count:,}",
        )
        for index, count in enumerate(counts)
    )
    place = _step(pointer, "quantiles")
    parts = [
        Markup("{} {}").format(word, noted(quantiles[key], _step(place, key)))
        for key, word in (("50", "median"), ("95", "95 % up to"), ("100", "longest"))
        if key in quantiles
    ]
    ends = tuple(noted(edges[at], f"{_step(pointer, 'edges')}/{at % len(edges)}") for at in (0, -1))
    return Histogram(title, boxes, (ends[0], ends[1]), Markup(", ").join(parts))


def _cleaning(card: Mapping[str, Any], pointer: str) -> tuple[Finding, ...]:
    report = _mapping(card.get("cleaning"))
    place = _step(_step(pointer, "cleaning"), "counts")
    examples = _mapping(report.get("examples"))
    return tuple(
        Finding(
            _TITLES.get(name, plain(name).replace("_", " ").capitalize()),
            (noted(count, _step(place, name)),),
            _texts(examples.get(name)),
        )
        for name, count in _mapping(report.get("counts")).items()
        if count or name in ("rows_before", "rows_after")
    )


def _listed(card: Mapping[str, Any], pointer: str, key: str) -> list[tuple[Mapping[str, Any], str]]:
    place = _step(pointer, key)
    entries = enumerate(_sequence(card.get(key)))
    return [(_mapping(entry), f"{place}/{index}") for index, entry in entries]


def card_of(card: Mapping[str, Any], title: str, pointer: str = "") -> Card:
    """A data card, ready for the page.

    Args:
        card: `DataCard.to_json()`; what is missing is left out.
        title: What the table is to the study: target or source.
        pointer: Where the card is in its JSON file. Default: it is the file.
    """
    bars, more = _bars(card, pointer)
    spreads = (("words", "Words of a text"), ("label_values", "Labels"))
    histograms = (
        *(_histogram(card.get(name), name_, _step(pointer, name)) for name, name_ in spreads),
        *(_histogram(*each) for each in picture_spreads(card, pointer)),
    )
    return Card(
        title=title,
        name=plain(card.get("name")),
        facts=_facts(card, pointer),
        bars=bars,
        more=more,
        histograms=tuple(histogram for histogram in histograms if histogram),
        cleaning=_cleaning(card, pointer),
        overlaps=tuple(
            Finding(
                plain(entry.get("other")),
                (noted(entry.get("exact"), f"{at}/exact"), noted(entry.get("near"), f"{at}/near")),
                _texts(entry.get("examples")),
                inline_images(entry.get("sheets")),
            )
            for entry, at in _listed(card, pointer, "overlaps")
        ),
        distances=tuple(
            Finding(
                plain(entry.get("measure")),
                (noted(entry.get("value"), f"{at}/value", "number"),),
                (f"to {plain(entry.get('other'))}", *_texts([entry.get("note") or ""])),
            )
            for entry, at in _listed(card, pointer, "distances")
        ),
        notes=_texts(card.get("notes")),
        columns=", ".join(
            f"{plain(name)} ({plain(role)})" for name, role in _mapping(card.get("roles")).items()
        ),
        fingerprint=plain(card.get("fingerprint")),
        strips=picture_strips(card),
    )
