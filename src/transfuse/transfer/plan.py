"""One recipe, typed: what a run is going to do, and the recipe that says so again."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from transfuse.alignment import ALIGNMENTS, Alignment
from transfuse.answering import Stage
from transfuse.balancing import BALANCERS, Balancer, Fixed
from transfuse.data import AUGMENTATIONS, Augmenting, Cleaning, Splitting
from transfuse.models import FUSIONS, Fusion
from transfuse.objectives import OBJECTIVES, Objective, Target, Tasks, rows_of
from transfuse.recipe import spec_of
from transfuse.tasks import TASKS, Task
from transfuse.training import Training, streams_of
from transfuse.transfer.choices import MODELS, Columns, Folders, Model, TableChoice
from transfuse.transfer.stages import STAGES
from transfuse.transfer.task_data import TaskData
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

    tasks: Mapping[str, TaskData] = field(default_factory=dict)
    """The data of several tasks by name, `data.tasks` in a recipe, in place of a target."""

    title: str = ""
    description: str = ""
    clean: Cleaning = field(default_factory=Cleaning)
    split: Splitting = field(default_factory=Splitting)
    task: Task | None = None
    """Default: what the labels ask for."""

    fusion: Fusion | None = None
    """How several tasks share the encoder's vector. Default: they share it whole."""

    alone: bool = False
    """With several tasks, whether each gets a network of its own. Default: one for all."""

    tune: Tuning = field(default_factory=Full)
    learn: tuple[Objective, ...] = (Target(),)
    balance: Balancer = field(default_factory=Fixed)
    train: Training = field(default_factory=Training)
    augment: Augmenting = field(default_factory=Augmenting)
    align: Alignment | None = None
    """What brings the source's features to the target's before a frozen probe is solved. Default:
    nothing."""

    then: tuple[Stage, ...] = ()
    """What is done to the model after training, one after the other: fusing, pruning, quantising.
    Default: nothing."""

    budget: int | None = None
    """Labelled target rows to train on. Default: all training rows."""

    shots: int | None = None
    """Labelled target rows of each class, in place of a budget."""

    search: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values to try at paths of the recipe; those that validate best are kept. Default: none."""

    seed: int = 0

    @property
    def streams(self) -> tuple[str, ...]:
        """The rows that the objectives read, by the streams' names without views.

        Without any label to learn from there are none.
        """
        if isinstance(self.model, ZeroShot | Folders):
            return ()
        return tuple(dict.fromkeys(rows_of(name) for name in streams_of(self.learn)))

    @property
    def reads_labels(self) -> bool:
        """Whether the recipe may see labels of the target, to learn from or to choose by."""
        return bool(self.tasks) or "target" in self.streams or bool(self.then)

    @property
    def names_labels(self) -> bool:
        """Whether the recipe names the labels, of which a trained model may know only some."""
        return self.task is not None and bool(self.task.label_names)

    def of_task(self, name: str) -> "Plan":
        """The recipe of one of several tasks alone: an ordinary one, with the task as its target.

        Args:
            name: The task.
        """
        data = self.tasks[name]
        return replace(
            self,
            data=data.tables,
            tasks={},
            task=data.task or self.task,
            fusion=None,
            alone=False,
            learn=tuple(
                Target(weight=each.weight) if isinstance(each, Tasks) else each
                for each in self.learn
            ),
        )

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
            "model": self.model.spec()
            if isinstance(self.model, Columns)
            else spec_of(MODELS, self.model),
            "data": self._data(),
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
            **({"then": [spec_of(STAGES, stage) for stage in self.then]} if self.then else {}),
            "budget": self.budget,
            "shots": self.shots,
            "seed": self.seed,
            **(
                {"search": {path: list(values) for path, values in self.search.items()}}
                if self.search
                else {}
            ),
            **self._several(),
        }

    def _data(self) -> dict[str, Any]:
        told: dict[str, Any] = {use: _changed(choice) for use, choice in self.data.items()}
        if self.tasks:
            told["tasks"] = {
                name: {
                    **_changed(data.table),
                    **{use: _changed(each) for use, each in data.tables.items() if use != "target"},
                    **({} if data.task is None else {"task": spec_of(TASKS, data.task)}),
                }
                for name, data in self.tasks.items()
            }
        return told

    def _several(self) -> dict[str, Any]:
        """What only recipes with several tasks say."""
        told: dict[str, Any] = {}
        if self.fusion is not None:
            told["fusion"] = spec_of(FUSIONS, self.fusion)
        return told | ({"alone": True} if self.alone else {})


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
