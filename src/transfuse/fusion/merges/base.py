"""The interface of a merge of weights; the file to read first in this package.

A merge is a stage. `make` opens the common ancestor and checks that the models go together
(`family.py`); a method only says which weights the merged backbone has. Heads are put together by
the names of their labels (`heads.py`), and rows, scores and searches are in `work.py`.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.fusion.merges.batch_norm import has_batch_norm
from transfuse.fusion.merges.family import Family, Weights, relate
from transfuse.fusion.merges.search import search
from transfuse.fusion.merges.work import Work

__all__ = ["Merge", "Scaled", "Solution", "added", "facts", "searched", "statistics"]


@dataclass(frozen=True)
class Solution:
    """What a method has found.

    Args:
        weights: The weights of the merged backbone, every one.
        shares: What each member's head counts. Default: the same.
        told: What it found out on the way, as JSON can hold it. Default: nothing.
    """

    weights: Weights
    shares: tuple[float, ...] | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Merge(Stage):
    """Weights of several models become those of one."""

    base: str | None = None
    """The model that all were tuned from: a folder, an installed package or a hub id. Default: the
    one that their recipes name."""

    least: ClassVar[int] = 2
    most: ClassVar[int | None] = None

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        work = Work(relate(models, self.base), evidence, seed, tell)
        solution = self.solve(work)
        work.put(solution.weights, solution.shares)
        told = {**facts(work.family), **solution.told, **statistics(work)}
        return Made(work.network, work.family.task, told)

    @abstractmethod
    def solve(self, work: Work) -> Solution:
        """The weights of the merged backbone.

        Args:
            work: The models and their rows.
        """


@dataclass(frozen=True)
class Scaled(Merge):
    """A merge that goes from the ancestor in one direction, as far as validation rows like it."""

    scale: float | None = None
    """Factor of the merged delta. Default: the one from 0 to `highest` that validates best."""

    highest: float = 1.5
    """The greatest factor that is tried. Default: 1.5."""

    def __post_init__(self) -> None:
        if not self.highest > 0:
            raise ValueError("highest is above 0")

    def solve(self, work: Work) -> Solution:
        """See `Merge.solve`."""
        direction = self.direction(work)
        base = work.family.base
        if self.scale is not None:
            return Solution(added(base, direction, self.scale), told={"scale": self.scale})
        return searched(work, "scale", lambda scale: added(base, direction, scale), self.highest)

    @abstractmethod
    def direction(self, work: Work) -> Weights:
        """The merged delta at scale 1.

        Args:
            work: The models and their rows.
        """


def added(base: Weights, delta: Weights, scale: float = 1.0) -> Weights:
    """A base and a multiple of a delta.

    Args:
        base: Weights by name.
        delta: What is added; of the same names.
        scale: Its factor. Default: 1.
    """
    return {name: value + scale * delta[name] for name, value in base.items()}


def searched(
    work: Work, name: str, weights_at: Callable[[float], Weights], highest: float
) -> Solution:
    """The weights whose coefficient validates best.

    Args:
        work: The models and their rows.
        name: What the coefficient is called.
        weights_at: Gives the backbone's weights for a coefficient.
        highest: The greatest coefficient that is tried; 0 is the least.
    """
    found = search(
        lambda value: work.worth(weights_at(value)),
        0.0,
        highest,
        points=7,
        hear=lambda done, total: work.tell(f"search of {name}", done, total),
    )
    told = {name: found.value, "tried": [list(each) for each in found.tried]}
    return Solution(weights_at(found.value), told=told)


def facts(family: Family) -> dict[str, Any]:
    """What a report shows of any merge.

    Args:
        family: The models.
    """
    shared = [
        label
        for label in family.task.label_names
        if sum(label in member.task.label_names for member in family.members) > 1
    ]
    return {
        "base": family.source,
        "models": list(family.names),
        "distances": family.distances,
        "labels": {"all": len(family.task.label_names), "shared": len(shared)},
        **({"not_in_base": list(family.fresh)} if family.fresh else {}),
    }


def statistics(work: Work) -> dict[str, Any]:
    """Measure BatchNorm's statistics with the weights that the network has, and tell of it.

    Args:
        work: The models and their rows.

    Returns:
        For a report, under `batch_norm`: how many layers, on how many rows, and what the
        network scores on validation rows with the mean of the members' statistics and with its
        own; nothing where it has no such layers.
    """
    if not has_batch_norm(work.network):
        return {}
    told: dict[str, Any] = {"rows": work.repair.rows}
    judged = len(work.evidence.validation) > 0
    if judged:
        work.repair.average(work.network.encoder)
        told["averaged"] = work.as_it_is()[0]
    told["layers"] = work.measure()
    if judged:
        told["measured"] = work.as_it_is()[0]
    return {"batch_norm": told}
