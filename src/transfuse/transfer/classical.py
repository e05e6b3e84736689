"""The baseline without transfer: TF-IDF features under logistic regression."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from transfuse.data import segment
from transfuse.errors import ModelError, Problem
from transfuse.tasks import Classification, Task
from transfuse.transfer.choices import Tfidf

__all__ = ["ClassicalModel", "fit_classical"]

_STRENGTHS = tuple(float(10.0**power) for power in range(-1, 3))
_WEIGHTS = "model.safetensors"
_VOCABULARY = "vocabulary.json"


@dataclass(frozen=True)
class ClassicalModel:
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
        vectorizer = _vectorizer(self.options, vocabulary=self.vocabulary)
        vectorizer.idf_ = self.idf
        return vectorizer.transform(texts)

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
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        values = json.loads((folder / _VOCABULARY).read_text(encoding="utf-8"))
        return cls(Tfidf(**values["options"]), values["vocabulary"], **load_file(folder / _WEIGHTS))


def _vectorizer(options: Tfidf, **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        tokenizer=partial(segment, language=options.language, stop_words=options.stop_words),
        token_pattern=None,
        ngram_range=(1, options.words),
        min_df=options.min_rows,
        sublinear_tf=True,
        **more,
    )


def fit_classical(
    options: Tfidf,
    task: Task,
    texts: Sequence[str],
    targets: NDArray[Any],
    weights: NDArray[np.float64],
    validation: tuple[Sequence[str], NDArray[Any]] | None,
    seed: int,
) -> ClassicalModel:
    """Fit the baseline.

    Args:
        options: Its options.
        task: The task; single-label classification.
        texts: Training texts.
        targets: Their class numbers.
        weights: Weight of each row, [n]; lambda of the source's rows is in here.
        validation: Texts and class numbers that the strength is chosen on. Default strength
            without them: 1.
        seed: Seed of the solver.

    Raises:
        ModelError: If the task is another one, or a class has no training row.
    """
    from sklearn.linear_model import LogisticRegression

    if not isinstance(task, Classification):
        raise ModelError(Problem("model", "TF-IDF does single-label classification only"))
    missing = sorted(set(range(task.outputs)) - set(np.unique(targets).tolist()))
    if missing:
        names = ", ".join(repr(task.labels[index]) for index in missing[:10])
        raise ModelError(Problem("model", f"no training row of the class {names}", "one of each"))
    vectorizer = _vectorizer(options)
    features = vectorizer.fit_transform(texts)
    checked = None if validation is None else vectorizer.transform(validation[0])

    def fitted(strength: float) -> Any:
        balanced = "balanced" if task.class_weights == "balanced" else None
        model = LogisticRegression(
            C=strength, max_iter=1000, random_state=seed, class_weight=balanced
        )
        return model.fit(features, targets, sample_weight=weights)

    def loss(model: Any) -> float:
        assert validation is not None
        shares = model.predict_proba(checked)[np.arange(len(validation[1])), validation[1]]
        return float(-np.log(np.maximum(shares, 1e-12)).mean())

    if options.strength is not None or validation is None:
        model = fitted(1.0 if options.strength is None else options.strength)
    else:
        model = min((fitted(strength) for strength in _STRENGTHS), key=loss)
    vocabulary = {word: int(index) for word, index in vectorizer.vocabulary_.items()}
    return ClassicalModel(options, vocabulary, vectorizer.idf_, model.coef_, model.intercept_)
