"""A model at work on files: predictions beside their rows, and a score on labelled rows.

Files are streamed: rows are read, judged and written some thousands at a time, so that memory
stays flat however long the file is. What is done is kept beside the output (see `parts.py`), so
that the same call goes on where a killed one stopped.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from transfuse.answering.calibration import Calibration
from transfuse.answering.doubt import Doubt, Doubting
from transfuse.answering.ensemble import Ensemble
from transfuse.answering.folder import ModelFolder
from transfuse.answering.parts import Parts
from transfuse.answering.prediction import Prediction, as_columns, new_columns, predictions
from transfuse.answering.reading import (
    Rows,
    check_unseen,
    mended,
    mended_texts,
    open_labelled,
    open_rows,
)
from transfuse.data import Role
from transfuse.data.write import check_kind, writing
from transfuse.errors import DataError, Problem
from transfuse.evaluation import Scorecard

__all__ = [
    "Prediction",
    "evaluate_file",
    "fit_doubt",
    "predict_file",
    "predict_rows",
    "predict_texts",
]

_ROWS = 4096
"""Rows that are held at a time."""


def predict_texts(
    model: ModelFolder, texts: Sequence[str], doubting: Doubting | None = None
) -> list[Prediction]:
    """What a model says of texts, which are mended as those were that it learnt from.

    Args:
        model: The model.
        texts: The texts.
        doubting: Rules for sets, intervals and 'I don't know', from `fit_doubt`. Default: none.

    Returns:
        One prediction for each text.
    """
    if not texts:
        return []
    return _judged(model, mended_texts(model, texts), doubting or Doubting())


def predict_rows(
    model: ModelFolder, role: Role, rows: Sequence[Any], doubting: Doubting | None = None
) -> list[Prediction]:
    """What a model says of rows at hand, of one column.

    Args:
        model: The model.
        role: What the rows are.
        rows: Texts, or pictures as `pictures_of` and `Picture` give them.
        doubting: Rules for sets, intervals and 'I don't know', from `fit_doubt`. Default: none.

    Returns:
        One prediction for each row.

    Raises:
        DataError: If the model reads something else, or a picture cannot be decoded.
    """
    if model.reads != (role,):
        what = f"reads {', '.join(model.reads)}, and was given {role}"
        fix = "A file of rows answers for any model: `transfuse predict FOLDER in.csv -o out.csv`."
        raise DataError(Problem(str(model.path), what, fix=fix))
    if role == Role.TEXT:
        return predict_texts(model, rows, doubting)
    return _judged(model, rows, doubting or Doubting()) if len(rows) else []


def fit_doubt(
    model: ModelFolder, doubt: Doubt, *, column: str | None = None, label: str | None = None
) -> Doubting:
    """Fit sets, intervals and thresholds on a model's held-out rows.

    Args:
        model: The model.
        doubt: What is asked for.
        column: The column of the text in `doubt.calibrate`. Default: as for `predict_file`.
        label: The column of its label. Default: likewise.

    Raises:
        ModelError: If the folder keeps no held-out rows and no file of them is given.
        DataError: If the file cannot be read or holds rows that were learnt from, or if the rows
            cannot carry the promise.
    """
    rows = None
    if doubt.calibrate is not None and doubt.needs_rows:
        table = open_labelled(model, doubt.calibrate, column, label)
        check_unseen(model, table)
        rows = Calibration(model.scores(table.inputs(model.reads)), model.task.targets(table))
    elif doubt.needs_rows:
        rows = Calibration.load(model.path, model.head)
    return Doubting.fit(doubt, model, rows)


def predict_file(
    model: ModelFolder,
    source: Path,
    output: Path,
    *,
    column: str | None = None,
    probabilities: bool = False,
    doubt: Doubt | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, ...]:
    """Write a file again with what a model says of each row.

    The columns of the file stay as they are, in their order. After them come `prediction`,
    `confidence` (but for numbers) and, if asked for, `probability_LABEL` for each label,
    `prediction_set` (or `prediction_low` and `prediction_high` for numbers), `abstained`, where
    the prediction is empty, and an ensemble's `disagreement`.

    The new file appears whole or not at all. A call that is stopped or killed leaves its answers in
    a hidden folder beside it, and the same call goes on from there.

    Args:
        model: The model.
        source: A `.csv`, `.tsv`, `.jsonl` or `.parquet` file, of any length.
        output: The new file, of one of these kinds.
        column: The column that the model reads. Default: those that its own table had, else
            inferred.
        probabilities: Whether the probability of each label is written too. Default: no.
        doubt: Sets, intervals and 'I don't know'. Default: none.
        progress: Called with the rows that were done now and the rows of the file.

    Returns:
        What was assumed, and what the sets and thresholds promise; one sentence each.

    Raises:
        DataError: If the file cannot be read, rows have no text, a column of the new ones is there
            already, or a kind of file is unknown.
        ModelError: If held-out rows are needed and there are none.
        RunLockedError: If another process writes the same output.
    """
    output, doubt = Path(output), doubt or Doubt()
    check_kind(output)
    if output.exists() and source.exists() and output.samefile(source):
        raise DataError(Problem(str(output), "is the input", "another file to write"))
    rows = open_rows(model, source, column)
    kinds = new_columns(model.task, probabilities, doubt)
    _check_free(rows.name, kinds.names, rows.dataset.column_names)
    doubting = fit_doubt(model, doubt, column=column)
    identity = _identity(model, source, (rows.columns, probabilities, doubt), doubt.calibrate)
    notes = (*rows.notes, *doubting.notes)
    with Parts(output, identity) as parts:
        if parts.done:
            notes += (f"{parts.done:,} of {len(rows):,} rows were answered before.",)
            if progress is not None:
                progress(parts.done, len(rows))
        _answer(model, rows, doubting, kinds, parts, progress)
        with writing(output) as writer:
            blocks = rows.dataset.with_format("arrow").iter(_ROWS)
            for block, found in zip(blocks, parts.read(_ROWS), strict=True):
                for name in found.column_names:
                    block = block.append_column(name, found.column(name))
                writer.write(block)
    return notes


def evaluate_file(
    model: ModelFolder,
    source: Path,
    *,
    column: str | None = None,
    label: str | None = None,
    allow_trained_rows: bool = False,
    doubt: Doubt | None = None,
) -> tuple[Scorecard, tuple[str, ...]]:
    """Score a model on a labelled file.

    Args:
        model: The model.
        source: A file of labelled rows.
        column: The column of the text. Default: as for `predict_file`.
        label: The column of the label. Default: likewise.
        allow_trained_rows: Whether rows that were learnt from may count. Default: no.
        doubt: Sets, intervals and 'I don't know', which are then measured too. Default: none.

    Returns:
        The scorecard, and what was assumed.

    Raises:
        DataError: If the file cannot be read, has no labels or unknown ones, or holds rows that
            were learnt from.
        ModelError: If held-out rows are needed and there are none.
    """
    table = open_labelled(model, source, column, label)
    card = model.evaluate(table, allow_trained_rows=allow_trained_rows)
    if doubt is None:
        return card, table.notes
    doubting = fit_doubt(model, doubt, column=column, label=label)
    targets = model.task.targets(table)
    measured = doubting.measure(
        model.task, Calibration(model.scores(table.inputs(model.reads)), targets)
    )
    card = replace(card, metrics={**card.metrics, **measured})
    return card, (*table.notes, *doubting.notes)


def _answer(
    model: ModelFolder,
    rows: Rows,
    doubting: Doubting,
    kinds: pa.Schema,
    parts: Parts,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Answer the rows that are not answered yet, block by block."""
    for start in range(parts.done, len(rows), _ROWS):
        stop = min(start + _ROWS, len(rows))
        read = mended(model, rows.table(start, stop)).inputs(model.reads)
        parts.add(as_columns(_judged(model, read, doubting), kinds))
        if progress is not None:
            progress(stop - start, len(rows))
    parts.flush()


