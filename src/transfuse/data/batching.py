"""Batches by length under a token budget, and a stream of them whose position can be saved.

A padded batch costs rows × longest row, whatever the other rows hold. So rows of like length go
together, and a batch holds as many rows as fit the budget. Everything here is arithmetic on row
lengths; what a row is does not matter.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transfuse.data.seeds import seed_for
from transfuse.errors import DataError, Problem

__all__ = ["Batching", "Stream", "evaluation_batches", "plan_epoch"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batching:
    """How rows are put together into batches."""

    rows: int = 16
    """The most rows in a batch."""
    tokens: int = 4096
    """The most tokens in a batch, padding included: rows × longest row."""
    window: int = 50
    """Rows are sorted by length among this many batches; larger pads less and mixes less."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def plan_epoch(
    lengths: npt.ArrayLike,
    batching: Batching,
    rng: np.random.Generator,
    shuffle: bool = True,
    least: int = 1,
) -> list[Indices]:
    """The batches of one epoch: every row once.

    Rows are shuffled, sorted by length inside windows, cut into batches within the budget, and the
    batches are shuffled. Inside a batch the longest row comes first.

    Args:
        lengths: Tokens in each row, integers [rows].
        batching: The budget.
        rng: The only source of randomness; unused without shuffling.
        shuffle: False keeps the windows in row order and the batches in window order.
        least: The fewest rows in a batch, for work that is shared by this many processes. It goes
            before the budget, as one over-long row does: a batch may then exceed the budget, but
            never holds more than two rows for each process.

    Returns:
        Row indices of each batch, int64 arrays.

    Raises:
        DataError: If there are rows, but fewer than `least`.
    """
    sizes = _checked_lengths(lengths)
    total = len(sizes)
    if 0 < total < least:
        raise DataError(
            Problem(
                "batches",
                f"{total} rows cannot be shared by {least} processes",
                f"at least {least} rows",
                "Use fewer processes or more rows.",
            )
        )
    order = rng.permutation(total) if shuffle else np.arange(total)
    span = max(batching.window * batching.rows, least)
    windows = np.arange(total) // span
    if total % span and total % span < least:
        windows[-(total % span) :] -= 1  # too few rows for a window of their own
    # lexsort is stable: rows of one length stay in shuffled order.
    order = order[np.lexsort((-sizes[order], windows))].astype(np.int64)
    sizes = sizes[order]
    bounds = np.flatnonzero(np.diff(windows, prepend=-1, append=total + 1))
    batches = [
        order[start:stop]
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        for start, stop in _cuts(sizes, first, last, batching.rows, batching.tokens, least)
    ]
    if shuffle:
        batches = [batches[place] for place in rng.permutation(len(batches))]
    return batches


def evaluation_batches(lengths: npt.ArrayLike, tokens: int = 4096) -> list[Indices]:
    """Batches for a pass without gradients: sorted by length, no randomness.

    The longest rows come first, so that a batch too large for memory fails at once.

    Args:
        lengths: Tokens in each row, integers [rows].
        tokens: The most tokens in a batch, padding included. A longer row is a batch of its own.

    Returns:
        Row indices of each batch, int64 arrays; every row once.
    """
    sizes = _checked_lengths(lengths)
    if tokens < 1:
        raise ValueError(f"tokens must be at least 1, got {tokens}")
    order = np.argsort(-sizes, kind="stable").astype(np.int64)
    cuts = _cuts(sizes[order], 0, len(sizes), max(len(sizes), 1), tokens, 1)
    return [order[start:stop] for start, stop in cuts]


