"""What is wrong between the choices of a recipe with several tasks."""

from collections.abc import Callable, Iterator

from transfuse.errors import Problem
from transfuse.objectives import Tasks
from transfuse.recipe import nearest
from transfuse.training import streams_of
from transfuse.transfer.choices import Columns, Neural
from transfuse.transfer.plan import Plan

__all__ = ["task_inconsistencies", "without_tasks"]


def task_inconsistencies(plan: Plan, at: Callable[[str], str]) -> Iterator[Problem]:
    """All problems of a recipe whose tasks are learnt together.

    Args:
        plan: The recipe's choices.
        at: From a key of the recipe to its path.
    """
    for stream in streams_of(plan.learn):
        if stream not in plan.tasks:
            yield Problem(
                at("learn"),
                f"no data feeds {stream!r}",
                f"the tasks {', '.join(plan.tasks)}",
                nearest(stream, plan.tasks) if stream.isidentifier() else "",
            )
    for objective in plan.learn:
        if isinstance(objective, Tasks):
            for name in objective.weights:
                if name not in plan.tasks:
                    what = f"weighs {name!r}, which is no task"
                    yield Problem(at("learn"), what, fix=nearest(name, plan.tasks))
    if not plan.streams:
        yield Problem(at("learn"), "no objective reads data", fix="Add `tasks`.")
    if not isinstance(plan.model, Neural):
        yield Problem(
            at("model"),
            "cannot learn several tasks together",
            "an encoder",
            "Or set `alone: true` in this recipe of a study.",
        )
    if plan.fusion is not None and isinstance(plan.model, Columns):
        yield Problem(
            at("fusion"),
            "is for one encoder, and the model has a fusion of its columns already",
            fix="Leave it out: the tasks then share the fused vector.",
        )
    if plan.train.select != "validation":
        yield Problem(at("train.select"), f"{plan.train.select} judges one target, not tasks")
    if plan.align is not None:
        yield Problem(at("align"), "brings a source to a target, and here are tasks")


def without_tasks(plan: Plan, at: Callable[[str], str]) -> Iterator[Problem]:
    """What a recipe says that needs several tasks, where there are none."""
    for key, given in (("fusion", plan.fusion is not None), ("alone", plan.alone)):
        if given:
            yield Problem(at(key), "is for several tasks", fix="Name them under `data.tasks`.")
    if any(isinstance(objective, Tasks) for objective in plan.learn):
        yield Problem(
            at("data.tasks"), "missing, but `learn` reads it", fix="Name each task's table there."
        )
