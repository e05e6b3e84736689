"""Methods that need no more than a run of weights at a time, whatever the tensor's size.

Such a method may first survey a tensor (norms, thresholds) and then mixes it run by run. A survey
is a generator: it yields an `Ask`, a function and the spans that it is to see, and gets what the
function returned for each span, in their order. Who runs it decides about files, threads and
memory; `combine` runs it over arrays, the engine over files.
"""

from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from transfuse.errors import ModelError, Problem
from transfuse.merging.base import Floats, Method
from transfuse.merging.desk import Desk

__all__ = ["BLOCK", "Ask", "Piece", "Span", "Streamed", "Survey", "Weighted", "answers", "blocks"]

BLOCK = 1 << 16
"""Weights of a run: few enough for the models' runs to stay near a core, and enough for threads not
to wait for each other between two steps. Sums are taken run by run on this grid, so
that nothing else changes them."""


class Span(NamedTuple):
    """A run of one tensor, flattened, from `start` to before `stop`."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Piece:
    """The weights of a run; the arrays are a worker's buffers, to be used up.

    Models lie in one array, so that a step over all of them is one call.

    Args:
        span: Which run.
        base: The base's weights, [n]; None where there is no base.
        models: Each model's weights, [models, n].
        desk: Room to work in.
    """

    span: Span
    base: Floats | None
    models: Floats
    desk: Desk

    def deltas(self) -> Floats:
        """What each model differs by from the base, [models, n], in place of their weights."""
        assert self.base is not None
        return np.subtract(self.models, self.base, out=self.models)


@dataclass(frozen=True)
class Ask:
    """What a survey wants to know.

    Args:
        spans: The runs to look at.
        look: From a run to what is wanted of it.
    """

    spans: Sequence[Span]
    look: Callable[[Piece], Any]


Survey = Generator[Ask, list[Any], Any]
"""Yields what it asks, is sent the answers, and returns what `Streamed.mix` needs to know."""


class Streamed(Method):
    """A method that mixes a tensor run by run."""

    surveys: ClassVar[bool] = False
    """Whether it surveys a tensor before it mixes it. Default: no."""

    symmetric: ClassVar[bool] = True
    """Whether the order of the models means nothing. Default: yes."""

    @property
    def together(self) -> bool:
        """Whether all tensors are surveyed as if they were one."""
        return False

    def survey(self, sizes: Mapping[str, int]) -> Survey:
        """Find out about tensors what mixing them needs.

        Args:
            sizes: How many weights each has: one tensor, or all of them where `together` holds.

        Returns:
            A generator that returns what `mix` is given.
        """
        yield from ()
        return None

    @abstractmethod
    def mix(self, piece: Piece, found: Any, out: Floats) -> None:
        """Merge a run.

        Args:
            piece: The run; its arrays may be used up.
            found: What the survey returned; None without one.
            out: Where the merged weights go, [n].
        """

    def arranged(self, order: Sequence[int]) -> Self:
        """The same method for models in another order.

        Args:
            order: The place that each model had before.
        """
        return self

    def combine(self, name: str, base: Floats | None, models: Sequence[Floats]) -> Floats:
        """See `Method.combine`."""
        self.check(len(models), base is not None)
        flat = [np.asarray(weights, np.float32).reshape(-1) for weights in models]
        start = None if base is None else np.asarray(base, np.float32).reshape(-1)
        desk, size = Desk(), len(flat[0])
        if not size:
            return np.empty(np.shape(models[0]), np.float32)

        def piece(span: Span) -> Piece:
            run = slice(span.start, span.stop)
            held = desk.floats("models", len(flat), span.stop - span.start)
            np.stack([weights[run] for weights in flat], out=held)
            return Piece(span, None if start is None else start[run].copy(), held, desk)

        def answer(asks: Mapping[int, Ask]) -> Mapping[int, list[Any]]:
            return {0: [asks[0].look(piece(span)) for span in asks[0].spans]}

        merged = np.empty(size, np.float32)
        with np.errstate(all="ignore"):
            found = answers([self.survey({name: size})], answer)[0] if self.surveys else None
            for span in blocks({name: size}):
                self.mix(piece(span), found, merged[span.start : span.stop])
        return merged.reshape(np.shape(models[0]))


@dataclass(frozen=True)
class Weighted(Streamed):
    """A streamed method with one weight for each model."""

    weights: tuple[float, ...] = ()
    """Weight of each model, in the order of the models. Default: all alike."""

    def __post_init__(self) -> None:
        if not all(np.isfinite(self.weights)):
            raise ValueError("weights are finite numbers")

    def check(self, models: int, has_base: bool) -> None:
        """See `Method.check`; the weights must be as many as the models."""
        super().check(models, has_base)
        if self.weights and len(self.weights) != models:
            raise ModelError(
                Problem("weights", f"got {len(self.weights)} for {models} models", "one for each")
            )

    def arranged(self, order: Sequence[int]) -> Self:
        """See `Streamed.arranged`."""
        return replace(self, weights=tuple(self.weights[place] for place in order if self.weights))

    def given(self, models: int) -> tuple[float, ...]:
        """The weight of each model; 1 where none is given.

        Args:
            models: How many models there are.
        """
        return self.weights or (1.0,) * models


def blocks(sizes: Mapping[str, int]) -> list[Span]:
    """The grid of runs over tensors, one after the other.

    Args:
        sizes: How many weights each has.
    """
    return [
        Span(name, start, min(start + BLOCK, size))
        for name, size in sizes.items()
        for start in range(0, size, BLOCK)
    ]


def answers(
    surveys: Sequence[Survey], answer: Callable[[Mapping[int, Ask]], Mapping[int, list[Any]]]
) -> list[Any]:
    """Run surveys side by side, question by question.

    Args:
        surveys: The surveys.
        answer: From the questions of those that still have one, by their places, to the answers.

    Returns:
        What each survey returned.
    """
    found: list[Any] = [None] * len(surveys)
    sent: Mapping[int, list[Any] | None] = dict.fromkeys(range(len(surveys)))
    while sent:
        asks: dict[int, Ask] = {}
        for place, reply in sent.items():
            try:
                # A generator starts with None.
                asks[place] = surveys[place].send(reply)  # type: ignore[arg-type]
            except StopIteration as end:
                found[place] = end.value
        sent = answer(asks) if asks else {}
    return found
