"""Episodes: small learning problems drawn from labelled rows, one after the other without end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transfuse.data.seeds import seed_for
from transfuse.errors import DataError, Problem

__all__ = ["EpisodeStream", "Episodes"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Episodes:
    """How many classes an episode has, and how many rows of each."""

    ways: int = 8
    """Classes in an episode; fewer where there are fewer. Default: 8."""

    shots: int = 4
    """Rows of each class to learn from. Default: 4."""

    queries: int = 4
    """Rows of each class to be asked about. Default: 4."""

    def __post_init__(self) -> None:
        for name, least in (("ways", 2), ("shots", 1), ("queries", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


class EpisodeStream:
    """Draws episodes; the draw is a function of (seed, name, rank, number of the episode) alone.

    Classes take turns: they are shuffled and dealt out, `ways` to an episode, and shuffled anew
    when too few are left, so that no class waits long and a saved position is one number. The rows
    of a class are drawn anew for each episode.

    Of a class with fewer rows than an episode asks for, all are drawn: at least one to learn from
    and, if queries are asked for, at least one to be asked about. Classes without so many rows are
    left out.

    Args:
        targets: The class of each row, integers [rows].
        episodes: Sizes.
        seed: The run's seed.
        name: The stream's name; streams of other names draw independently.
        rank: This process; each draws episodes of its own.

    Raises:
        DataError: If fewer than two classes have rows enough.

    Attributes:
        number: How many episodes were handed out.
    """

    def __init__(
        self, targets: npt.ArrayLike, episodes: Episodes, *, seed: int, name: str, rank: int = 0
    ) -> None:
        classes = np.asarray(targets)
        if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
            raise DataError(
                Problem(
                    name,
                    "its labels are numbers or lists",
                    "one class for each row",
                    "Episodes need a classification.",
                )
            )
        least = 2 if episodes.queries else 1
        self._members = [
            rows
            for rows in (np.flatnonzero(classes == label) for label in np.unique(classes))
            if len(rows) >= least
        ]
        if len(self._members) < 2:
            raise DataError(
                Problem(
                    name,
                    f"{len(self._members)} classes have {least} rows or more",
                    "at least two such classes",
                    "Give more labelled rows.",
                )
            )
        self.episodes, self.name, self.number = episodes, name, 0
        self._seed, self._rank = seed, rank

    def __iter__(self) -> "EpisodeStream":
        return self

    def __next__(self) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Row numbers, int64 [n], class by class, and which of them are to be learnt from [n]."""
        rng = self._rng("rows", self.number)
        rows, support = [], []
        for place in self._classes(self.number).tolist():
            drawn, learnt = self._drawn(self._members[place], rng)
            rows.append(drawn)
            support.append(np.arange(len(drawn)) < learnt)
        self.number += 1
        return np.concatenate(rows).astype(np.int64), np.concatenate(support)

    def state_dict(self) -> dict[str, Any]:
        """The position, as plain values."""
        return {"number": self.number}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to a saved position."""
        self.number = int(state["number"])

    def _rng(self, what: str, number: int) -> np.random.Generator:
        return np.random.default_rng(seed_for(self._seed, self.name, self._rank, what, number))

    def _classes(self, number: int) -> Indices:
        """The classes of an episode, as places in the list of members."""
        ways = min(self.episodes.ways, len(self._members))
        deal, place = divmod(number, len(self._members) // ways)
        order = self._rng("classes", deal).permutation(len(self._members))
        return order[place * ways : (place + 1) * ways]

    def _drawn(self, members: Indices, rng: np.random.Generator) -> tuple[Indices, int]:
        """Rows of one class, those to learn from first, and how many those are."""
        asked = self.episodes.queries
        wanted = self.episodes.shots + asked
        drawn = members[rng.permutation(len(members))[:wanted]]
        if len(drawn) == wanted or not asked:
            return drawn, min(self.episodes.shots, len(drawn))
        learnt = round(len(drawn) * self.episodes.shots / wanted)
        return drawn, min(max(learnt, 1), len(drawn) - 1)
