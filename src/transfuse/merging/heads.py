"""Heads of models that answer with other labels: rows are matched by name, never by position."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transfuse.merging.base import Floats

__all__ = ["Rows", "aligned_rows", "labels_of", "mean_of_rows", "with_labels"]

Rows = tuple[tuple[tuple[int, int], ...], ...]
"""For each row of a merged head the rows it is the mean of, each as (model, row)."""

_ANSWERS = "Classification"


def labels_of(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The labels that a model answers with, in the order of its head's rows.

    Args:
        config: Its `config.json`.

    Returns:
        The labels; None for a model that is no classifier, or does not name them.
    """
    named = config.get("id2label")
    kinds = config.get("architectures") or ()
    if not isinstance(named, Mapping) or not any(str(kind).endswith(_ANSWERS) for kind in kinds):
        return None
    places = {int(place): str(label) for place, label in named.items()}
    if sorted(places) != list(range(len(places))) or len(set(places.values())) < len(places):
        return None
    return tuple(places[place] for place in range(len(places)))


def aligned_rows(labels: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], Rows]:
    """The labels of a merged head and where its rows come from.

    Args:
        labels: The labels of each model.

    Returns:
        Every label once, those of the first model first, and for each the rows that have its
        name.
    """
    union = tuple(dict.fromkeys(label for names in labels for label in names))
    rows = tuple(
        tuple(
            (model, list(names).index(label))
            for model, names in enumerate(labels)
            if label in names
        )
        for label in union
    )
    return union, rows


def with_labels(config: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """A config that names these labels.

    Args:
        config: What `config.json` says.
        labels: The labels, in the order of the head's rows.
    """
    told = {**config, "id2label": {str(place): label for place, label in enumerate(labels)}}
    told["label2id"] = {label: place for place, label in enumerate(labels)}
    if "num_labels" in told:
        told["num_labels"] = len(labels)
    return told


def mean_of_rows(models: Sequence[Floats], rows: Rows) -> Floats:
    """A merged head.

    Args:
        models: The head of each model, [labels, ...].
        rows: Where each row of the merged head comes from.

    Returns:
        The mean of the rows of each label, [rows, ...].
    """
    return np.stack(
        [np.mean([models[model][row] for model, row in sources], axis=0) for sources in rows]
    ).astype(np.float32, copy=False)
