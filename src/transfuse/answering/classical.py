"""Words weighted by TF-IDF under logistic regression: a model without a network."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from transfuse.answering.base import Answerer, Open
from transfuse.data import segment

__all__ = ["ClassicalModel", "Tfidf", "vectorizer"]

_WEIGHTS = "model.safetensors"
_VOCABULARY = "vocabulary.json"


@dataclass(frozen=True)
class Tfidf:
    """Words and word pairs, weighted by TF-IDF, under logistic regression: no transfer at all.

    The baseline that has only seen the target's labelled rows.
    """

    words: int = 2
    """Longest run of words that counts as one feature. Default: 2."""

    language: Literal["auto", "en", "zh", "none"] = "auto"
    """How text is cut into words; `zh` uses jieba. Default: by the script of each text."""

    stop_words: bool = False
    """Whether function words are left out. Default: no, since `not` and `no` carry sentiment."""

    min_rows: int = 1
    """Rows that a feature must occur in. Default: 1."""

    strength: float | None = None
    """Inverse strength C of the L2 penalty. Default: the one of a small grid with the least
    validation log-loss; 1 without validation rows."""

    def __post_init__(self) -> None:
        for name in ("words", "min_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if self.strength is not None and not 0 < self.strength < math.inf:
            raise ValueError("strength is a number above 0")


@dataclass(frozen=True)
class ClassicalModel(Answerer):
    """A fitted TF-IDF and logistic regression, as plain arrays that a file can keep."""

    options: Tfidf
    vocabulary: dict[str, int]
    idf: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    """[outputs, features]; one row for two classes."""

    intercepts: NDArray[np.float64]

    @property
    def parameters(self) -> int:
        """The number of fitted coefficients."""
        return int(self.coefficients.size + self.intercepts.size)

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of the classes, [n, classes]."""
        if not texts:
            return np.empty((0, max(2, len(self.intercepts))))
        values = self.transform(texts) @ self.coefficients.T + self.intercepts
        if values.shape[1] == 1:
            values = np.hstack([-values, values]) / 2
        values = values - values.max(1, keepdims=True)
        shares = np.exp(values)
        probabilities: NDArray[np.float64] = shares / shares.sum(1, keepdims=True)
        return probabilities

    def transform(self, texts: Sequence[str]) -> Any:
        """TF-IDF features, a sparse matrix [n, features]."""
        words = vectorizer(self.options, vocabulary=self.vocabulary)
        words.idf_ = self.idf
        return words.transform(texts)

    def save(self, folder: Path) -> None:
        """Write the model into a folder: safetensors and JSON."""
        arrays = {
            "idf": self.idf,
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
        }
        save_file(arrays, folder / _WEIGHTS)
        text = json.dumps(
            {"options": asdict(self.options), "vocabulary": self.vocabulary}, ensure_ascii=False
        )
        (folder / _VOCABULARY).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, open_member: Open) -> Self:
        """See `Answerer.load`."""
        values = json.loads((folder / _VOCABULARY).read_text(encoding="utf-8"))
        return cls(Tfidf(**values["options"]), values["vocabulary"], **load_file(folder / _WEIGHTS))


def vectorizer(options: Tfidf, **more: Any) -> Any:
    """scikit-learn's vectorizer for some options, fitted or not.

    Args:
        options: The options.
        **more: Further arguments, such as a fitted vocabulary.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        tokenizer=partial(segment, language=options.language, stop_words=options.stop_words),
        token_pattern=None,
        ngram_range=(1, options.words),
        min_df=options.min_rows,
        sublinear_tf=True,
        **more,
    )
