"""What drove an answer: `explain(model, "Works like a charm.")`.

    from transfuse import load_model
    from transfuse.explaining import explain

    for word in explain(load_model("runs/reviews/model"), "Works like a charm.").tokens:
        print(word.text, word.weight)

`occlusion.py` asks the model for answers only and explains every model folder; `gradients.py` looks
into a network. What their parts are is said elsewhere: of a text in `texts.py` and `vectors.py`, of
a picture in `pictures.py` and `pixels.py`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from PIL import Image

from transfuse.answering import ModelFolder, Tell
from transfuse.data import Role
from transfuse.data.images import Picture
from transfuse.errors import ModelError, Problem
from transfuse.explaining.deadline import Deadline
from transfuse.explaining.explanation import Explanation
from transfuse.explaining.gradients import Entering, integrate, network_of
from transfuse.explaining.occlusion import Parts, occlude
from transfuse.explaining.pictures import Grid, PictureParts
from transfuse.explaining.pixels import Pixels
from transfuse.explaining.texts import TextParts
from transfuse.explaining.vectors import TokenVectors
from transfuse.recipe import nearest

__all__ = ["METHODS", "Method", "Row", "explain", "explain_many"]

Row = str | Picture | bytes | Image.Image
"""What can be explained: a text, or a picture as a row of a table, a file's bytes, or an image."""

Method = Literal["occlusion", "integrated_gradients"]

METHODS: tuple[Method, ...] = ("occlusion", "integrated_gradients")
"""The ways to explain."""

_KINDS = ("classification", "multilabel", "regression")
"""Tasks that give a row one number for each label."""


def explain(
    model: ModelFolder,
    row: Row,
    *,
    label: str | None = None,
    method: Method = "occlusion",
    steps: int = 32,
    tolerance: float = 0.05,
    seconds: float | None = None,
    grid: Grid | None = None,
) -> Explanation:
    """Explain a model's answer to one text by its words, or to one picture by its patches.

    Args:
        model: The model.
        row: The text, or the picture.
        label: The label whose score is explained. Default: the most probable one.
        method: `occlusion` leaves each word or patch out in turn and works for every model;
            `integrated_gradients` follows the gradients of a network and needs captum. Default:
            occlusion.
        steps: Points of the integral to begin with; they are doubled up to five times until the
            gap is within the tolerance. Default: 32.
        tolerance: The gap of an integral that is tolerated. Default: 0.05.
        seconds: How long it may take. Default: as long as it takes.
        grid: How a picture is cut into patches, and what an empty one shows. Default: 8 patches
            along the longer side, filled with the mean colour.

    Returns:
        The weight of each word or patch, with its place.

    Raises:
        DataError: If the picture cannot be decoded.
        ModelError: If the model reads something else or has no such label, is no network where
            gradients are asked for, or captum is missing, or the time is over.
        ValueError: If there is no such method, or `steps` or `tolerance` is not above 0.
    """
    return explain_many(
        model,
        [row],
        label=label,
        method=method,
        steps=steps,
        tolerance=tolerance,
        seconds=seconds,
        grid=grid,
    )[0]


def explain_many(
    model: ModelFolder,
    rows: Sequence[Row],
    *,
    label: str | None = None,
    method: Method = "occlusion",
    steps: int = 32,
    tolerance: float = 0.05,
    seconds: float | None = None,
    grid: Grid | None = None,
    tell: Tell | None = None,
) -> list[Explanation]:
    """Explain a model's answers to several rows, one after the other.

    Args:
        model: The model.
        rows: The texts, or the pictures.
        label: The label whose score is explained. Default: the most probable one of each row.
        method: As for `explain`.
        steps: As for `explain`.
        tolerance: As for `explain`.
        seconds: How long all of them may take. Default: as long as they take.
        grid: As for `explain`.
        tell: Hears how far it has come. Default: nobody.

    Returns:
        One explanation for each row.

    Raises:
        DataError: As `explain`.
        ModelError: As `explain`.
        ValueError: As `explain`.
    """
    role = _reads(model, rows)
    if method not in METHODS:
        raise ValueError(f"the method is one of {', '.join(METHODS)}, got {method!r}")
    if steps < 1 or not tolerance > 0:
        raise ValueError("steps is at least 1, and tolerance above 0")
    number = None if label is None else _number(model, label)
    what = "text" if role == Role.TEXT else "picture"
    deadline = None if seconds is None else Deadline(seconds, what)
    found = []
    for row in rows:
        if method == "occlusion":
            found.append(occlude(model, _parts(model, row, grid), number, deadline))
        else:
            entering = partial(_entering, model, row, grid)
            found.append(integrate(model, entering, number, steps, tolerance, deadline))
        if tell is not None:
            tell("explaining", len(found), len(rows))
    return found


def _reads(model: ModelFolder, rows: Sequence[Row]) -> Role:
    """The role of what is explained, which the rows must be."""
    if model.reads not in ((Role.TEXT,), (Role.IMAGE,)) or model.task.kind not in _KINDS:
        what = f"reads {' and '.join(model.reads)} for {model.task.kind}"
        expected = "a model that gives a text or a picture labels or a number"
        raise ModelError(Problem(str(model.path), what, expected))
    (role,) = model.reads
    if any(isinstance(row, str) != (role == Role.TEXT) for row in rows):
        given = "a picture" if role == Role.TEXT else "a text"
        raise ModelError(Problem(str(model.path), f"reads {role}, and was given {given}"))
    return role


def _parts(model: ModelFolder, row: Row, grid: Grid | None) -> Parts:
    if isinstance(row, str):
        return TextParts(model, row)
    return PictureParts(row, grid or Grid())


def _entering(model: ModelFolder, row: Row, grid: Grid | None) -> Entering:
    network = network_of(model)
    if isinstance(row, str):
        return TokenVectors(model, network, row)
    return Pixels(model, network, PictureParts(row, grid or Grid()))


def _number(model: ModelFolder, label: str) -> int:
    """The output of a label."""
    names = model.task.label_names
    if label not in names:
        what = f"answers with no label {label!r}"
        listed = ", ".join(map(repr, names[:20]))
        raise ModelError(Problem(str(model.path), what, f"one of {listed}", nearest(label, names)))
    return names.index(label)
