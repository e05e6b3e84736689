"""Drawn predictions and truths of the kinds whose shapes take more than a line."""

import numpy as np


def matching(seed, rows):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, 2, 4))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return vectors.reshape(rows, 8), rng.integers(0, 3, rows)


def detection(seed, rows):
    """Queries and boxes of three classes, some boxes found; crowds and pictures without boxes."""
    rng = np.random.default_rng(seed)
    boxes = np.concatenate(
        [rng.integers(-3, 3, (rows, 4, 1)), rng.uniform(0.1, 0.5, (rows, 4, 4))], axis=2
    )
    chances = rng.dirichlet(np.full(4, 0.5), (rows, 5))
    places = rng.uniform(0.1, 0.5, (rows, 5, 4))
    places[:, :2] = boxes[:, :2, 1:]
    return np.concatenate([chances, places], axis=2), boxes


def segmentation(seed, rows):
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(3, 0.5), (rows, 9)).transpose(0, 2, 1)
    return chances, rng.choice([0, 1, 2, 255], (rows, 9))
