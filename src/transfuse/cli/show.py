"""How things look in a terminal: consoles, problems, and plain tables.

Results go to standard output, everything about the way there (notes, progress, problems) to
standard error, so that `transfuse ... > file` keeps what was asked for.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from transfuse.errors import Problem

__all__ = [
    "bars",
    "facts",
    "heading",
    "note",
    "print_problems",
    "span",
    "stderr",
    "stdout",
    "table",
    "version_text",
]

_PIPE_WIDTH = 200
"""Columns where no terminal says how many it has: a log keeps whole lines."""

_BAR = 30


def stdout() -> Console:
    """Where results go: standard output."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def stderr() -> Console:
    """Where everything else goes: standard error."""
    wide = None if sys.stderr.isatty() else _PIPE_WIDTH
    return Console(stderr=True, width=wide, highlight=False)


def note(text: str) -> None:
    """A line about the way to the result."""
    stderr().print(Text(text, style="dim"), soft_wrap=True)


def heading(console: Console, text: str) -> None:
    """A line above what belongs to it."""
    console.print()
    console.print(Text(text, style="bold"))


def print_problems(problems: Iterable[Problem]) -> None:
    """Each problem as a block: the place in bold, then what is wrong and what would be right."""
    console = stderr()
    for problem in problems:
        console.print(Text(problem.where, style="bold"), soft_wrap=True)
        for name, text in (
            ("problem", problem.what),
            ("expected", problem.expected),
            ("fix", problem.fix),
        ):
            if text:
                line = Text.assemble((f"{name:<9} ", "cyan"), text)
                if console.is_terminal:
                    console.print(Padding(line, (0, 0, 0, 2)))
                else:
                    console.print(Text("  ") + line, soft_wrap=True)


def table(heads: Sequence[str], rows: Iterable[Sequence[str | Text]], *, numbers: int = 0) -> Table:
    """A table without lines between rows.

    Args:
        heads: Head of each column.
        rows: Cells of each row.
        numbers: How many of the last columns hold numbers, which stand to the right.
    """
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, head in enumerate(heads):
        right = place >= len(heads) - numbers
        made.add_column(head, justify="right" if right else "left", no_wrap=right)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def facts(rows: Mapping[str, str]) -> RenderableType:
    """Names and values under each other."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="cyan", no_wrap=True)
    for name, value in rows.items():
        made.add_row(Text(name), Text(value))
    return made


def bars(values: Mapping[str, float], form: str = ",") -> RenderableType:
    """Amounts as horizontal bars, each with its number; counts with their share as well.

    Args:
        values: Name to amount.
        form: Format specification of the numbers. Default: counts.
    """
    most, total = max(values.values(), default=1), sum(values.values())
    made = Table.grid(padding=(0, 2))
    made.add_column(style="cyan")
    made.add_column()
    made.add_column(justify="right")
    for name, value in values.items():
        cells: list[RenderableType] = [
            Text(name),
            _bar(value / (most or 1)),
            format(value, form),
        ]
        if form == ",":
            cells.append(Text(f"{value / (total or 1):.1%}", style="dim", justify="right"))
        made.add_row(*cells)
    return made


def _bar(share: float) -> Text:
    eighths = round(share * _BAR * 8)
    whole, rest = divmod(eighths, 8)
    return Text("█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else ""), style="blue")


def span(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def version_text() -> str:
    """The name and version of this program."""
    try:
        return f"transfuse {version('transfuse')}"
    except PackageNotFoundError:
        return "transfuse, not installed as a package"
