"""Row statistics of boxes and masks, and the metrics that their sums decide.

As in `sums.py`: a function `*_sums` gives K numbers for each row, and its partner turns sums of
rows into the metric. Average precision needs the detections of all pictures in the order of their
confidence. The sums keep that order as bins of confidence: each picture tells how many right and
wrong detections it has in each bin, and a bin's detections count as one step of the curve. Bins
begin where right detections are, since only there the curve has a step: with fewer of them than
bins nothing is lost.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from transfuse.evaluation.inputs import UNLABELLED, Array

__all__ = [
    "BINS",
    "THRESHOLDS",
    "average_precision_value",
    "box_ious",
    "box_sums",
    "detections",
    "iou_value",
    "mask_sums",
    "pixel_value",
]

BINS = 100
"""Bins of confidence for each class."""

MOST = 100
"""Detections of one class that count in a picture at the most, the surest ones, as for COCO."""

_RECALLS = 100
"""Precision is read at recalls of 0, 1/100 … 1, as COCO does."""

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""COCO's overlaps from which on a box is found: .5, .55 … .95."""

_IN_CROWD = 0.5


class Detections(NamedTuple):
    """What a model says of one picture: one box for each of its Q queries."""

    classes: Array
    """Most probable class, int64 [Q]."""

    confidence: Array
    """Its probability, [Q]."""

    boxes: Array
    """Centre, width and height, as shares of the picture, [Q, 4]."""


def detections(scores: Array) -> Detections:
    """The detections of one picture.

    Args:
        scores: For each query the probabilities of C classes and of no object, then centre x,
            centre y, width and height, [Q, C + 5].
    """
    chances = scores[:, :-5]
    classes = chances.argmax(axis=1)
    return Detections(classes, chances[np.arange(len(chances)), classes], scores[:, -4:])


def box_ious(boxes: Array, others: Array) -> Array:
    """How much boxes overlap: intersection over union.

    Args:
        boxes: Centre x, centre y, width, height, [Q, 4].
        others: Likewise, [G, 4].

    Returns:
        [Q, G], 0 where both are empty.
    """
    shared = _shared(boxes, others)
    union = _areas(boxes)[:, None] + _areas(others)[None] - shared
    shares: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def box_sums(
    predictions: Array, labels: Array, *, thresholds: Sequence[float] = THRESHOLDS, bins: int = BINS
) -> Array:
    """Right detections by threshold, class and bin; all by class and bin; true boxes by class.

    Bins are chosen by the rows together: sums of two calls do not add up.

    In each picture detections are taken by falling confidence, and each takes the box of its class
    that it overlaps most among those still free; it is right where the overlap reaches the
    threshold (COCO's rule). A detection that takes no box and lies by half or more in a crowd of
    its class does not count, nor do detections of a class after the surest 100.

    Args:
        predictions: As `detections` says, [n, Q, C + 5].
        labels: Class, centre x, centre y, width and height of each box, [n, M, 5]. Class -1 is
            padding; -2 - c is a crowd of class c.
        thresholds: The overlaps, T of them. Default: COCO's ten.
        bins: Bins of confidence, B. Default: 100.

    Returns:
        Float64 [n, (T + 1) C B + C].
    """
    classes = predictions.shape[2] - 5
    steps = np.asarray(thresholds, dtype=np.float64)
    sums = np.zeros((len(predictions), (len(steps) + 1) * classes * bins + classes))
    found = [detections(scores) for scores in predictions]
    pairs = [_matched(one, truth, steps) for one, truth in zip(found, labels, strict=True)]
    hits = [np.logical_or.reduce(matched, axis=0) for matched, _ in pairs]
    edges = [_edges(found, hits, kind, bins) for kind in range(classes)]
    for row, (one, (matched, counted)) in enumerate(zip(found, pairs, strict=True)):
        right = sums[row, : len(steps) * classes * bins].reshape(len(steps), classes, bins)
        rest = sums[row, len(steps) * classes * bins :]
        bin_of = np.zeros(len(one.classes), np.int64)
        for kind in np.unique(one.classes):
            own = one.classes == kind
            bin_of[own] = np.searchsorted(edges[kind], one.confidence[own], side="right")
        np.add.at(rest[:-classes].reshape(classes, bins), (one.classes, bin_of), counted)
        for step, reached in enumerate(matched):
            np.add.at(right[step], (one.classes[reached], bin_of[reached]), 1.0)
        real = labels[row][labels[row][:, 0] >= 0, 0].astype(np.int64)
        rest[-classes:] = np.bincount(real, minlength=classes)
    return sums


