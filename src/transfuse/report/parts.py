"""What a section of a report is made of: drawings, tables, what unfolds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from transfuse.report.confusion import Matrix
from transfuse.report.results import Recipe
from transfuse.report.tables import Table
from transfuse.report.theme import Spec, draw

__all__ = ["Drawing", "Fold", "Section", "drawn", "folded", "key", "small_drawn"]

NOTHING = Markup("")
WIDE = 820
NARROW = 358


@dataclass(frozen=True)
class Drawing:
    """A figure: one chart drawn twice, for a page and for a phone, or small ones for any width.

    Args:
        name: Unique in the page.
        caption: What is read first.
        wide: The chart for a page. Default: none.
        narrow: The chart for a phone. Default: none.
        cells: Small charts that flow. Default: none.
    """

    name: str
    caption: Markup
    wide: Markup = NOTHING
    narrow: Markup = NOTHING
    cells: tuple[Markup, ...] = ()


@dataclass(frozen=True)
class Fold:
    """What is shown when it is asked for."""

    summary: str
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    matrices: tuple[Matrix, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        name: The anchor.
        title: The heading.
        lead: What was found, in a sentence or two. Default: nothing.
        drawings: Charts.
        tabs: Tables of which one is shown at a time.
        tables: Tables.
        matrices: Confusion matrices.
        folds: What unfolds.
        note: How to read it. Default: nothing.
        body: What is none of these. Default: nothing.
    """

    name: str
    title: str
    lead: Markup = NOTHING
    drawings: tuple[Drawing, ...] = ()
    tabs: tuple[Table, ...] = ()
    tables: tuple[Table, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    folds: tuple[Fold, ...] = ()
    note: Markup = NOTHING
    body: Markup = NOTHING

    @property
    def empty(self) -> bool:
        """Whether there is nothing to look at."""
        return not (self.drawings or self.tabs or self.tables or self.matrices or self.body)


def drawn(
    name: str, chart: Callable[[int], Spec | None], alternative: str, caption: Markup
) -> tuple[Drawing, ...]:
    """The chart in both widths, or nothing."""
    wide, narrow = chart(WIDE), chart(NARROW)
    if wide is None or narrow is None:
        return ()
    return (
        Drawing(
            name,
            caption,
            Markup(draw(wide, f"{name}-w", alternative)),
            Markup(draw(narrow, f"{name}-n", alternative)),
        ),
    )


def small_drawn(
    name: str, charts: Sequence[tuple[Recipe, Spec]], alternative: str, caption: Markup
) -> tuple[Drawing, ...]:
    """Small charts, one a recipe, or nothing."""
    cells = tuple(
        Markup(draw(chart, f"{name}-{index}", f"{recipe.title}: {alternative}"))
        for index, (recipe, chart) in enumerate(charts)
    )
    return (Drawing(name, caption, cells=cells),) if cells else ()


def folded(summary: str, table: Table | None) -> tuple[Fold, ...]:
    """A table that unfolds, or nothing."""
    return () if table is None else (Fold(summary, tables=(table,)),)


def key(*entries: tuple[str, str]) -> Markup:
    """The key of a chart: classes of the style sheet and what they mean."""
    item = Markup('<span class="key"><i class="{}"></i>{}</span>')
    return Markup(" ").join(item.format(*entry) for entry in entries)