def _cuts(
    sizes: Indices, first: int, last: int, rows: int, tokens: int, least: int
) -> Iterator[tuple[int, int]]:
    """Cuts the descending `sizes[first:last]` into the batches that fit, greedily."""
    while first < last:
        count = max(least, min(rows, tokens // int(sizes[first])))
        left = last - first
        if left - count < least and left > count:
            # The tail would be too small to share: leave it `least` rows, or take it along.
            count = left - least if left >= 2 * least else left
        count = min(count, left)
        yield first, first + count
        first += count


def _checked_lengths(lengths: npt.ArrayLike) -> Indices:
    sizes = np.asarray(lengths)
    if sizes.ndim != 1:
        raise ValueError(f"expected one length for each row, got shape {sizes.shape}")
    if len(sizes) and sizes.min() < 0:
        raise ValueError(f"row {int(sizes.argmin())} has a negative length, {sizes.min()}")
    # A row without tokens is still a row of the batch.
    return np.maximum(sizes.astype(np.int64), 1)


class Stream:
    """The batches of some epochs, or of ever more, with a position that can be saved.

    The plan of an epoch is a function of (seed, name, epoch) alone, so a saved position is three
    numbers, and going on from it replays nothing. At most one epoch's plan is held.

    With several processes, each batch of the plan is shared row by row: process `rank` takes rows
    rank, rank + world, … of it. Nothing is dropped and nothing is repeated. A batch that does not
    divide evenly gives the first processes one row more; batches are cut so that every process
    always has at least one row, and so all make the same number of steps. To weigh rows equally, a
    process scales its mean loss by `len(share) * world / global_rows`.

    Args:
        lengths: Tokens in each row, integers [rows].
        batching: The budget of a batch, all processes together.
        seed: The run's seed.
        name: The stream's name; streams of other names draw independently.
        epochs: How many epochs; None never ends.
        shuffle: False gives the rows in windows of their own order, every epoch alike.
        rank: This process, from 0.
        world: How many processes share each batch.

    Raises:
        DataError: If there is no row, or fewer rows than processes.

    Attributes:
        epoch: The epoch of the batch handed out last, from 0.
        batch: How many batches of that epoch were handed out.
        global_rows: Rows in the batch handed out last, all processes together; 0 before the first.
    """

    def __init__(
        self,
        lengths: npt.ArrayLike,
        batching: Batching | None = None,
        *,
        seed: int,
        name: str,
        epochs: int | None = None,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.batching = batching or Batching()
        self.name = name
        self.epochs = epochs
        self.epoch = 0
        self.batch = 0
        self.global_rows = 0
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is not among {world} processes")
        self._lengths = _checked_lengths(lengths)
        if not len(self._lengths):
            raise DataError(Problem(name, "has no rows", "at least one row"))
        self._seed, self._shuffle, self._rank, self._world = seed, shuffle, rank, world
        self._plan = self._planned(0)

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Indices:
        """This process's rows of the next batch, int64; StopIteration after the last epoch."""
        if self.finished:
            raise StopIteration
        if self.epoch_ended:
            self.epoch, self.batch = self.epoch + 1, 0
            self._plan = self._planned(self.epoch)
        whole = self._plan[self.batch]
        self.batch += 1
        self.global_rows = len(whole)
        return whole[self._rank :: self._world]

    @property
    def epoch_ended(self) -> bool:
        """Whether the batch handed out last was the last of its epoch."""
        return self.batch == len(self._plan)

    @property
    def finished(self) -> bool:
        """Whether every epoch has been handed out; never for an endless stream."""
        if self.epochs is None:
            return False
        return self.epoch >= self.epochs or (self.epoch == self.epochs - 1 and self.epoch_ended)

    def steps(self, epochs: int) -> int:
        """How many batches the first so many epochs have; needed to lay out a schedule.

        Under a token budget epochs differ a little in their number of batches, so each is planned.

        Args:
            epochs: The number of epochs.

        Returns:
            The number of batches, the same for every process.
        """
        return sum(len(self._planned(epoch)) for epoch in range(epochs))

    def state_dict(self) -> dict[str, Any]:
        """The position, as plain values that JSON can hold.

        Returns:
            `epoch`, `batch`, and `plan`, a hash of all that the batches depend on.
        """
        return {"epoch": self.epoch, "batch": self.batch, "plan": self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to a saved position: the next batch is the one that followed it.

        Args:
            state: What `state_dict` gave, from a stream over the same rows and settings.

        Raises:
            DataError: If the rows, the seed, the budget or the number of processes has changed, so
                that the position would mean other batches.
        """
        if state["plan"] != self._identity():
            raise DataError(
                Problem(
                    self.name,
                    "the saved position belongs to other batches",
                    "the same rows, seed, batch settings and number of processes as before",
                    "Start the run in a new folder, or restore what has changed.",
                )
            )
        epoch, batch = int(state["epoch"]), int(state["batch"])
        plan = self._planned(epoch)
        if not 0 <= batch <= len(plan):
            raise DataError(
                Problem(self.name, f"saved batch {batch}", f"0 to {len(plan)} in epoch {epoch}")
            )
        self.epoch, self.batch, self._plan = epoch, batch, plan
        self.global_rows = len(plan[batch - 1]) if batch else 0

    def _planned(self, epoch: int) -> list[Indices]:
        rng = np.random.default_rng(seed_for(self._seed, self.name, epoch))
        return plan_epoch(self._lengths, self.batching, rng, self._shuffle, self._world)

    def _identity(self) -> str:
        settings = [asdict(self.batching), self._seed, self.name, self._shuffle, self._world]
        digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
        digest.update(self._lengths.tobytes())
        return digest.hexdigest()
