"""What a detector or a segmenter says, as a row of a file."""

import json

import numpy as np

from transfuse.answering.doubt import Doubt, Doubting
from transfuse.answering.prediction import as_columns, new_columns, predictions
from transfuse.tasks import Detection, Segmentation


def test_boxes_are_one_cell_of_a_file() -> None:
    task = Detection(labels=("cat", "dog"), grid=1)
    scores = np.array([[[0.1, 0.8, 0.1, 0.5, 0.5, 0.5, 0.25]], [[0.1, 0.1, 0.8, 0, 0, 0, 0]]])
    found = predictions(task, scores, Doubting())
    kinds = new_columns(task, probabilities=True, doubt=Doubt())
    first, second = as_columns(found, kinds).to_pydict()["prediction"]
    (box,) = json.loads(first)
    wanted = {"label": "dog", "probability": 0.8, "x": 0.25, "y": 0.375, "w": 0.5, "h": 0.25}
    assert box == wanted
    assert json.loads(second) == []


def test_masks_are_told_by_the_shares_of_their_classes() -> None:
    task = Segmentation(labels=("sky", "sea"), grid=2)
    scores = np.array([[[0.9, 0.9, 0.2, 0.9], [0.1, 0.1, 0.8, 0.1]]])
    found = predictions(task, scores, Doubting())
    table = as_columns(found, new_columns(task, probabilities=False, doubt=Doubt()))
    assert json.loads(table.to_pydict()["prediction"][0]) == {"sky": 0.75, "sea": 0.25}
