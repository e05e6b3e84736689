"""Commands that use a model folder: evaluate, predict."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfuse.cli.show import bars, facts, note, stdout
from transfuse.errors import Problem, TransfuseError

if TYPE_CHECKING:
    from transfuse.answering import ModelFolder

__all__ = ["register"]

Folder = Annotated[Path, typer.Argument(help="A model folder, such as runs/NAME/model.")]
Column = Annotated[
    str | None,
    typer.Option(help="Column of the text. Default: the model's recipe, else inferred."),
]

OneTask = Annotated[
    str | None, typer.Option("--task", help="Which of a model's tasks. Default: the first.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("evaluate")(evaluate)
    app.command("predict")(predict)


def evaluate(
    folder: Folder,
    data: Annotated[Path, typer.Argument(help="A file of labelled rows.")],
    column: Column = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the label. Default: as for the text.")
    ] = None,
    allow_trained_rows: Annotated[
        bool, typer.Option("--allow-trained-rows", help="Count rows that were trained on, too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the scorecard as JSON, for other programs.")
    ] = False,
    task: OneTask = None,
) -> None:
    """Score a model on labelled rows that it has not learnt from.

    [green]transfuse evaluate runs/news-to-reviews/model more-reviews.csv[/]
    """
    from transfuse.answering import load_model
    from transfuse.answering.predict import evaluate_file
    from transfuse.cli.results import scorecard_table

    card, notes = evaluate_file(
        load_model(folder, task=task),
        data,
        column=column,
        label=label,
        allow_trained_rows=allow_trained_rows,
    )
    for line in notes:
        note(line)
    if as_json:
        typer.echo(card.to_json())
    else:
        stdout().print(scorecard_table(card))


def predict(
    folder: Folder,
    data: Annotated[
        Path | None, typer.Argument(help="A .csv, .tsv, .jsonl or .parquet file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The new file; its suffix says which kind."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="One text, answered here.")] = None,
    column: Column = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add the probability of each label.")
    ] = False,
    task: OneTask = None,
) -> None:
    """Answer for each row of a file, or for one text.

    The new file has the columns of the old one, and then the prediction and its confidence.

    [green]transfuse predict runs/news-to-reviews/model reviews.csv --output answers.csv[/]

    [green]transfuse predict runs/news-to-reviews/model --text "Works like a charm."[/]
    """
    from transfuse.answering import load_model

    if text is not None:
        if data is not None or output is not None:
            raise TransfuseError(Problem("--text", "is given beside a file", "one of the two"))
        _answer(load_model(folder, task=task), text)
        return
    if data is None or output is None:
        missing = "the file to read" if data is None else "the file to write (--output)"
        raise TransfuseError(
            Problem(
                "predict",
                f"{missing} is missing",
                fix='As in `transfuse predict FOLDER in.csv --output out.csv`, or --text "...".',
            )
        )
    _write(load_model(folder, task=task), data, output, column, probabilities)


def _answer(model: "ModelFolder", text: str) -> None:
    from transfuse.answering.predict import predict_texts

    (found,) = predict_texts(model, [text])
    console = stdout()
    value = found.value
    told = {"prediction": ", ".join(value) if isinstance(value, list) else str(value)}
    if found.confidence is not None:
        told["confidence"] = f"{found.confidence:.1%}"
    console.print(facts(told))
    if found.probabilities:
        console.print()
        console.print(bars(found.probabilities, ".1%"))


def _write(
    model: "ModelFolder", data: Path, output: Path, column: str | None, probabilities: bool
) -> None:
    from transfuse.answering.predict import predict_file
    from transfuse.cli.progress import RowProgress

    with RowProgress("predicting") as progress:
        notes = predict_file(
            model,
            data,
            output,
            column=column,
            probabilities=probabilities,
            progress=progress,
        )
    for line in notes:
        note(line)
    stdout().print(str(output), soft_wrap=True)