def _judged(model: ModelFolder, read: Sequence[Any], doubting: Doubting) -> list[Prediction]:
    found = predictions(model.task, model.scores(read), doubting)
    if not doubting.disagreement or not isinstance(model.model, Ensemble):
        return found
    apart = model.model.disagreement(read).tolist()
    return [replace(one, disagreement=each) for one, each in zip(found, apart, strict=True)]


def _check_free(where: str, wanted: Sequence[str], taken: Sequence[str]) -> None:
    both = ", ".join(repr(name) for name in wanted if name in taken)
    if both:
        fix = "Rename it or leave it out."
        raise DataError(Problem(where, f"has a column {both} already", fix=fix))


def _identity(
    model: ModelFolder, source: Path, options: tuple[Any, ...], calibrate: Path | None
) -> str:
    """Names a call by its input's content, the model's files and the options."""
    digest = hashlib.blake2b(digest_size=16)
    told = (version("transfuse"), _ROWS, model.head, model.temperature, model.task, options)
    digest.update(repr(told).encode())
    for path in (source, *([calibrate] if calibrate is not None else [])):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        else:
            digest.update(_files(path))
    digest.update(_files(model.path))
    return digest.hexdigest()


def _files(folder: Path) -> bytes:
    """The names, sizes and times of a folder's files."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    states = [(path.relative_to(folder).as_posix(), path.stat()) for path in found]
    return repr([(name, each.st_size, each.st_mtime_ns) for name, each in states]).encode()
