"""Commands that use a model folder: evaluate, predict, explain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfuse.cli.explaining import explain
from transfuse.cli.show import bars, facts, note, stdout
from transfuse.errors import Problem, TransfuseError

if TYPE_CHECKING:
    from transfuse.answering import ModelFolder
    from transfuse.answering.doubt import Doubt

__all__ = ["register"]

Folder = Annotated[Path, typer.Argument(help="A model folder, such as runs/NAME/model.")]
Column = Annotated[
    str | None,
    typer.Option(help="Column of the text. Default: the model's recipe, else inferred."),
]

OneTask = Annotated[
    str | None, typer.Option("--task", help="Which of a model's tasks. Default: the first.")
]

Sets = Annotated[
    float | None,
    typer.Option(
        help="Add a set of labels (or an interval) that holds the true one for this share of the "
        "rows, such as 0.9."
    ),
]
SetMethod = Annotated[
    str,
    typer.Option(help="How sets are made: lac (small ones), aps or raps (fairer to hard rows)."),
]
ByClass = Annotated[
    bool, typer.Option("--by-class", help="Let the share of --sets hold for each label.")
]
AbstainBelow = Annotated[
    float | None, typer.Option(help="Give no answer below this confidence, such as 0.7.")
]
Risk = Annotated[
    float | None,
    typer.Option(
        help="Give no answer where needed to keep the share of wrong ones below this, such as 0.05."
    ),
]
Certainty = Annotated[float, typer.Option(help="How certain the promise of --risk is.")]
Calibrate = Annotated[
    Path | None,
    typer.Option(
        help="Labelled rows, not learnt from, that --sets and --risk are fitted on. Default: the "
        "validation rows that the folder keeps."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("evaluate")(evaluate)
    app.command("predict")(predict)
    app.command("explain")(explain)


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
    sets: Sets = None,
    set_method: SetMethod = "lac",
    by_class: ByClass = False,
    abstain_below: AbstainBelow = None,
    risk: Risk = None,
    certainty: Certainty = 0.95,
    calibrate: Calibrate = None,
    task: OneTask = None,
) -> None:
    """Score a model on labelled rows that it has not learnt from.

    With --sets, --risk or --abstain-below the coverage and the size of the sets, the share of rows
    that are answered and the share of wrong answers are measured too.

    [green]transfuse evaluate runs/news-to-reviews/model more-reviews.csv[/]

    [green]transfuse evaluate runs/news-to-reviews/model more-reviews.csv --sets 0.9 --risk 0.05[/]
    """
    from transfuse.answering import load_model
    from transfuse.answering.predict import evaluate_file
    from transfuse.cli.results import scorecard_table

    doubt = _doubt(sets, set_method, by_class, abstain_below, risk, certainty, calibrate)
    if calibrate is not None and calibrate.resolve() == data.resolve():
        what = f"is {data}, the rows that are scored"
        raise TransfuseError(
            Problem(
                "--calibrate", what, "other rows", "Sets fitted on scored rows promise nothing."
            )
        )
    card, notes = evaluate_file(
        load_model(folder, task=task),
        data,
        column=column,
        label=label,
        allow_trained_rows=allow_trained_rows,
        doubt=doubt,
    )
    for line in notes:
        note(line)
    if as_json:
        typer.echo(card.to_json())
    else:
        stdout().print(scorecard_table(card))


def predict(
    context: typer.Context,
    folder: Folder,
    data: Annotated[
        Path | None, typer.Argument(help="A .csv, .tsv, .jsonl or .parquet file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The new file; its suffix says which kind."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="One text, answered here.")] = None,
    image: Annotated[Path | None, typer.Option(help="One picture file, answered here.")] = None,
    column: Column = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add the probability of each label.")
    ] = False,
    sets: Sets = None,
    set_method: SetMethod = "lac",
    by_class: ByClass = False,
    abstain_below: AbstainBelow = None,
    risk: Risk = None,
    certainty: Certainty = 0.95,
    calibrate: Calibrate = None,
    disagreement: Annotated[
        bool, typer.Option("--disagreement", help="Add how far an ensemble's members are apart.")
    ] = False,
    task: OneTask = None,
) -> None:
    """Answer for each row of a file, or for one text or picture.

    The new file has the columns of the old one, and then the prediction and its confidence. Files
    may be larger than memory. Stopped or killed, the same command goes on where it was.

    [green]transfuse predict runs/news-to-reviews/model reviews.csv --output answers.csv[/]

    [green]transfuse predict runs/news-to-reviews/model reviews.csv -o out.csv --sets 0.9[/]

    [green]transfuse predict runs/news-to-reviews/model reviews.csv -o out.csv --risk 0.05[/]

    [green]transfuse predict runs/news-to-reviews/model --text "Works like a charm."[/]

    [green]transfuse predict runs/animals/model --image photo.jpg[/]
    """
    from transfuse.answering import load_model

    doubt = _doubt(
        sets, set_method, by_class, abstain_below, risk, certainty, calibrate, disagreement
    )
    given = text if image is None else image
    if given is not None:
        option = "--text" if image is None else "--image"
        if data is not None or output is not None or (text is not None and image is not None):
            beside = "--text" if data is None and output is None else "a file"
            raise TransfuseError(Problem(option, f"is given beside {beside}", "one of the two"))
        _answer(load_model(folder, task=task), given, doubt)
        return
    if data is None or output is None:
        missing = "the file to read" if data is None else "the file to write (--output)"
        raise TransfuseError(
            Problem(
                "predict",
                f"{missing} is missing",
                fix="As in `transfuse predict FOLDER in.csv --output out.csv`, --text or --image.",
            )
        )
    model = load_model(folder, task=task)
    context.obj.resumable = True
    _write(model, data, output, column=column, probabilities=probabilities, doubt=doubt)


def _doubt(
    sets: float | None,
    method: str,
    by_class: bool,
    abstain_below: float | None,
    risk: float | None,
    certainty: float,
    calibrate: Path | None,
    disagreement: bool = False,
) -> "Doubt | None":
    """What is asked for beyond the best guess; None for nothing."""
    if sets is None and abstain_below is None and risk is None and not disagreement:
        if calibrate is not None or by_class:
            given = "--calibrate" if calibrate is not None else "--by-class"
            raise TransfuseError(Problem(given, "is given alone", "--sets or --risk beside it"))
        return None
    from transfuse.answering.doubt import Doubt
    from transfuse.evaluation.conformal import SET_METHODS

    if method not in SET_METHODS:
        listed = f"one of {', '.join(SET_METHODS)}"
        raise TransfuseError(Problem("--set-method", f"unknown method {method!r}", listed))
    try:
        return Doubt(
            sets, method, by_class, abstain_below, risk, certainty, calibrate, disagreement
        )
    except ValueError as error:
        raise TransfuseError(Problem("predict", str(error).replace("_", "-"))) from None


def _answer(model: "ModelFolder", given: "str | Path", doubt: "Doubt | None") -> None:
    from transfuse.answering.predict import fit_doubt, predict_rows
    from transfuse.data import Role
    from transfuse.data.images import Picture

    doubting = None if doubt is None else fit_doubt(model, doubt)
    if isinstance(given, Path):
        (found,) = predict_rows(model, Role.IMAGE, [Picture(path=str(given))], doubting)
    else:
        (found,) = predict_rows(model, Role.TEXT, [given], doubting)
    console = stdout()
    value = found.value
    answer = ", ".join(value) if isinstance(value, list) else str(value)
    told = {"prediction": "I don't know" if value is None else answer}
    if found.confidence is not None:
        told["confidence"] = f"{found.confidence:.1%}"
    if found.labels is not None:
        told["set"] = ", ".join(found.labels) or "no label"
    if found.interval is not None:
        told["interval"] = f"{found.interval[0]:.4g} to {found.interval[1]:.4g}"
    if found.disagreement is not None:
        told["disagreement"] = f"{found.disagreement:.3g}"
    console.print(facts(told))
    if found.probabilities:
        console.print()
        console.print(bars(found.probabilities, ".1%"))
    for line in () if doubting is None else doubting.notes:
        note(line)


def _write(model: "ModelFolder", data: Path, output: Path, **options: Any) -> None:
    from transfuse.answering.predict import predict_file
    from transfuse.cli.progress import RowProgress

    with RowProgress("predicting", unit="rows") as progress:
        notes = predict_file(model, data, output, progress=progress, **options)
    for line in notes:
        note(line)
    stdout().print(str(output), soft_wrap=True)
