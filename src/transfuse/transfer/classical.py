"""Fitting the baseline without transfer: TF-IDF features under logistic regression."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.classical import ClassicalModel, Tfidf, vectorizer
from transfuse.errors import ModelError, Problem
from transfuse.tasks import Classification, Task

__all__ = ["fit_classical"]

_STRENGTHS = tuple(float(10.0**power) for power in range(-1, 3))


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
    words = vectorizer(options)
    features = words.fit_transform(texts)
    checked = None if validation is None else words.transform(validation[0])

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
    vocabulary = {word: int(index) for word, index in words.vocabulary_.items()}
    return ClassicalModel(options, vocabulary, words.idf_, model.coef_, model.intercept_)