def average_precision_value(sums: Array, *, thresholds: int, bins: int = BINS) -> Array:
    """Mean average precision over thresholds and over the classes that have true boxes.

    It is the mean over 101 recalls from 0 to 1 of the best precision at that recall or above, as
    COCO has it. 0 where no box is true.

    Args:
        sums: Sums of `box_sums`, [..., K].
        thresholds: Their number, T.
        bins: Bins of confidence, B. Default: 100.
    """
    classes = sums.shape[-1] // ((thresholds + 1) * bins + 1)
    blocks = sums[..., :-classes].reshape(*sums.shape[:-1], thresholds + 1, classes, bins)
    # From the most confident bin on.
    upto = blocks[..., ::-1].cumsum(axis=-1)
    right, said = upto[..., :-1, :, :], upto[..., -1:, :, :]
    actual = sums[..., None, -classes:, None]
    precision = np.divide(right, said, out=np.zeros_like(right), where=said > 0)
    best = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    recall = np.divide(right, actual, out=np.zeros_like(right), where=actual > 0)
    # How many of the 101 recalls are reached; 29 of 100 is no less than .29.
    reached = np.floor(recall * _RECALLS + 1e-9) + 1
    area = (np.diff(reached, axis=-1, prepend=0.0) * best).sum(axis=-1) / (_RECALLS + 1)
    present = sums[..., None, -classes:] > 0
    count = present.sum(axis=-1)[..., 0]
    mean: Array = (area * present).sum(axis=(-1, -2)) / (count * thresholds).clip(1)
    return mean


def mask_sums(predictions: Array, labels: Array) -> Array:
    """For each class the pixels that are hit, predicted and actual, as 3 blocks of C columns.

    Args:
        predictions: Probabilities of the classes in each of P pixels, [n, C, P].
        labels: The class of each pixel, [n, P]; 255 is left out.
    """
    classes = predictions.shape[1]
    sums = np.empty((len(labels), 3 * classes))
    for row, (chances, true) in enumerate(zip(predictions, labels, strict=True)):
        known = true != UNLABELLED
        said, real = chances.argmax(axis=0)[known], true[known].astype(np.int64)
        sums[row] = np.concatenate(
            [np.bincount(each, minlength=classes) for each in (real[said == real], said, real)]
        )
    return sums


def iou_value(sums: Array) -> Array:
    """Intersection over union, mean over the classes that occur in labels or predictions."""
    hit, predicted, actual = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    union = predicted + actual - hit
    shares = np.divide(hit, union, out=np.zeros_like(hit), where=union > 0)
    mean: Array = shares.sum(axis=-1) / (union > 0).sum(axis=-1).clip(1)
    return mean


def pixel_value(sums: Array) -> Array:
    """The share of the labelled pixels that are right; 0 where none is labelled."""
    hit, _, actual = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    top, bottom = hit.sum(axis=-1), actual.sum(axis=-1)
    share: Array = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
    return share


def _edges(found: Sequence[Detections], hits: Sequence[Array], kind: int, bins: int) -> Array:
    """The confidences at which the bins of a class begin, but for the lowest; rising."""
    right = [
        one.confidence[hit & (one.classes == kind)] for one, hit in zip(found, hits, strict=True)
    ]
    values = np.unique(np.concatenate([np.empty(0), *right]))
    places = np.linspace(0, len(values) - 1, min(bins - 1, len(values))).round().astype(np.int64)
    edges: Array = values[places]
    return edges


def _matched(found: Detections, truth: Array, steps: Array) -> tuple[Array, Array]:
    """Which detections are right at each threshold, bool [T, Q]; and which count, float [Q]."""
    real = truth[truth[:, 0] >= 0]
    crowds = truth[truth[:, 0] < -1]
    matched = np.zeros((len(steps), len(found.boxes)), dtype=np.bool_)
    counted = np.ones(len(found.boxes))
    overlap = box_ious(found.boxes, real[:, 1:])
    overlap[found.classes[:, None] != real[None, :, 0]] = 0.0
    # Only detections that could take a box have to be taken one after the other.
    order = np.argsort(-found.confidence, kind="stable")
    for kind in np.unique(found.classes):
        late = order[found.classes[order] == kind][MOST:]
        counted[late], overlap[late] = 0.0, 0.0
    free = np.ones((len(steps), len(real)), dtype=np.bool_)
    every = np.arange(len(steps))
    for query in order[(overlap[order] >= steps.min()).any(axis=1)]:
        reach = np.where(free, overlap[query], 0.0)
        best = reach.argmax(axis=1)
        hits = reach[every, best] >= steps
        free[every[hits], best[hits]] = False
        matched[:, query] = hits
    if len(crowds):
        inside = _shared(found.boxes, crowds[:, 1:]) / _areas(found.boxes)[:, None].clip(1e-12)
        inside[found.classes[:, None] != -2 - crowds[None, :, 0]] = 0.0
        counted[(inside.max(axis=1) >= _IN_CROWD) & ~matched.any(axis=0)] = 0.0
    return matched, counted


def _shared(boxes: Array, others: Array) -> Array:
    low = np.maximum(_low(boxes)[:, None], _low(others)[None])
    high = np.minimum(_high(boxes)[:, None], _high(others)[None])
    shared: Array = (high - low).clip(0).prod(axis=2)
    return shared


def _low(boxes: Array) -> Array:
    return boxes[:, :2] - boxes[:, 2:] / 2


def _high(boxes: Array) -> Array:
    return boxes[:, :2] + boxes[:, 2:] / 2


def _areas(boxes: Array) -> Array:
    areas: Array = boxes[:, 2] * boxes[:, 3]
    return areas
