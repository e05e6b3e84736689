"""What is taken for what: matrices for a few labels, the most confused pairs for many.

These are HTML tables tinted by CSS, not charts: the counts stay text that can be read, searched and
traced to their rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from transfuse.report.format import plain, tagged
from transfuse.report.results import Recipe, Results, Row
from transfuse.report.tables import Cell, Line, Table

__all__ = ["MOST_LABELS", "Matrix", "matrix", "pairs"]

MOST_LABELS = 12
"""More labels than this are shown as pairs."""
MOST_PAIRS = 10
ARROW = "→"


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix of one recipe: true labels down, predicted labels across."""

    title: str
    labels: tuple[str, ...]
    lines: tuple[Line, ...]


def _split(x: str, labels: set[str]) -> tuple[str, str]:
    """True and predicted label of "true→predicted", also where a label holds an arrow."""
    parts = x.split(ARROW)
    options = [
        (ARROW.join(parts[:cut]), ARROW.join(parts[cut:])) for cut in range(1, len(parts))
    ] or [(x, "")]
    return next((pair for pair in options if set(pair) <= labels), options[0])


def _counts(results: Results, recipe: Recipe, budget: int) -> dict[tuple[str, str], Row]:
    labels = {plain(label) for label in results.study.get("labels") or ()}
    rows = [row for row in results.of("confusion") if row.recipe == recipe.name]
    for chosen in (budget, 0):
        found = {_split(row.x, labels): row for row in rows if row.budget == chosen}
        if found:
            return found
    return {}


def _labels(results: Results, counts: Mapping[tuple[str, str], Row]) -> tuple[str, ...]:
    listed = [plain(label) for label in results.study.get("labels") or ()]
    return tuple(dict.fromkeys([*listed, *(label for pair in counts for label in pair)]))


def _total(counts: Mapping[tuple[str, str], Row], true: str) -> float:
    return sum(row.value for pair, row in counts.items() if pair[0] == true and row.measured)


def matrix(results: Results, recipe: Recipe, budget: int) -> Matrix | None:
    """The mean counts of one recipe at one budget, tinted by their share of the true label.

    Nothing where there are no counts or more than `MOST_LABELS` labels.
    """
    counts = _counts(results, recipe, budget)
    labels = _labels(results, counts)
    if not counts or len(labels) > MOST_LABELS:
        return None
    lines = []
    for true in labels:
        total = _total(counts, true)
        cells = []
        for predicted in labels:
            row = counts.get((true, predicted))
            share = row.value / total if row is not None and row.measured and total > 0 else 0.0
            kind = "right" if true == predicted else "wrong"
            cells.append(Cell(tagged(row, "count"), kind, f"--heat:{share:.3f}"))
        lines.append(Line(true, tuple(cells)))
    return Matrix(recipe.title, labels, tuple(lines))


def pairs(results: Results, recipe: Recipe, budget: int) -> Table | None:
    """The pairs of labels that a recipe confuses most, by mean count.

    Nothing where no two labels are confused or a matrix shows them all.
    """
    counts = _counts(results, recipe, budget)
    if len(_labels(results, counts)) <= MOST_LABELS:
        return None
    wrong = [(pair, row) for pair, row in counts.items() if pair[0] != pair[1] and row.value > 0]
    wrong.sort(key=lambda item: -item[1].value)
    lines = []
    for (true, predicted), row in wrong[:MOST_PAIRS]:
        name = Markup('<span class="label">{}</span>').format(predicted)
        lines.append(Line(true, (Cell(name, "words"), Cell(tagged(row, "count")))))
    if not lines:
        return None
    caption = Markup("The pairs that {} confuses most, mean count over seeds.")
    heads = ("Taken for", "Times")
    return Table(caption.format(recipe.title), "True label", heads, tuple(lines), "pairs")
