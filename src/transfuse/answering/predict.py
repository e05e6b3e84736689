"""A model at work on files: predictions beside their rows, and a score on labelled rows.

Files are streamed: rows are read, judged and written some thousands at a time, so that memory
stays flat however long the file is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from transfuse.answering.folder import ModelFolder
from transfuse.data import Cleaning, Role, Schema, Table, clean
from transfuse.data.loaded import ReadOptions
from transfuse.data.prepare import prepare
from transfuse.data.read import load_path
from transfuse.data.write import writing
from transfuse.errors import DataError, Problem
from transfuse.evaluation import Scorecard
from transfuse.recipe import build_options
from transfuse.tasks import Task

__all__ = ["Prediction", "evaluate_file", "predict_file", "predict_texts"]

_ROWS = 4096
"""Rows that are held at a time."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one text.

    Args:
        value: A label, a list of labels, or a number.
        confidence: Probability that the label is right; of several labels, that of the least
            certain yes or no. None for a number.
        probabilities: Probability of each label; empty for a number.
    """

    value: str | list[str] | float
    confidence: float | None
    probabilities: dict[str, float]


def predict_texts(model: ModelFolder, texts: Sequence[str]) -> list[Prediction]:
    """What a model says of texts, which are mended as those were that it learnt from.

    Args:
        model: The model.
        texts: The texts.

    Returns:
        One prediction for each text.
    """
    if not texts:
        return []
    table = Table.from_dict({"text": list(texts)}, roles=_only({Role.TEXT: "text"}))
    mended, _ = clean(table, _mending(model))
    scores = model.scores(mended.texts())
    names = model.task.label_names if model.task.kind != "regression" else ()
    return [
        Prediction(value, confidence, dict(zip(names, row.tolist(), strict=False)))
        for value, confidence, row in zip(
            model.task.decode(scores), _confidence(model.task, scores), scores, strict=True
        )
    ]


def predict_file(
    model: ModelFolder,
    source: Path,
    output: Path,
    *,
    column: str | None = None,
    probabilities: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, ...]:
    """Write a file again with what a model says of each row.

    The columns of the file stay as they are; `prediction`, `confidence` (but for numbers) and, if
    asked for, `probability_LABEL` for each label come after them. The new file appears whole or
    not at all.

    Args:
        model: The model.
        source: A `.csv`, `.tsv`, `.jsonl` or `.parquet` file.
        output: The new file, of one of these kinds.
        column: The column of the text. Default: the one that the model's recipe names, else
            inferred.
        probabilities: Whether the probability of each label is written too. Default: no.
        progress: Called with the rows that were done now and the rows of the file.

    Returns:
        What was assumed, one sentence each.

    Raises:
        DataError: If the file cannot be read, rows have no text, a column of the new ones is there
            already, or a kind of file is unknown.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise DataError(Problem(str(output), "is the input", "another file to write"))
    with writing(output) as writer:
        table, written = _open(model, source, {Role.TEXT: column})
        _check_free(table.name, _new_columns(model.task, probabilities), written.column_names)
        for rows, found in _judged(model, table, written, probabilities):
            for name, values in found.items():
                rows = rows.append_column(name, [values])
            writer.write(rows)
            if progress is not None:
                progress(rows.num_rows, len(table))
    return table.notes


def evaluate_file(
    model: ModelFolder,
    source: Path,
    *,
    column: str | None = None,
    label: str | None = None,
    allow_trained_rows: bool = False,
) -> tuple[Scorecard, tuple[str, ...]]:
    """Score a model on a labelled file.

    Args:
        model: The model.
        source: A file with texts and labels.
        column: The column of the text. Default: as for `predict_file`.
        label: The column of the label. Default: likewise.
        allow_trained_rows: Whether rows that were learnt from may count. Default: no.

    Returns:
        The scorecard, and what was assumed.

    Raises:
        DataError: If the file cannot be read, has no labels or unknown ones, or holds rows that
            were learnt from.
    """
    table, _ = _open(model, source, {Role.TEXT: column, Role.LABEL: label})
    if not table.schema.has(Role.LABEL):
        raise DataError(
            Problem(table.name, "no column is the label", "labelled rows", "Name it with --label.")
        )
    mended, _ = clean(table, _mending(model))
    card = model.evaluate(mended, allow_trained_rows=allow_trained_rows)
    return card, table.notes


