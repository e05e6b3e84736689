"""Classification from what the labels mean: the options, the labels' texts, and the head they give.

No labelled row is read. What does the work stands in `without_labels.py`, for a model that entails
in `entailment.py`, and for one that compares pictures with texts in `text_labels.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transfuse.errors import Problem, RecipeError
from transfuse.recipe import nearest

__all__ = ["ZeroShot", "label_texts", "prototype_head"]

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ZeroShot:
    """What the labels mean, in a space of vectors or by entailment; no labelled row is read.

    With an encoder, each label is the direction of its texts' vectors (Chang et al., 2008,
    'Importance of semantic representation: dataless classification'). With a model that entails,
    each label is a hypothesis about the row (Yin, Hay and Roth, 2019, arXiv:1909.00161). With a
    model that compares pictures with texts rows are pictures (Radford et al., 2021,
    arXiv:2103.00020).
    """

    encoder: str | None = None
    """A sentence encoder: a Hugging Face id, a local folder, or an installed package. Default:
    none; give this, `entails` or `pairs`."""

    entails: str | None = None
    """A model that was trained for entailment, by its name as `encoder`. Default: none."""

    pairs: str | None = None
    """A model that compares pictures with texts: a model folder of `task: matching`, or a CLIP or
    SigLIP checkpoint by its name as `encoder`. Default: none."""

    descriptions: dict[str | int, str | tuple[str, ...]] = field(default_factory=dict)
    """What each label means: a text, or several that are averaged. Default: the label's name in
    the template."""

    template: str | None = None
    """The text of a label without a description, its name in the place of the braces. Default:
    `This text is about {}.`, and for pictures `A photo of {}.`."""

    calibrate: bool = True
    """Whether each label's mean logit over unlabelled rows is subtracted, which takes labels to be
    about equally frequent. Default: true."""

    scale: float | None = None
    """Factor of the cosine before the softmax. Default: 20, and with `pairs` what that model has
    learnt."""

    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    """How token vectors become one. Default: what the encoder says of itself, otherwise mean."""

    max_length: int = 128
    """Longest text in tokens; the rest is cut off. Default: 128."""

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.encoder, self.entails, self.pairs)) != 1:
            raise ValueError("give either `encoder` or `entails` or `pairs`")
        if self.template is not None and self.template.count("{}") != 1:
            raise ValueError("template holds {} once, in the place of the label's name")
        if self.scale is not None and not 0 < self.scale < np.inf:
            raise ValueError("scale is a number above 0")
        if self.max_length < 2:
            raise ValueError("max_length is at least 2")

    @property
    def source(self) -> str:
        """The model that does the work."""
        return str(self.encoder or self.entails or self.pairs)

    @property
    def sentence(self) -> str:
        """The template, with its default."""
        if self.template is not None:
            return self.template
        return "This text is about {}." if self.pairs is None else "A photo of {}."


def label_texts(options: ZeroShot, labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The texts of each label.

    Args:
        options: Descriptions and template.
        labels: The names of the labels.

    Raises:
        RecipeError: If a description is of no label, or a label is a number and has none.
    """
    place = "model.zero_shot.descriptions"
    given = {
        str(label): (texts,) if isinstance(texts, str) else texts
        for label, texts in options.descriptions.items()
    }
    problems = [
        Problem(f"{place}.{label}", "no such label", fix=nearest(label, labels))
        for label in given
        if label not in labels
    ]
    problems += [
        Problem(f"{place}.{label}", "there is no text", "a text, or several")
        for label, texts in given.items()
        if not texts or not all(text.strip() for text in texts)
    ]
    problems += [
        Problem(place, f"the label {label!r} has no word", f"what {label!r} means, as a text")
        for label in labels
        if label not in given and not any(character.isalpha() for character in label)
    ]
    if problems:
        raise RecipeError(problems)
    return tuple(
        given.get(label, (options.sentence.format(label.replace("_", " ").strip()),))
        for label in labels
    )


def prototype_head(
    labels: Sequence[Array], features: Array, *, calibrate: bool, scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights and bias of a linear head that compares rows with the labels' texts.

    The logits are `scale` times the cosine, but for one thing: a row's length is taken to be the
    rows' mean length, which makes them linear and changes no prediction unless there is a bias.
    Subtracting the mean logits is the same as subtracting the rows' mean vector.

    Args:
        labels: Vectors of the texts of each label, [texts, d].
        features: Vectors of unlabelled rows, [n, d].
        calibrate: Whether each label's mean logit over these rows becomes 0.
        scale: Factor of the cosine.

    Returns:
        Weights [labels, d] and biases [labels].
    """
    rows = features.astype(np.float64)
    middle = rows.mean(axis=0) if calibrate else np.zeros(rows.shape[1])
    whole, length = (np.linalg.norm(part, axis=1).mean() for part in (rows, rows - middle))
    # Rows that are all the same have no length about their mean but that of rounding.
    length = max(length, 1e-6 * whole) or 1.0
    directions = _unit(np.stack([_unit(texts.astype(np.float64)).mean(axis=0) for texts in labels]))
    weights = scale * directions / length
    return weights.astype(np.float32), (-weights @ middle).astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: NDArray[np.float64] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return found
