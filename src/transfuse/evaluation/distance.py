"""How far apart two domains lie, measured on features [n, d] of one encoder.

All three are about 0 for two samples of one distribution. None of them needs labels.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from transfuse.errors import DataError, Problem
from transfuse.evaluation.inputs import Array, checked_features

__all__ = ["coral_distance", "domain_distances", "mmd", "proxy_a_distance"]

_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
# Squared distances below this share of the mean squared norm are rounding of float32 features.
_ROUNDING = 1e-12
# Inverse strength of the domain classifier's penalty, on standardised features.
_PENALTY = 0.1


def proxy_a_distance(
    source: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    source_groups: Sequence[Hashable] | None = None,
    target_groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    max_rows: int = 2000,
) -> float:
    """How well a linear classifier tells the domains apart, 2·(1 − 2·error).

    Ben-David et al. (2007), "Analysis of representations for domain adaptation". The classifier
    is a logistic regression on standardised features; it is fitted on one half of the rows and
    counted on the other, both ways round. The error is the mean of the two domains' error rates,
    so that unequal sizes do not matter.

    Args:
        source: Features [n, d].
        target: Features [m, d].
        source_groups: The group (document, user …) of each source row. A group never spans both
            halves, or the classifier would recognise documents and not domains. Default: every
            row is its own group.
        target_groups: The same for the target. A group is a group within its domain.
        seed: Decides the halves and which rows are used. Default: 0.
        max_rows: Rows used of each domain. Default: 2000.

    Returns:
        0 (cannot be told apart; errors above one half count as one half) to 2 (always told apart).

    Raises:
        DataError: If features are not finite, differ in width, or a domain has one group only.
    """
    # Imported here: scikit-learn takes a second that no other measurement needs.
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    a, b = _pair(source, target)
    rng = np.random.default_rng(seed)
    sides = [
        _halves(where, features, groups, rng, max_rows)
        for where, features, groups in (("source", a, source_groups), ("target", b, target_groups))
    ]
    errors = []
    for fitted, held_out in ((0, 1), (1, 0)):
        train = np.concatenate([side[fitted] for side in sides])
        domain = np.repeat([0, 1], [len(side[fitted]) for side in sides])
        scaler = StandardScaler().fit(train)
        model = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=1000)
        model.fit(scaler.transform(train), domain)
        for number, side in enumerate(sides):
            errors.append(np.mean(model.predict(scaler.transform(side[held_out])) != number))
    return float(np.clip(2 * (1 - 2 * np.mean(errors)), 0.0, 2.0))


def mmd(
    source: npt.ArrayLike, target: npt.ArrayLike, *, seed: int = 0, max_rows: int = 1000
) -> float:
    """Squared maximum mean discrepancy, unbiased, with a mean of five Gaussian kernels.

    Gretton et al. (2012), "A kernel two-sample test", eq. 3. Kernels are exp(−‖x − y‖² / (s·w))
    with s = ¼, ½, 1, 2, 4 and w the median squared distance between two different rows of the
    pooled sample; a row's distance to itself does not count.

    Args:
        source: Features [n, d], at least 2 rows.
        target: Features [m, d], at least 2 rows; n and m may differ.
        seed: Decides which rows are used. Default: 0.
        max_rows: Rows used of each domain. Default: 1000.

    Returns:
        About 0 for one distribution (an unbiased estimate may be slightly negative), at most 2.
        Exactly 0 if all rows of both domains are the same.

    Raises:
        DataError: If features are not finite or differ in width, or a domain has one row only.
    """
    a, b = _pair(source, target)
    rng = np.random.default_rng(seed)
    a, b = (side[_some(len(side), max_rows, rng)] for side in (a, b))
    pooled = np.concatenate([a, b])
    scale = np.square(pooled).sum(axis=1).mean()
    # Centred first: far from the origin the expanded square loses its digits.
    pooled = pooled - pooled.mean(axis=0)
    norms = np.square(pooled).sum(axis=1)
    squares = np.maximum(norms[:, None] + norms[None, :] - 2 * pooled @ pooled.T, 0.0)
    squares[squares <= _ROUNDING * scale] = 0.0
    between = squares[np.triu_indices(len(pooled), k=1)]
    width = np.median(between)
    if width == 0:
        # Most rows coincide; those that do not still set a scale.
        apart = between[between > 0]
        if not len(apart):
            return 0.0
        width = apart.mean()
    kernel = np.zeros_like(squares)
    for factor in _SCALES:
        kernel += np.exp(-squares / (factor * width)) / len(_SCALES)
    n = len(a)
    cross = kernel[:n, n:].mean()
    return float(_off_diagonal(kernel[:n, :n]) + _off_diagonal(kernel[n:, n:]) - 2 * cross)


def coral_distance(source: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """The distance between the covariances, ‖C_s − C_t‖²_F / (4d²), without a term for the means.

    Sun and Saenko (2016, arXiv:1607.01719), eq. 1. It depends on the scale of the features:
    compare it between data sets of one encoder only.

    Args:
        source: Features [n, d], at least 2 rows.
        target: Features [m, d], at least 2 rows; n and m may differ.

    Returns:
        0 for equal covariances, otherwise more.

    Raises:
        DataError: If features are not finite or differ in width, or a domain has one row only.
    """
    a, b = _pair(source, target)
    gap = np.cov(a, rowvar=False) - np.cov(b, rowvar=False)
    return float(np.square(gap).sum() / (4 * a.shape[1] ** 2))


def domain_distances(
    source: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    source_groups: Sequence[Hashable] | None = None,
    target_groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """All three distances: `proxy_a_distance`, `mmd`, `coral`.

    Args:
        source: Features [n, d].
        target: Features [m, d].
        source_groups: The group of each source row. Default: every row is its own.
        target_groups: The group of each target row. Default: every row is its own.
        seed: Decides which rows are used, and how. Default: 0.

    Raises:
        DataError: As the three functions.
    """
    return {
        "proxy_a_distance": proxy_a_distance(
            source, target, source_groups=source_groups, target_groups=target_groups, seed=seed
        ),
        "mmd": mmd(source, target, seed=seed),
        "coral": coral_distance(source, target),
    }


def _pair(source: npt.ArrayLike, target: npt.ArrayLike) -> tuple[Array, Array]:
    a, b = checked_features("source", source), checked_features("target", target)
    if a.shape[1] != b.shape[1]:
        what = f"{b.shape[1]} features"
        raise DataError(Problem("target", what, f"{a.shape[1]}, as the source has"))
    return a, b


def _off_diagonal(kernel: Array) -> float:
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


def _some(rows: int, limit: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.sort(rng.permutation(rows)[:limit])


def _halves(
    where: str,
    features: Array,
    groups: Sequence[Hashable] | None,
    rng: np.random.Generator,
    max_rows: int,
) -> tuple[Array, Array]:
    """Two parts of about equal size; no group has rows in both."""
    given = range(len(features)) if groups is None else groups
    if len(given) != len(features):
        what = f"{len(given)} groups for {len(features)} rows"
        raise DataError(Problem(where, what, "one for each row"))
    members: dict[Hashable, list[int]] = {}
    for row in _some(len(features), max_rows, rng):
        members.setdefault(given[row], []).append(int(row))
    if len(members) < 2:
        raise DataError(Problem(where, "all rows belong to one group", "at least two groups"))
    shuffled = [list(members.values())[index] for index in rng.permutation(len(members))]
    # The largest groups first, each to the smaller half; the shuffle decides among equals.
    first: list[int] = []
    second: list[int] = []
    for rows in sorted(shuffled, key=len, reverse=True):
        (first if len(first) <= len(second) else second).extend(rows)
    return features[first], features[second]
