"""Answers explained part by part: a section of a report, and a page of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from transfuse.report.format import plain, shown
from transfuse.report.parts import Section, key
from transfuse.report.stored import told_in

__all__ = ["explained_section", "explanation_block"]

_FILE = "explained.json"

_TITLES = {
    "right": "Sure and right",
    "wrong": "Sure and wrong",
    "unsure": "Least certain",
}

_FAINT = 0.12
"""Words and patches of less than this share of the largest weight are left plain."""

_NAMED = 4
"""Words or patches whose weight is written out."""

_LONGEST = 700
"""Characters of a text that are shown."""

_LONGEST_WORD = 60
"""Characters of a word that are shown beside its weight."""

LEGEND = key(("swatch for", "speaks for the answer"), ("swatch against", "speaks against it"))


def explained_section(folder: Path) -> tuple[Section, ...]:
    """The rows that a study has explained; nothing where it has not.

    Args:
        folder: The study's folder.

    Raises:
        DataError: If the file is damaged.
    """
    blocks = told_in(folder / _FILE, _blocks)
    if blocks is None:
        return ()
    group = Markup('<h3>{}</h3><div class="whys">{}</div>')
    body = Markup("").join(
        group.format(_TITLES[kind], Markup("").join(found))
        for kind, found in blocks.items()
        if found
    )
    if not body:
        return ()
    lead = Markup(
        "Test rows of the model that this study keeps, and the words that drove its answers. {}"
    ).format(LEGEND)
    note = Markup(
        "Each word was left out in turn; its weight is what the answer’s log-odds ln(p / (1 − p)) "
        "then lose. Where several words say the same, each alone weighs little. Shades are "
        "relative to the strongest word of a text. A weight says what the model reacts to, not why "
        "the world is so. The numbers are those of <code>explained.json</code>."
    )
    return (Section("explained", "Answers explained", lead, body=body, note=note),)


def _blocks(told: Mapping[str, Any]) -> dict[str, list[Markup]]:
    """The explained rows by kind."""
    return {
        kind: [
            explanation_block(row, f"/rows/{place}")
            for place, row in enumerate(told["rows"])
            if row["kind"] == kind
        ]
        for kind in _TITLES
    }


def explanation_block(told: Mapping[str, Any], place: str = "") -> Markup:
    """One text with its words, or one picture with its patches, shaded by what they say.

    Args:
        told: `Explanation.to_dict()`, `picture` with the address of a picture, and `truth` where
            the true label is known.
        place: Where it stands in `explained.json`. Default: nowhere.
    """
    units = "tokens" if "tokens" in told else "patches"
    most = max((abs(unit["weight"]) for unit in told[units]), default=0.0)
    shown = _text(told, most) if units == "tokens" else _picture(told, most)
    block = Markup('<div class="why"><p class="answer">{}{}</p>{}{}</div>')
    return block.format(_answer(told, place), _way(told), shown, _strongest(told, units, place))


def _text(told: Mapping[str, Any], most: float) -> Markup:
    text, at, parts = told["text"], 0, []
    for token in told["tokens"]:
        if token["end"] > _LONGEST:
            parts.append(Markup("{}").format(plain(text[at:_LONGEST])))
            break
        parts.append(Markup("{}").format(plain(text[at : token["start"]])))
        parts.append(_word(token, most))
        at = token["end"]
    rest = text[at:]
    cut = Markup(' <span class="none">… cut</span>') if len(text) > _LONGEST and rest else rest
    words = Markup("").join([*parts, Markup("{}").format(cut)])
    return Markup('<p class="words">{}</p>').format(words)


def _picture(told: Mapping[str, Any], most: float) -> Markup:
    """The picture, and beside it in grey under its shaded patches."""
    width, height = told["size"]
    patches = Markup("").join(_patch(patch, most) for patch in told["patches"])
    drawn = Markup(
        '<div class="heat" style="--picture:url({});--ratio:{}/{}">'
        '<span class="seen" role="img" aria-label="The picture"></span>'
        '<span class="felt"><svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="Its patches, shaded by their weights">{}</svg></span></div>'
    )
    return drawn.format(told["picture"], width, height, width, height, patches)


def _patch(patch: Mapping[str, Any], most: float) -> Markup:
    share = abs(patch["weight"]) / most if most else 0.0
    left, top, right, bottom = patch["box"]
    side = "plain" if share < _FAINT else "pro" if patch["weight"] > 0 else "contra"
    mark = Markup(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" style="--share:{}%">'
        "<title>{}: {}</title></rect>"
    )
    box = left, top, right - left, bottom - top
    return mark.format(
        side, *box, round(100 * share), _name(patch), shown(patch["weight"], "signed")
    )


def _name(unit: Mapping[str, Any]) -> str:
    if "box" in unit:
        return f"row {unit['row']}, column {unit['column']}"
    return _short(plain(unit["text"]))


def _way(told: Mapping[str, Any]) -> Markup:
    """How gradients were summed, and how well; occlusion has nothing to close."""
    if told["method"] != "integrated_gradients":
        return Markup("")
    way = Markup(' <span class="none">· integrated gradients, {} points, gap {}{}</span>')
    note = f". {plain(told['note'])}" if told["note"] else ""
    return way.format(told["steps"], shown(told["gap"], "number"), note)


def _word(token: Mapping[str, Any], most: float) -> Markup:
    share = abs(token["weight"]) / most if most else 0.0
    if share < _FAINT:
        return Markup("{}").format(plain(token["text"]))
    side = "for" if token["weight"] > 0 else "against"
    mark = Markup('<span class="{}" style="--share:{}%" title="{}">{}</span>')
    weight = shown(token["weight"], "signed")
    return mark.format(side, round(100 * share), weight, plain(token["text"]))


def _answer(told: Mapping[str, Any], place: str) -> Markup:
    answer = Markup("<strong>{}</strong>").format(plain(told["label"]))
    if told.get("probability") is not None:
        answer += Markup(" {} %").format(
            _number(told["probability"], "percent", place, "probability")
        )
    truth = told.get("truth")
    if truth is None:
        return answer
    if truth == told["label"]:
        return answer + Markup(' <span class="none">· right</span>')
    wrong = Markup(' <span class="none">· wrong, it is</span> <strong>{}</strong>')
    return answer + wrong.format(plain(truth))


def _strongest(told: Mapping[str, Any], units: str, place: str) -> Markup:
    """The strongest words or patches with their weights, for those who see no shades."""
    found = told[units]
    ranked = sorted(range(len(found)), key=lambda at: (-abs(found[at]["weight"]), at))[:_NAMED]
    named = [
        Markup('<span class="named">{} {}</span>').format(
            _name(found[at]),
            _number(found[at]["weight"], "signed", place, f"{units}/{at}/weight"),
        )
        for at in ranked
        if found[at]["weight"]
    ]
    if not named:
        what = "word" if units == "tokens" else "patch"
        return Markup('<p class="note">No {} changes the answer on its own.</p>').format(what)
    return Markup('<p class="note">{}</p>').format(Markup(" · ").join(named))


def _short(word: str) -> str:
    """A word that is not worth a page, such as an address or many words left out together."""
    return word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}…"


def _number(value: float, style: str, place: str, name: str) -> Markup:
    text = shown(float(value), style)
    if not place:
        return Markup("<data value='{}'>{}</data>").format(f"{value:.17g}", text)
    mark = '<data value="{}" data-explained="{}/{}" data-style="{}">{}</data>'
    return Markup(mark).format(f"{value:.17g}", place, name, style, text)
