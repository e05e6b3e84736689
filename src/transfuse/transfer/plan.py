"""One recipe, typed: what a run is going to do, and the recipe that says so again."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transfuse.alignment import ALIGNMENTS, Alignment
from transfuse.balancing import BALANCERS, Balancer, Fixed
from transfuse.data import AUGMENTATIONS, Augmenting, Cleaning, Splitting
from transfuse.objectives import OBJECTIVES, Objective, Target, rows_of
from transfuse.recipe import spec_of
from transfuse.tasks import TASKS, Task
from transfuse.training import Training, streams_of
from transfuse.transfer.choices import MODELS, Model, TableChoice
from transfuse.transfer.zero_shot import ZeroShot
from transfuse.tuning import TUNINGS, Full, Tuning

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """One recipe, typed: what a run is going to do."""

    name: str
    model: Model
    data: Mapping[str, TableChoice]
    """Tables by use: target, and if given source, unlabelled, validation and test."""

    title: str = ""
    description: str = ""
    clean: Cleaning = field(default_factory=Cleaning)
    split: Splitting = field(default_factory=Splitting)
    task: Task | None = None
    """Default: what the labels ask for."""

    tune: Tuning = field(default_factory=Full)
    learn: tuple[Objective, ...] = (Target(),)
    balance: Balancer = field(default_factory=Fixed)
    train: Training = field(default_factory=Training)
    augment: Augmenting = field(default_factory=Augmenting)
    align: Alignment | None = None
    """What brings the source's features to the target's before a frozen probe is solved. Default:
    nothing."""

    budget: int | None = None
    """Labelled target rows to train on. Default: all training rows."""

    shots: int | None = None
    """Labelled target rows of each class, in place of a budget."""

    seed: int = 0

    @property
    def streams(self) -> tuple[str, ...]:
        """The rows that the objectives read, by the streams' names without views.

        Without any label to learn from there are none.
        """
        if isinstance(self.model, ZeroShot):
            return ()
        return tuple(dict.fromkeys(rows_of(name) for name in streams_of(self.learn)))

    def work(self) -> dict[str, Any]:
        """What the recipe says that changes the result: all but its name and description."""
        told = self.recipe()
        return {key: told[key] for key in told if key not in {"name", "title", "description"}}

    def recipe(self) -> dict[str, Any]:
        """The plan as a recipe that gives the same plan again."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "model": spec_of(MODELS, self.model),
            "data": {use: _changed(choice) for use, choice in self.data.items()},
            "clean": _changed(self.clean),
            "split": _changed(self.split),
            "task": None if self.task is None else spec_of(TASKS, self.task),
            "tune": spec_of(TUNINGS, self.tune),
            "learn": [spec_of(OBJECTIVES, objective) for objective in self.learn],
            "balance": spec_of(BALANCERS, self.balance),
            "train": _changed(self.train),
            "augment": {
                "methods": [spec_of(AUGMENTATIONS, method) for method in self.augment.methods],
                "variants": self.augment.variants,
            },
            "align": None if self.align is None else spec_of(ALIGNMENTS, self.align),
            "budget": self.budget,
            "shots": self.shots,
            "seed": self.seed,
        }


def _changed(options: Any) -> dict[str, Any]:
    """The options that are not at their defaults."""
    return {
        item.name: getattr(options, item.name)
        for item in dataclasses.fields(options)
        if getattr(options, item.name) != _default(item)
    }


def _default(item: "dataclasses.Field[Any]") -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return item.default
