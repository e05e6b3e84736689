"""Some test rows of a study, explained word by word for the model that it keeps."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import ModelFolder
from transfuse.answering.members import aligned_scores
from transfuse.data import Role, Table
from transfuse.explaining import explain
from transfuse.files import write_whole

__all__ = ["EXPLAINED", "explained_rows", "explained_run"]

EXPLAINED = "explained.json"
"""The file's name in a study's folder."""

_EACH = 2
"""Rows of each kind."""


def explained_rows(
    folder: Path,
    model: ModelFolder,
    table: Table,
    scores: NDArray[np.floating[Any]],
    labels: Sequence[str] = (),
    run: str = "",
) -> None:
    """Explain the surest right, the surest wrong and the least certain answers.

    They are written as `explained.json`, from which the report draws. Of a task that does not give
    one label a row nothing is written.

    Args:
        folder: The study's folder.
        model: The model that is kept.
        table: The test rows.
        scores: The model's answers to them, [n, classes], before or after temperature scaling.
        labels: The classes of these scores, of which the model may know more, in another order.
            Default: the model's.
        run: Fingerprint of the run that made the model. Default: none.
    """
    if model.task.kind != "classification" or model.reads != (Role.TEXT,) or not len(table):
        return
    targets = model.task.targets(table)
    names = model.task.label_names
    scores = aligned_scores(np.asarray(scores, dtype=np.float64), labels or names, names)
    rows = []
    for kind, row in _chosen(scores, targets):
        (text,) = table.take([row]).inputs(model.reads)
        found = explain(model, text, label=names[int(scores[row].argmax())])
        told = {"kind": kind, "row": row, "truth": names[int(targets[row])]}
        rows.append({**told, **found.to_dict()})
    told = {"labels": list(names), "rows": rows, **({"run": run} if run else {})}
    write_whole(folder / EXPLAINED, json.dumps(told, ensure_ascii=False, indent=1))


def explained_run(folder: Path) -> str | None:
    """The fingerprint of the run whose rows are explained in a folder, if there is one.

    Args:
        folder: The study's folder.
    """
    try:
        told = json.loads((folder / EXPLAINED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    run = told.get("run")
    return run if isinstance(run, str) else None


def _chosen(scores: NDArray[np.float64], targets: NDArray[np.int64]) -> Iterator[tuple[str, int]]:
    """Rows by kind; those of other answers come first, so that one label does not take all."""
    answers = scores.argmax(axis=1)
    ranked = np.sort(scores, axis=1)
    lead = ranked[:, -1] - ranked[:, -2]
    right = answers == targets
    # A stable order: the same scores always choose the same rows.
    sure, unsure = np.argsort(-lead, kind="stable"), np.argsort(lead, kind="stable")
    taken: set[int] = set()
    for kind, order in (
        ("right", sure[right[sure]]),
        ("wrong", sure[~right[sure]]),
        ("unsure", unsure),
    ):
        for row in _varied(order[~np.isin(order, list(taken))], answers):
            taken.add(row)
            yield kind, row


def _varied(order: NDArray[np.int64], answers: NDArray[np.int64]) -> list[int]:
    """The first row of each of the first answers; then the next ones, whatever they answer."""
    firsts = np.sort(np.unique(answers[order], return_index=True)[1])[:_EACH]
    rest = np.setdiff1d(np.arange(len(order)), firsts)[: _EACH - len(firsts)]
    return [int(row) for row in order[np.sort(np.concatenate([firsts, rest]))]]
