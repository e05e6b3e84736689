"""One HTML file that holds a whole study: read `write_report` first.

The page has no script and loads nothing: a content security policy in its head forbids both, so
that names out of data can do no harm and the file reads the same in ten years. Switches of theme
and metric are radio buttons and CSS.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from transfuse.files import write_whole
from transfuse.report import findings
from transfuse.report.card import Card, card_of
from transfuse.report.explained import LEGEND, explained_section, explanation_block
from transfuse.report.figures import labels
from transfuse.report.format import plain
from transfuse.report.overlays import overlay_section
from transfuse.report.results import Results
from transfuse.report.retrieval import retrieval_section
from transfuse.report.sections import sections
from transfuse.report.theme import DARK, LIGHT

__all__ = ["write_card", "write_explanations", "write_report"]

USES = {"target": "Target", "source": "Source", "validation": "Validation", "test": "Test"}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("transfuse.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(light=LIGHT, dark=DARK)
    return environment


def _style(environment: jinja2.Environment) -> Markup:
    return Markup(environment.get_template("style.css.j2").render())


def write_report(folder: Path | str) -> Path:
    """Write `report.html` beside the numbers of a study.

    Args:
        folder: Where `study.parquet` and `study.json` are.

    Returns:
        The page: one file that needs no network and no script. Every number of the study in it
        carries the row of `study.parquet` that it is (`data-row`), every number about the data its
        place in `study.json` (`data-json`).

    Raises:
        DataError: If a file of the study is missing or not readable.
    """
    folder = Path(folder)
    results = Results.read(folder)
    environment = _environment()
    page = environment.get_template("report.html.j2").render(
        style=_style(environment),
        title=results.title,
        description=plain(results.study.get("description")),
        summary=_summary(results),
        headline=findings.headline(results),
        facts=findings.facts(results),
        sections=(
            *sections(results),
            *retrieval_section(folder),
            *overlay_section(folder),
            *explained_section(folder),
        ),
        cards=_cards(results.study),
        notes=[plain(note) for note in results.study.get("notes") or ()],
        method=_method(results),
        recipes=_recipes(results.study),
        environment=_flat(results.study.get("environment") or {}),
        command=plain(results.study.get("command")) or f"transfuse run {results.name}",
    )
    path = folder / "report.html"
    write_whole(path, page)
    return path


def write_card(card: Mapping[str, Any], path: Path | str) -> Path:
    """Write one data card as a page.

    Args:
        card: `DataCard.to_json()`.
        path: Where the page goes.

    Returns:
        The path.
    """
    environment = _environment()
    page = environment.get_template("card.html.j2").render(
        style=_style(environment), card=card_of(card, "")
    )
    path = Path(path)
    write_whole(path, page)
    return path


def write_explanations(
    explanations: Sequence[Mapping[str, Any]], path: Path | str, title: str
) -> Path:
    """Write explained answers as a page.

    Args:
        explanations: `Explanation.to_dict()` of each.
        path: Where the page goes.
        title: The model's name.

    Returns:
        The path.
    """
    environment = _environment()
    page = environment.get_template("explained.html.j2").render(
        style=_style(environment),
        title=plain(title),
        legend=LEGEND,
        blocks=[explanation_block(each) for each in explanations],
    )
    path = Path(path)
    write_whole(path, page)
    return path


def _summary(results: Results) -> list[str]:
    """What was compared, in a few words each."""
    said = [f"{len(results.given)} recipes" if len(results.given) != 1 else "1 recipe"]
    budgets = [f"{budget:,}" for budget in results.budgets]
    listed = f"{', '.join(budgets[:-1])} and {budgets[-1]}" if len(budgets) > 1 else budgets[0]
    said.append(f"{listed} target labels" if results.budgets[-1] else labels(0))
    seeds = len(results.study.get("seeds") or ())
    if seeds:
        said.append(f"{seeds} seeds" if seeds != 1 else "1 seed")
    rows = results.study.get("rows")
    if isinstance(rows, Mapping) and isinstance(rows.get("test"), int):
        said.append(f"{rows['test']:,} test rows")
    seconds = results.study.get("seconds")
    if isinstance(seconds, int | float) and seconds > 0:
        minutes, rest = divmod(round(seconds), 60)
        said.append(f"{minutes} min {rest:02d} s" if minutes else f"{rest} s")
    return said


def _cards(study: Mapping[str, Any]) -> list[Card]:
    data = study.get("data")
    if not isinstance(data, Mapping):
        return []
    return [
        card_of(card, USES.get(use, plain(use)), f"/data/{use}")
        for use, card in data.items()
        if isinstance(card, Mapping) and card
    ]


def _recipes(study: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Title, description and YAML of each recipe as it was run."""
    found = []
    for entry in study.get("recipes") or ():
        if isinstance(entry, Mapping):
            recipe = entry.get("recipe")
            text = yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False) if recipe else ""
            title = plain(entry.get("title") or entry.get("name"))
            lines = "\n".join(plain(line) for line in text.splitlines())
            found.append((title, plain(entry.get("description")), lines))
    return found


def _flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines of name and value."""
    if not isinstance(values, Mapping):
        return []
    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        title = f"{prefix}{plain(name)}"
        if isinstance(value, Mapping):
            lines.extend(_flat(value, f"{title} "))
        elif isinstance(value, list | tuple):
            lines.append((title, ", ".join(plain(item) for item in value)))
        else:
            lines.append((title, plain(value) if isinstance(value, str) else json.dumps(value)))
    return lines


def _method(results: Results) -> list[tuple[str, str]]:
    """How the numbers were made."""
    confidence = f"{100 * float(results.study.get('confidence') or 0.95):g} %"
    rows = results.study.get("rows")
    documents = "test documents"
    if isinstance(rows, Mapping) and isinstance(rows.get("test_documents"), int):
        documents = f"the {rows['test_documents']:,} test documents"
    return [
        (
            "Scores",
            f"Mean over seeds {results.where}, which no recipe and no choice ever saw. "
            "All recipes share one split and, for a seed, the same labelled rows; a smaller budget "
            "is part of the larger one.",
        ),
        (
            "Intervals",
            f"{confidence} bootstrap intervals: {documents} and the seeds are drawn again "
            "together, documents whole, since sentences of one document are alike. All recipes see "
            "the same draws, so that the interval of a gain is that of a difference, not the "
            "difference of two intervals.",
        ),
        (
            "Significance",
            "Two-sided p-values of no difference, corrected by Holm’s method over all recipes that "
            "are compared with one baseline at one budget. A filled dot is p < 0.05 after it.",
        ),
        (
            "Negative transfer",
            "A recipe that transfers and whose whole interval lies below its baseline. It is red "
            "wherever it occurs and named above the chart.",
        ),
        (
            "Validation rows",
            "They decide early stopping where a recipe asks for it, the strength of the classical "
            "model, the temperature that calibrates, and which recipe opens this report. They are "
            "part of no budget and of no score.",
        ),
    ]
