"""A model's answers to a batch of rows, with as little around the model's own work as can be."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transfuse.answering import ModelFolder
from transfuse.answering.doubt import Doubting
from transfuse.answering.exported import ExportedModel
from transfuse.answering.prediction import Prediction, predictions
from transfuse.data import Cleaning, Role
from transfuse.data.characters import collapsed_spaces, normalised, without_controls
from transfuse.models import Network
from transfuse.recipe import build_options

__all__ = ["Answers", "groups_of_like_length", "row_bytes"]

_LONGEST = 2_048
"""Bytes of a text that count: about 512 tokens, beyond which most models cut it."""

_PASS = 360
"""What a pass costs besides its tokens, as bytes of text: measured as about 80 tokens for a
six-layer network on one thread."""


class Answers:
    """From texts to answers, equal to those of `predict_texts`.

    `predict_texts` makes a table of its texts; for one text that costs as much as a small model's
    own work.

    Args:
        model: The opened model folder.
    """

    def __init__(self, model: ModelFolder) -> None:
        self.model = model
        self._written = model.reads == (Role.TEXT,)
        self._pads = self._written and isinstance(model.model, Network | ExportedModel)
        self._doubting = Doubting()
        self._cleaning: Cleaning = build_options(Cleaning, model.recipe.get("clean"), "clean")

    def __call__(self, rows: Sequence[Any]) -> list[Prediction]:
        """The answer to each row.

        Args:
            rows: Texts, or pictures where the model reads those; at least one.

        Raises:
            DataError: For pictures that cannot be decoded.
        """
        scores = self._scores(self.mended(rows) if self._written else list(rows))
        return predictions(self.model.task, scores, self._doubting)

    def mended(self, texts: Sequence[str]) -> list[str]:
        """Texts with their characters mended as those were that the model learnt from.

        Args:
            texts: The texts.
        """
        column = pa.chunked_array([pa.array(texts, pa.string())])
        if self._cleaning.unicode:
            column = normalised(column, self._cleaning.unicode)
        if self._cleaning.control:
            column = without_controls(column)
        if self._cleaning.whitespace:
            column = collapsed_spaces(column)
        mended: list[str] = column.to_pylist()
        return mended

    def _scores(self, rows: list[Any]) -> NDArray[np.float64]:
        groups = groups_of_like_length(list(map(row_bytes, rows))) if self._pads else []
        if len(groups) < 2:
            return self.model.scores(rows)
        parts = [self.model.scores([rows[place] for place in group]) for group in groups]
        scores = np.empty((len(rows), parts[0].shape[1]))
        for group, part in zip(groups, parts, strict=True):
            scores[group] = part
        return scores


def row_bytes(text: Any) -> int:
    """About how long a text is for a model, in bytes; a picture is as much work as a long one.

    Args:
        text: The text, or a picture.
    """
    if not isinstance(text, str):
        return _LONGEST
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))
    return min(_LONGEST, size)


def groups_of_like_length(lengths: Sequence[int]) -> list[list[int]]:
    """The cheapest cut of a batch into passes, each of which pads its texts to the longest.

    Args:
        lengths: The texts' lengths in bytes.

    Returns:
        The places of each pass; every place once.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    # The least cost of the shortest texts, and where their last pass begins.
    costs, begins = [0], [0]
    for end, longest in enumerate((lengths[place] for place in order), start=1):
        cost, begin = min(
            (costs[start] + _PASS + (end - start) * longest, start) for start in range(end)
        )
        costs.append(cost)
        begins.append(begin)
    groups, end = [], len(order)
    while end:
        groups.append(order[begins[end] : end])
        end = begins[end]
    return groups
