"""What is wrong between choices of a recipe that are each right."""

from collections.abc import Callable, Iterator

from transfuse.errors import Problem
from transfuse.objectives import Objective, Ramp, Source, Target, Tasks
from transfuse.training import streams_of
from transfuse.transfer.choices import Folders, Tfidf
from transfuse.transfer.consistency_tasks import task_inconsistencies, without_tasks
from transfuse.transfer.plan import Plan
from transfuse.transfer.zero_shot import ZeroShot
from transfuse.tuning import Frozen

__all__ = ["inconsistencies"]

_STREAMS = ("target", "source", "unlabelled")
"""The streams that a recipe's data can feed."""

_SEARCHED = ("tune", "learn", "balance", "train", "augment", "align", "fusion")
"""The keys of a recipe whose values can be searched."""

_VIEWS = ("", "again", "augmented", "episodes")


def inconsistencies(plan: Plan, at: Callable[[str], str]) -> Iterator[Problem]:
    """All problems that only show when choices meet.

    Args:
        plan: The recipe's choices.
        at: From a key of the recipe to its path.
    """
    if plan.tasks and plan.alone:
        # Each task is an ordinary recipe of its own, and all fail alike.
        yield from inconsistencies(plan.of_task(next(iter(plan.tasks))), at)
        return
    yield from _search(plan, at)
    if plan.tasks:
        if plan.then or isinstance(plan.model, Folders):
            yield Problem(at("then"), "works on a model of one task", fix="Take `data.tasks` out.")
        yield from task_inconsistencies(plan, at)
        yield from _losses(plan, at)
        yield from _budgets(plan, at)
        return
    if any(isinstance(objective, Tasks) for objective in plan.learn) or plan.fusion or plan.alone:
        yield from without_tasks(plan, at)
        return
    yield from _stages(plan, at)
    if isinstance(plan.model, ZeroShot | Folders):
        # It learns nothing, so that no other choice matters to it.
        return
    yield from _streams(plan, at)
    yield from _losses(plan, at)
    yield from _budgets(plan, at)
    if isinstance(plan.model, Tfidf) and not all(
        isinstance(objective, Target | Source) for objective in plan.learn
    ):
        yield Problem(at("learn"), "TF-IDF learns from `target` and `source` only")
    if plan.align is not None and not (
        isinstance(plan.tune, Frozen) and plan.streams == ("source",)
    ):
        yield Problem(
            at("align"),
            "aligns the source's features for a frozen probe that learns from the source",
            fix="Set `tune: frozen` and `learn: source`.",
        )
    solved = isinstance(plan.tune, Frozen) and all(each.convex for each in plan.learn)
    if plan.train.select != "validation" and solved:
        yield Problem(
            at("train.select"),
            "a frozen probe is solved at once, so that there is nothing to choose among",
            "validation",
        )
    if plan.train.select == "iw_risk" and "source" not in plan.data:
        yield Problem(at("train.select"), "iw_risk needs `data.source`")


def _stages(plan: Plan, at: Callable[[str], str]) -> Iterator[Problem]:
    count = len(plan.model.folders) if isinstance(plan.model, Folders) else 1
    if count > 1 and not plan.then:
        yield Problem(
            at("then"),
            f"missing, and {count} models are not one",
            "what makes one model of them",
            "For instance `then: average`.",
        )
    for place, stage in enumerate(plan.then):
        enough = count >= stage.least and (stage.most is None or count <= stage.most)
        if not enough:
            most = (
                ""
                if stage.most == stage.least
                else " or more"
                if stage.most is None
                else (f" to {stage.most}")
            )
            yield Problem(at(f"then[{place}]"), f"is given {count} models", f"{stage.least}{most}")
        count = 1


def _search(plan: Plan, at: Callable[[str], str]) -> Iterator[Problem]:
    if not plan.search:
        return
    if isinstance(plan.model, Folders):
        yield Problem(
            at("search"),
            "nothing is learnt, so that there is nothing to search",
            fix="Compare the values as recipes of a study.",
        )
    tables = [*plan.data, *(use for data in plan.tasks.values() for use in data.tables)]
    if plan.split.validation == 0 and "validation" not in tables:
        yield Problem(
            at("search"),
            "there are no validation rows to choose by",
            fix="Raise `split.validation` above 0, or name a table under `data.validation`.",
        )
    if plan.train.select != "validation" or not plan.reads_labels:
        yield Problem(
            at("search"),
            "chooses by labels of the target, which this recipe does without",
            fix="Compare the values as recipes of a study.",
        )
    for path in plan.search:
        if path.split(".")[0].split("[")[0] not in _SEARCHED:
            yield Problem(
                at(f"search.{path}"),
                "changes more than what is learnt from the same rows",
                f"a path under {', '.join(_SEARCHED)}",
            )


def _streams(plan: Plan, at: Callable[[str], str]) -> Iterator[Problem]:
    for stream in streams_of(plan.learn):
        rows, _, view = stream.partition("/")
        if rows not in _STREAMS or view not in _VIEWS:
            yield Problem(at("learn"), f"no data feeds the stream {stream!r}")
        elif plan.data and rows not in plan.data and rows != "unlabelled":
            yield Problem(
                at(f"data.{rows}"),
                "missing, but `learn` reads it",
                fix=f"Name a table, or take {rows!r} out of `learn`.",
            )
    if not plan.streams:
        yield Problem(at("learn"), "no objective reads data", fix="Add `target` or `source`.")


def _losses(plan: Plan, at: Callable[[str], str]) -> Iterator[Problem]:
    names = [name for objective in plan.learn for name in objective.names]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(at("learn"), f"two objectives give the loss {name!r}", fix="Keep one.")
    if all(_never_counts(objective) for objective in plan.learn):
        yield Problem(at("learn"), "every weight is 0", fix="Give one objective a weight above 0.")
    drawn = [objective.episodes for objective in plan.learn if objective.episodes is not None]
    if any(episodes != drawn[0] for episodes in drawn):
        yield Problem(
            at("learn"),
            "two objectives draw episodes of different sizes",
            fix="Give both the same ways, shots and queries.",
        )


def _budgets(plan: Plan, at: Callable[[str], str]) -> Iterator[Problem]:
    reads = "target" in plan.streams or bool(plan.tasks)
    if 0 in (plan.budget, plan.shots) and reads:
        yield Problem(
            at("budget"),
            "0 rows, but `learn` reads the target",
            fix="Learn from `source` alone, or give a budget.",
        )
    if plan.budget is not None and plan.shots is not None:
        yield Problem(at("shots"), "stands beside `budget`", fix="Keep one of the two.")


def _never_counts(objective: Objective) -> bool:
    weight = objective.weight
    ends = (weight.start, weight.end) if isinstance(weight, Ramp) else (weight,)
    return not any(ends)
