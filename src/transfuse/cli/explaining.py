"""`transfuse explain`: which words drove an answer, in the terminal or as a page."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from transfuse.cli.show import note, stdout, table
from transfuse.errors import Problem, TransfuseError

if TYPE_CHECKING:
    from transfuse.answering import ModelFolder
    from transfuse.explaining import Explanation

__all__ = ["explain"]

_NAMED = 8
"""Words whose weight is listed."""

_LEVELS = (0.1, 0.35, 0.7)
"""Shares of the largest weight from which a word is coloured, and coloured more."""

_FOR = ("blue", "bold blue", "bold white on blue")
_AGAINST = ("yellow", "bold yellow", "bold black on yellow")


def explain(
    folder: Annotated[Path, typer.Argument(help="A model folder, such as runs/NAME/model.")],
    text: Annotated[str | None, typer.Option(help="The text.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="A .csv, .tsv, .jsonl or .parquet file of texts.")
    ] = None,
    rows: Annotated[int, typer.Option(help="How many rows of --data, from its first.", min=1)] = 10,
    column: Annotated[
        str | None, typer.Option(help="Column of the text. Default: the model's recipe, or found.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The label to explain. Default: the most probable.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="occlusion (any model) or integrated_gradients (networks).")
    ] = "occlusion",
    html: Annotated[Path | None, typer.Option(help="Write a page here.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a text, for other programs.")
    ] = False,
    task: Annotated[
        str | None, typer.Option("--task", help="Which of a model's tasks. Default: the first.")
    ] = None,
) -> None:
    """Show which words drove a model's answers.

    Words in blue speak for the answer, words in yellow against it.

    [green]transfuse explain runs/news-to-reviews/model --text "Works like a charm."[/]

    [green]transfuse explain runs/news-to-reviews/model --data reviews.csv --html why.html[/]
    """
    from transfuse.answering import load_model
    from transfuse.explaining import METHODS, explain_many

    if (text is None) == (data is None):
        fix = 'As in `transfuse explain FOLDER --text "..."`, or --data FILE.'
        raise TransfuseError(Problem("explain", "needs a text or a file", "one of the two", fix))
    if method not in METHODS:
        listed = f"one of {', '.join(METHODS)}"
        raise TransfuseError(Problem("--method", f"unknown method {method!r}", listed))
    model = load_model(folder, task=task)
    texts = [text] if text is not None else _texts(model, data, rows, column)
    found = explain_many(model, texts, label=label, method=method)
    if html is not None:
        from transfuse.report import write_explanations

        write_explanations([one.to_dict() for one in found], html, str(folder))
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


def _texts(model: "ModelFolder", data: Path | None, rows: int, column: str | None) -> list[str]:
    from transfuse.answering.reading import open_rows

    assert data is not None
    opened = open_rows(model, data, column)
    for line in opened.notes:
        note(line)
    return opened.table(0, min(rows, len(opened))).texts()


def _show(console: Console, found: "Explanation") -> None:
    """The answer, the text with its words coloured, and the strongest words in numbers."""
    head = Text(found.label, style="bold")
    if found.probability is not None:
        head.append(f"  {found.probability:.1%}", style="not bold")
    console.print(head)
    most = max((abs(token.weight) for token in found.tokens), default=0.0)
    shown = Text(found.text)
    for token in found.tokens:
        share = abs(token.weight) / most if most else 0.0
        level = sum(share >= step for step in _LEVELS)
        if level:
            style = (_FOR if token.weight > 0 else _AGAINST)[level - 1]
            shown.stylize(style, token.start, token.end)
    console.print(shown, soft_wrap=not console.is_terminal)
    console.print()
    rows = [(token.text, f"{token.weight:+.3f}") for token in found.strongest(_NAMED)]
    console.print(table(("word", "weight"), rows, numbers=1))
    unit = "value" if found.probability is None else "log-odds"
    note(
        f"{unit} {found.score:+.3f}, without its words {found.baseline:+.3f}; gap {found.gap:.2g}"
        + (f". {found.note}" if found.note else "")
    )
