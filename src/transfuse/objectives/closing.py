"""Heads that are set when training ends: class means, or logistic regression over the features.

Methods that shape the encoder's space leave it to these to draw the borders between classes.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from transfuse.errors import ModelError, Problem, RecipeError
from transfuse.models import Batch, Head, Network
from transfuse.objectives.base import Facts, StreamTask
from transfuse.objectives.logistic import choose_penalty, fit_logistic

__all__ = [
    "Closing",
    "check_classes",
    "class_means",
    "close_head",
    "leave_one_out_scale",
    "rows_and_targets",
]

Closing = Literal["centroid", "logistic", "trained"]
"""What becomes of the head: class means, a logistic regression, or as training left it."""

_ABSENT = -1e4
"""The logit of a class without rows."""

_SCALES = tuple(float(2.0**power) for power in range(-12, 13))

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]


def check_classes(method: str, network: Network, fact: Facts, *, linear: bool) -> StreamTask:
    """Whether a method that learns classes has classes, and a head that can be set.

    Args:
        method: The objective's name in recipes.
        network: The network that will learn.
        fact: What is known of the rows.
        linear: Whether the head has to be one linear layer.

    Raises:
        RecipeError: If the task is not a classification.
        ModelError: If the head has to be linear and is not.
    """
    known = fact.task
    assert known is not None, "labelled rows have a task"
    if known.task.kind != "classification":
        raise RecipeError(
            Problem(
                "learn",
                f"{method} needs classes, the task is {known.task.kind}",
                "classification",
                "Leave it out, or make the labels classes.",
            )
        )
    head = network.heads[known.head]
    assert isinstance(head, Head)
    if linear and (head.linear is None or head.linear.bias is None):
        raise ModelError(
            Problem(
                "learn",
                f"{method} sets the head, and this architecture's own is no plain linear layer",
                "one linear layer with a bias",
                "Give the model `pooling: mean`, which puts one there.",
            )
        )
    return known


def close_head(
    network: Network,
    stream: str,
    batches: Iterable[Batch],
    closing: Closing,
    *,
    cosine: bool = False,
    scale: float | None = None,
    penalty: float | None = None,
) -> None:
    """Set the linear head of a stream from all of its rows.

    Args:
        network: The network, in evaluation mode.
        stream: The stream's name without a view.
        batches: All rows of the stream.
        closing: How.
        cosine: Compare directions instead of places: the mean direction of each class, or a
            logistic regression on directions, without biases. Lengths then change no decision.
        scale: For centroids: factor of the logits. Default: the likeliest, leaving one out.
        penalty: For logistic: the penalty. Default: chosen by cross-validation.
    """
    if closing == "trained":
        return
    name = stream if stream in network.heads else "target"
    head = network.heads[name]
    assert isinstance(head, Head)
    assert head.linear is not None, "checked before training began"
    features, targets = rows_and_targets(network, batches, name)
    if closing == "centroid":
        solution = _centroids(features, targets, head.outputs, cosine, scale)
    else:
        solution = _logistic(features, targets, head.outputs, cosine, penalty)
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(solution[:, :-1]))
        head.linear.bias.copy_(torch.from_numpy(solution[:, -1]))


def class_means(features: torch.Tensor, targets: torch.Tensor, classes: int) -> torch.Tensor:
    """The mean vector of each class [classes, d]; 0 for a class without rows.

    Args:
        features: Vectors [n, d].
        targets: Class numbers [n].
        classes: How many classes there are.
    """
    member = functional.one_hot(targets, classes).to(features.dtype)
    return member.T @ features / member.sum(0).clamp(min=1)[:, None]


def leave_one_out_scale(features: Floats, targets: Classes, classes: int, cosine: bool) -> float:
    """The factor of centroid logits that makes each row likeliest under the means of the others.

    Args:
        features: Vectors [n, d]; for cosines, of length 1.
        targets: Class numbers [n].
        classes: How many classes there are.
        cosine: Whether logits are cosines, or else squared distances.

    Returns:
        A power of two times the inverse of the mean logit's size; where no class has two rows,
        that inverse itself.
    """
    rows = torch.from_numpy(features)
    labels = torch.from_numpy(targets)
    means = class_means(rows, labels, classes)
    counts = torch.bincount(labels, minlength=classes)
    mine = counts[labels][:, None].to(rows.dtype)
    others = (mine * means[labels] - rows) / (mine - 1).clamp(min=1)
    places = torch.arange(len(labels))
    if cosine:
        logits = rows @ functional.normalize(means, dim=1).T
        logits[places, labels] = (rows * functional.normalize(others, dim=1)).sum(1)
    else:
        logits = -torch.cdist(rows, means).square()
        logits[places, labels] = -(rows - others).square().sum(1)
    logits[:, counts == 0] = -torch.inf
    unit = 1 / float(logits[logits.isfinite()].abs().mean().clamp(min=1e-12))
    asked = counts[labels] > 1
    if not asked.any():
        return unit
    losses = [
        float(functional.cross_entropy(scale * unit * logits[asked], labels[asked]))
        for scale in _SCALES
    ]
    return unit * _SCALES[int(np.argmin(losses))]


def _centroids(
    features: Floats, targets: Classes, classes: int, cosine: bool, scale: float | None
) -> Floats:
    """Weights and biases of the linear head that answers with the nearest class mean."""
    if cosine:
        features = _directions(features)
    if scale is None:
        scale = leave_one_out_scale(features, targets, classes, cosine)
    means = class_means(torch.from_numpy(features), torch.from_numpy(targets), classes).numpy()
    if cosine:
        weights, biases = scale * _directions(means), np.zeros(classes)
    else:
        weights, biases = 2 * scale * means, -scale * np.square(means).sum(1)
    biases[np.bincount(targets, minlength=classes) == 0] = _ABSENT
    return np.hstack([weights, biases[:, None]])


def _logistic(
    features: Floats, targets: Classes, classes: int, cosine: bool, penalty: float | None
) -> Floats:
    """Weights and biases of a logistic regression on places or on directions."""
    length = 1.0
    if cosine:
        length = float(np.linalg.norm(features, axis=1).mean())
        features = _directions(features)
    present, places = np.unique(targets, return_inverse=True)
    if penalty is None:
        penalty = choose_penalty(features, places, len(present), biased=not cosine)
    fitted = fit_logistic(features, places, len(present), penalty, biased=not cosine)
    # The head will read vectors of their own length.
    fitted[:, :-1] /= length
    solution = np.zeros((classes, features.shape[1] + 1))
    solution[:, -1] = _ABSENT
    solution[present] = fitted
    return solution


def _directions(vectors: Floats) -> Floats:
    """Vectors of length 1; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: Floats = vectors / np.maximum(lengths, np.finfo(float).tiny)
    return directions


def rows_and_targets(
    network: Network, batches: Iterable[Batch], head: str
) -> tuple[Floats, Classes]:
    """The vectors that a head reads [n, d] and the classes [n], of all rows.

    Args:
        network: The network, in evaluation mode.
        batches: All rows of a stream.
        head: The head's name.
    """
    features, targets = [], []
    with torch.no_grad():
        for batch in batches:
            outputs = network(batch, 0, [head])
            features.append(outputs.features.double().cpu())
            targets.append(batch["targets"].cpu())
    return torch.cat(features).numpy(), torch.cat(targets).numpy().astype(np.int64)
