"""What captions and pictures find: a section of a report, with the pictures in the page."""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from transfuse.report.format import plain
from transfuse.report.parts import Section, key
from transfuse.report.stored import told_in

__all__ = ["retrieval_section"]

_FILE = "matches.json"

_LONGEST = 160
"""Characters of a caption that are shown."""


def retrieval_section(folder: Path) -> tuple[Section, ...]:
    """The queries that a study has kept; nothing where it has none.

    Args:
        folder: The study's folder.

    Raises:
        DataError: If the file is damaged.
    """
    section = told_in(folder / _FILE, _section)
    return () if section is None else (section,)


def _section(told: Mapping[str, Any]) -> Section:
    pictures = {row: _picture(one) for row, one in told["pictures"].items()}
    captions = Markup("").join(_by_caption(query, pictures) for query in told["by_caption"])
    shown = Markup("").join(_by_picture(query, pictures) for query in told["by_picture"])
    body = Markup(
        '<h3>Captions looking for their picture</h3><div class="finds">{}</div>'
        '<h3>Pictures looking for their captions</h3><div class="finds">{}</div>'
    ).format(captions, shown)
    lead = Markup(
        "What “{}” finds for some test captions and test pictures, evenly taken and not picked, "
        "among {} pictures and {} captions. {}"
    ).format(plain(told["recipe"]), told["items"], told["captions"], _LEGEND)
    note = Markup(
        "Beside each answer stand its place and its cosine with the query, of one seed. Where no "
        "right answer is among the first, the best right one comes last, with its place among all. "
        "The numbers are those of <code>matches.json</code>."
    )
    return Section("retrieval", "What finds what", lead, body=body, note=note)


_LEGEND = key(("swatch right", "a right answer"))


def _by_caption(query: Mapping[str, Any], pictures: Mapping[str, Markup]) -> Markup:
    answers = Markup("").join(
        Markup('<figure class="find{}">{}<figcaption>{}. {}</figcaption></figure>').format(
            _kind(answer), pictures[str(answer["picture"])], place, _cosine(answer)
        )
        for place, answer in _placed(query)
    )
    return Markup(
        '<div class="query"><p class="asked">{}</p><div class="answers">{}</div></div>'
    ).format(_short(query["text"]), answers)


def _by_picture(query: Mapping[str, Any], pictures: Mapping[str, Markup]) -> Markup:
    answers = Markup("").join(
        Markup('<li class="find{}" value="{}">{} <span class="none">{}</span></li>').format(
            _kind(answer), place, _short(answer["text"]), _cosine(answer)
        )
        for place, answer in _placed(query)
    )
    return Markup(
        '<div class="query seen"><figure class="asked">{}</figure><ol class="said">{}</ol></div>'
    ).format(pictures[str(query["picture"])], answers)


def _picture(told: Mapping[str, Any]) -> Markup:
    if not told["jpeg"]:
        return Markup('<span class="none">no picture</span>')
    # Decoded once more, so that only base64 can come into the page.
    content = base64.b64decode(told["jpeg"], validate=True)
    data = base64.b64encode(content).decode("ascii")
    return Markup('<img src="data:image/jpeg;base64,{}" width="{}" height="{}" alt="">').format(
        data, int(told["width"]), int(told["height"])
    )


def _kind(answer: Mapping[str, Any]) -> str:
    return " right" if answer["right"] else ""


def _cosine(answer: Mapping[str, Any]) -> Markup:
    sign = "right, " if answer["right"] else ""
    return Markup("{}{:.2f}").format(sign, float(answer["cosine"]))


def _placed(query: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each answer with its place; a right one that was appended has that of the query's rank."""
    answers = query["answers"]
    for place, answer in enumerate(answers, 1):
        last_alone = place == len(answers) and answer["right"]
        yield max(place, int(query["rank"])) if last_alone else place, answer


def _short(text: str) -> str:
    text = plain(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
