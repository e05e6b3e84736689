"""Which words drove an answer: `explain(model, "Works like a charm.")`.

    from transfuse import load_model
    from transfuse.explaining import explain

    for word in explain(load_model("runs/reviews/model"), "Works like a charm.").tokens:
        print(word.text, word.weight)

`occlusion.py` asks the model for answers only and explains every model folder; `gradients.py` looks
into a network.
"""

from collections.abc import Sequence
from typing import Literal

from transfuse.answering import ModelFolder, Tell
from transfuse.data import Role
from transfuse.errors import ModelError, Problem
from transfuse.explaining.deadline import Deadline
from transfuse.explaining.explanation import Explanation
from transfuse.explaining.gradients import integrate
from transfuse.explaining.occlusion import occlude
from transfuse.recipe import nearest

__all__ = ["METHODS", "Method", "explain", "explain_many"]

Method = Literal["occlusion", "integrated_gradients"]

METHODS: tuple[Method, ...] = ("occlusion", "integrated_gradients")
"""The ways to explain."""


def explain(
    model: ModelFolder,
    text: str,
    *,
    label: str | None = None,
    method: Method = "occlusion",
    steps: int = 32,
    tolerance: float = 0.05,
    seconds: float | None = None,
) -> Explanation:
    """Explain a model's answer to one text by its words.

    Args:
        model: The model.
        text: The text.
        label: The label whose score is explained. Default: the most probable one.
        method: `occlusion` leaves each word out in turn and works for every model;
            `integrated_gradients` follows the gradients of a network and needs captum. Default:
            occlusion.
        steps: Points of the integral to begin with; they are doubled up to five times until the
            gap is within the tolerance. Default: 32.
        tolerance: The gap of an integral that is tolerated. Default: 0.05.
        seconds: How long it may take. Default: as long as it takes.

    Returns:
        The weight of each word, with its place in the text.

    Raises:
        ModelError: If the model has no such label, is no network where gradients are asked for, or
            captum is missing, or the time is over.
        ValueError: If there is no such method, or `steps` or `tolerance` is not above 0.
    """
    return explain_many(
        model,
        [text],
        label=label,
        method=method,
        steps=steps,
        tolerance=tolerance,
        seconds=seconds,
    )[0]


def explain_many(
    model: ModelFolder,
    texts: Sequence[str],
    *,
    label: str | None = None,
    method: Method = "occlusion",
    steps: int = 32,
    tolerance: float = 0.05,
    seconds: float | None = None,
    tell: Tell | None = None,
) -> list[Explanation]:
    """Explain a model's answers to several texts, one after the other.

    Args:
        model: The model.
        texts: The texts.
        label: The label whose score is explained. Default: the most probable one of each text.
        method: As for `explain`.
        steps: As for `explain`.
        tolerance: As for `explain`.
        seconds: How long all of them may take. Default: as long as they take.
        tell: Hears how far it has come. Default: nobody.

    Returns:
        One explanation for each text.

    Raises:
        ModelError: As `explain`.
        ValueError: As `explain`.
    """
    if model.reads != (Role.TEXT,):
        read = " and ".join(model.reads)
        raise ModelError(Problem(str(model.path), f"reads {read}", "a model that reads text"))
    if method not in METHODS:
        raise ValueError(f"the method is one of {', '.join(METHODS)}, got {method!r}")
    if steps < 1 or not tolerance > 0:
        raise ValueError("steps is at least 1, and tolerance above 0")
    number = None if label is None else _number(model, label)
    deadline = None if seconds is None else Deadline(seconds)
    found = []
    for text in texts:
        if method == "occlusion":
            found.append(occlude(model, text, number, deadline=deadline))
        else:
            found.append(integrate(model, text, number, steps, tolerance, deadline))
        if tell is not None:
            tell("explaining", len(found), len(texts))
    return found


def _number(model: ModelFolder, label: str) -> int:
    """The output of a label."""
    names = model.task.label_names
    if label not in names:
        what = f"answers with no label {label!r}"
        listed = ", ".join(map(repr, names[:20]))
        raise ModelError(Problem(str(model.path), what, f"one of {listed}", nearest(label, names)))
    return names.index(label)
