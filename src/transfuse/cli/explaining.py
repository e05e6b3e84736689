"""`transfuse explain`: which words or patches drove an answer, in the terminal or as a page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from transfuse.cli.show import note, stdout, table
from transfuse.errors import Problem, TransfuseError

if TYPE_CHECKING:
    from transfuse.answering import ModelFolder
    from transfuse.explaining import Explanation, Grid, Row
    from transfuse.explaining.explanation import PatchWeight, TokenWeight

__all__ = ["explain"]

_NAMED = 8
"""Words or patches whose weight is listed."""

_LEVELS = (0.1, 0.35, 0.7)
"""Shares of the largest weight from which a word or a patch is coloured, and coloured more."""

_FOR = ("blue", "bold blue", "bold white on blue")
_AGAINST = ("yellow", "bold yellow", "bold black on yellow")


def explain(
    folder: Annotated[Path, typer.Argument(help="A model folder, such as runs/NAME/model.")],
    text: Annotated[str | None, typer.Option(help="The text.")] = None,
    image: Annotated[Path | None, typer.Option(help="The picture file.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A .csv, .tsv, .jsonl or .parquet file, or a folder of pictures."),
    ] = None,
    rows: Annotated[int, typer.Option(help="How many rows of --data, from its first.", min=1)] = 10,
    column: Annotated[
        str | None, typer.Option(help="Column that is read. Default: the model's recipe, or found.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The label to explain. Default: the most probable.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="occlusion (any model) or integrated_gradients (networks).")
    ] = "occlusion",
    patches: Annotated[int, typer.Option(help="Patches along a picture's longer side.", min=1)] = 8,
    fill: Annotated[
        str, typer.Option(help="What an emptied patch shows: mean (colour) or blur.")
    ] = "mean",
    html: Annotated[Path | None, typer.Option(help="Write a page here.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a row, for other programs.")
    ] = False,
    task: Annotated[
        str | None, typer.Option("--task", help="Which of a model's tasks. Default: the first.")
    ] = None,
) -> None:
    """Show which words of a text, or which patches of a picture, drove a model's answers.

    Words and patches in blue speak for the answer, those in yellow against it.

    [green]transfuse explain runs/news-to-reviews/model --text "Works like a charm."[/]

    [green]transfuse explain runs/news-to-reviews/model --data reviews.csv --html why.html[/]

    [green]transfuse explain runs/animals/model --image photo.jpg --html why.html[/]
    """
    from transfuse.answering import load_model
    from transfuse.data.images import Picture
    from transfuse.explaining import METHODS, explain_many

    given: list[Row] = [] if text is None else [text]
    given += [] if image is None else [Picture(path=str(image))]
    if len(given) + (data is not None) != 1:
        fix = 'As in `transfuse explain FOLDER --text "..."`, --image FILE, or --data FILE.'
        what = "needs a text, a picture or a file"
        raise TransfuseError(Problem("explain", what, "one of them", fix))
    if method not in METHODS:
        listed = f"one of {', '.join(METHODS)}"
        raise TransfuseError(Problem("--method", f"unknown method {method!r}", listed))
    grid = _grid(patches, fill)
    model = load_model(folder, task=task)
    asked = given if data is None else _rows(model, data, rows, column)
    found = explain_many(model, asked, label=label, method=method, grid=grid)
    if html is not None:
        from transfuse.report import write_explanations

        told = [_drawn(one, row) for one, row in zip(found, asked, strict=True)]
        write_explanations(told, html, str(folder))
    if as_json:
        for one in found:
            typer.echo(json.dumps(one.to_dict(), ensure_ascii=False))
        return
    console = stdout()
    if html is not None:
        console.print(str(html), soft_wrap=True)
        return
    for number, one in enumerate(found):
        if number:
            console.print()
        _show(console, one)


def _grid(patches: int, fill: str) -> "Grid":
    from transfuse.explaining import Grid

    try:
        return Grid(patches, fill)  # type: ignore[arg-type]
    except ValueError as error:
        raise TransfuseError(Problem("--fill", str(error))) from None


def _rows(model: "ModelFolder", data: Path, rows: int, column: str | None) -> "Sequence[Row]":
    from transfuse.answering.reading import open_rows

    opened = open_rows(model, data, column)
    for line in opened.notes:
        note(line)
    return list(opened.table(0, min(rows, len(opened))).inputs(model.reads))


def _drawn(found: "Explanation", row: "Row") -> dict[str, Any]:
    """What a page is drawn from; a picture's page shows it."""
    from transfuse.data.images import Picture, preview

    shown = {"picture": preview(row)} if isinstance(row, Picture) else {}
    return {**found.to_dict(), **shown}


def _show(console: Console, found: "Explanation") -> None:
    """The answer, what was read with its parts coloured, and the strongest parts in numbers."""
    head = Text(found.label, style="bold")
    if found.probability is not None:
        head.append(f"  {found.probability:.1%}", style="not bold")
    console.print(head)
    most = max((abs(unit.weight) for unit in found.units), default=0.0)
    written = found.text is not None
    shown = _words(found, most) if written else _map(found.patches, most)
    console.print(shown, soft_wrap=not console.is_terminal)
    console.print()
    rows = [(*_named(unit), f"{unit.weight:+.3f}") for unit in found.strongest(_NAMED)]
    heads = ("word", "weight") if written else ("row", "column", "weight")
    console.print(table(heads, rows, numbers=1 if written else 3))
    unit = "value" if found.probability is None else "log-odds"
    note(
        f"{unit} {found.score:+.3f}, without its {'words' if written else 'patches'} "
        f"{found.baseline:+.3f}; gap {found.gap:.2g}" + (f". {found.note}" if found.note else "")
    )


def _words(found: "Explanation", most: float) -> Text:
    shown = Text(found.text or "")
    for token in found.tokens:
        level, style = _level(token.weight, most)
        if level:
            shown.stylize(style, token.start, token.end)
    return shown


def _map(patches: "Sequence[PatchWeight]", most: float) -> Text:
    """The grid with a sign for each patch, which says the same where there are no colours."""
    shown = Text()
    for patch in patches:
        if patch.column == 1 and patch.row > 1:
            shown.append("\n")
        level, style = _level(patch.weight, most)
        sign = ("+" if patch.weight > 0 else "−") * level
        shown.append(f"{sign or '·':^4}", style if level else "dim")
    return shown


def _level(weight: float, most: float) -> tuple[int, str]:
    """How much a part is coloured, 0 for not at all, and the colour."""
    share = abs(weight) / most if most else 0.0
    level = sum(share >= step for step in _LEVELS)
    return level, (_FOR if weight > 0 else _AGAINST)[max(0, level - 1)]


def _named(unit: "TokenWeight | PatchWeight") -> tuple[str, ...]:
    from transfuse.explaining import TokenWeight

    return (unit.text,) if isinstance(unit, TokenWeight) else (str(unit.row), str(unit.column))
