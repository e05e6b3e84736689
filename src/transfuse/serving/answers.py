"""A model's answers to a batch of texts, with as little around the model's own work as can be."""

from collections.abc import Sequence

import pyarrow as pa

from transfuse.answering import ModelFolder
from transfuse.answering.doubt import Doubting
from transfuse.answering.prediction import Prediction, predictions
from transfuse.data import Cleaning
from transfuse.data.characters import collapsed_spaces, normalised, without_controls
from transfuse.recipe import build_options

__all__ = ["Answers"]


class Answers:
    """From texts to answers, equal to those of `predict_texts`.

    `predict_texts` makes a table of its texts; for one text that costs as much as a small model's
    own work.

    Args:
        model: The opened model folder.
    """

    def __init__(self, model: ModelFolder) -> None:
        self.model = model
        self._doubting = Doubting()
        self._cleaning: Cleaning = build_options(Cleaning, model.recipe.get("clean"), "clean")

    def __call__(self, texts: Sequence[str]) -> list[Prediction]:
        """The answer to each text.

        Args:
            texts: The texts, at least one.
        """
        scores = self.model.scores(self.mended(texts))
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