def _judged(
    model: ModelFolder, table: Table, written: datasets.Dataset, probabilities: bool
) -> Iterator[tuple[Any, dict[str, list[Any]]]]:
    """Some thousand rows at a time as they stand in the file, and their new columns."""
    column = table.schema.column(Role.TEXT)
    texts = table.dataset.select_columns([column]).with_format("arrow").iter(_ROWS)
    for rows, some in zip(written.with_format("arrow").iter(_ROWS), texts, strict=True):
        found = predict_texts(model, some.column(0).to_pylist())
        columns: dict[str, list[Any]] = {"prediction": [one.value for one in found]}
        if model.task.kind != "regression":
            columns["confidence"] = [one.confidence for one in found]
        if probabilities:
            for name in model.task.label_names if model.task.kind != "regression" else ():
                columns[_probability(name)] = [one.probabilities[name] for one in found]
        yield rows, columns


def _open(
    model: ModelFolder, source: Path, given: dict[Role, str | None]
) -> tuple[Table, datasets.Dataset]:
    """A file's checked table, and its columns as they are written in the file.

    Only the given roles are looked for: other columns are carried along, whatever is in them.
    """
    names = ("encoding", "quotes", "label_names")
    written = _choice(model)
    options = ReadOptions(**{name: written[name] for name in names if name in written})
    loaded = load_path(Path(source), None, options)
    roles: dict[Role, str] = {}
    for role, column in given.items():
        known = written.get(str(role))
        if column is not None:
            roles[role] = column
        elif known in loaded.dataset.column_names:
            roles[role] = str(known)
    dataset, schema, notes = prepare(loaded, _only(roles, set(given)), options)
    if not schema.has(Role.TEXT):
        raise DataError(Problem(loaded.name, "no column holds text", fix="Name it with --column."))
    return Table(dataset, Schema(schema.roles), loaded.name, notes), loaded.dataset


def _only(roles: dict[Role, str], open_: set[Role] | None = None) -> dict[str, str | None]:
    """Roles by name; all that are neither given nor open are said not to be there."""
    open_ = (open_ or set()) - set(roles)
    return {str(role): roles.get(role) for role in Role if role not in open_}


def _choice(model: ModelFolder) -> dict[str, Any]:
    """What the model's recipe says of its target's table."""
    data = model.recipe.get("data", {})
    return dict(data.get("tasks", {}).get(model.head) or data.get("target", {}))


def _mending(model: ModelFolder) -> Cleaning:
    """The recipe's cleaning of characters, without leaving out any row."""
    learnt: Cleaning = build_options(Cleaning, model.recipe.get("clean"), "clean")
    return replace(learnt, empty=False, duplicates=False, near_duplicates=None, conflicts="keep")


def _new_columns(task: Task, probabilities: bool) -> list[str]:
    if task.kind == "regression":
        return ["prediction"]
    more = [_probability(name) for name in task.label_names] if probabilities else []
    return ["prediction", "confidence", *more]


def _check_free(where: str, wanted: Sequence[str], taken: Sequence[str]) -> None:
    both = ", ".join(repr(name) for name in wanted if name in taken)
    if both:
        fix = "Rename it or leave it out."
        raise DataError(Problem(where, f"has a column {both} already", fix=fix))


def _probability(label: str) -> str:
    return f"probability_{label}"


def _confidence(task: Task, scores: NDArray[np.float64]) -> list[float] | list[None]:
    match task.kind:
        case "classification":
            found: list[float] = scores.max(axis=1).tolist()
        case "multilabel":
            found = np.maximum(scores, 1 - scores).min(axis=1).tolist()
        case _:
            return [None] * len(scores)
    return found
