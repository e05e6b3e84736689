"""The section of a report on weights that were chosen without labels of the target."""

from markupsafe import Markup

from transfuse.report.figures import labels
from transfuse.report.format import tagged
from transfuse.report.parts import Section
from transfuse.report.results import Results
from transfuse.report.tables import Cell, Line, Table

__all__ = ["choice_section"]


def choice_section(results: Results) -> Section:
    """What each such choice cost; empty where every choice was made with labels, or none."""
    lines = []
    for recipe in results.recipes:
        rows = [
            results.find("choice", recipe.name, results.focus, metric)
            for metric in ("selected_step", "oracle_step", "regret")
        ]
        if rows[-1] is not None:
            styles = ("count", "count", results.primary.style)
            cells = tuple(Cell(tagged(row, style)) for row, style in zip(rows, styles, strict=True))
            lines.append(Line(recipe.title, cells, recipe.description))
    if not lines:
        return Section("choice", "Choosing without labels")
    caption = Markup("Steps and regret in {}, {}, mean over seeds.").format(
        results.primary.phrase, labels(results.focus)
    )
    table = Table(
        caption, "Recipe", ("step that was chosen", "step of the oracle", "regret"), tuple(lines)
    )
    lead = Markup(
        "These recipes kept the weights that a score without labels of the target preferred. The "
        "oracle is the step that the labels of the test rows would have chosen, and the regret "
        "what was lost by not asking them."
    )
    return Section("choice", "Choosing without labels", lead, tables=(table,))
