"""From a plan's data choices to tables that are read, cleaned and split: once per study."""

from dataclasses import replace

import numpy as np

from transfuse.data import (
    DataCard,
    OverlapNote,
    Role,
    Split,
    Splitting,
    Table,
    clean,
    make_card,
    overlap,
    split,
)
from transfuse.errors import DataError, Problem
from transfuse.tasks import task_for
from transfuse.transfer.domains import Domain, Prepared
from transfuse.transfer.plan import Plan
from transfuse.transfer.several import joined
from transfuse.transfer.tables import load_table

__all__ = ["prepare"]

_SPLIT_SEED = 0
"""The split does not follow the run's seed: every seed of a study is scored on the same rows."""

_SOURCE_TEST = 0.1
"""Share of the source that is kept to measure forgetting, at the most; the rest is learnt from."""


def prepare(plan: Plan) -> Prepared:
    """Read, clean, split and check the tables of a plan.

    Args:
        plan: The plan.

    Returns:
        The data, with a card for each table and a note for each thing that a person should know.

    Raises:
        DataError: If the data cannot carry the plan.
    """
    if plan.tasks:
        return joined({name: prepare(plan.of_task(name)) for name in plan.tasks})
    notes: list[str] = []
    target_table, target_card = _cleaned(plan, "target", notes)
    target_table, parts = _with_fixed_parts(plan, target_table, notes)
    learnt = target_table.take(parts.train)
    chosen = plan.task or task_for(learnt.labels())
    task = chosen.fit(chosen.values(learnt), f"{target_table.name} (training rows)")
    if not len(parts.test):
        raise DataError(
            Problem(
                target_table.name,
                "no row is left to test on",
                "test rows",
                "Raise `split.test` above 0, or name a table under `data.test`.",
            )
        )
    target = Domain(target_table, parts, task.targets(target_table), task)
    tested = target_table.take(parts.test)
    learnt = target_table.take(parts.train)
    inside = overlap(learnt, tested)
    if inside.rows:
        notes.append(
            f"target: {len(inside.rows):,} of {len(tested):,} test rows are the same as rows that "
            "train, or nearly: scores flatter. `clean: {near_duplicates: 0.9}` keeps one of each"
        )
    cards = {
        "target": replace(
            target_card,
            overlaps=(
                OverlapNote.of(
                    inside, tested, "the rows that train", target_table.take(parts.train)
                ),
            ),
        )
    }
    source = extra = None
    if "source" in plan.data:
        source_table, card = _cleaned(plan, "source", notes)
        source, shared = _source_domain(plan, source_table, target, notes)
        cards["source"] = replace(card, overlaps=(shared,))
    if "unlabelled" in plan.data:
        table, cards["unlabelled"] = _cleaned(plan, "unlabelled", notes, labelled=False)
        table, shared = _unscored(plan, table, target, "unlabelled", notes)
        cards["unlabelled"] = replace(cards["unlabelled"], overlaps=(shared,))
        every = np.arange(len(table), dtype=np.int64)
        none = np.empty(0, np.int64)
        extra = Domain(table, Split(every, none, none), none, task, labelled=False)
    return Prepared(target, source, cards, tuple(notes), extra)


def _cleaned(
    plan: Plan, use: str, notes: list[str], *, labelled: bool = True
) -> tuple[Table, DataCard]:
    table = load_table(plan.data[use])
    role = Role.LABEL if plan.task is None else plan.task.answers
    answered = table.schema.has(role) if plan.task is None else plan.task.answered(table)
    if labelled and not answered:
        raise DataError(
            Problem(
                table.name,
                f"has no {role} column among {', '.join(table.dataset.column_names)}",
                "labelled rows",
                f"Name it in the recipe: data.{use}.{role}.",
            )
        )
    notes.extend(f"{use}: {note}" for note in table.notes)
    table, report = clean(table, plan.clean)
    if not len(table):
        raise DataError(Problem(table.name, "no row is left after cleaning", "labelled rows"))
    return table, make_card(table, report)


def _with_fixed_parts(plan: Plan, table: Table, notes: list[str]) -> tuple[Table, Split]:
    """The target's split; tables for validation and test that the recipe names come after it."""
    fixed = {
        use: _cleaned(plan, use, notes)[0] for use in ("validation", "test") if use in plan.data
    }
    if not fixed:
        parts = split(table, plan.split, _SPLIT_SEED)
        notes.extend(parts.notes)
        return table, parts
    shares = Splitting(
        test=0.0 if "test" in fixed else plan.split.test,
        validation=0.0 if "validation" in fixed else plan.split.validation,
        by=plan.split.by,
    )
    parts = split(table, shares, _SPLIT_SEED)
    rows = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    for use, other in fixed.items():
        rows[use] = np.arange(len(table), len(table) + len(other), dtype=np.int64)
        found = overlap(table, other)
        shared = len(found.exact)
        if found.near:
            notes.append(
                f"{use}: {len(found.near)} rows are nearly the same as others of the target"
            )
        if shared:
            raise DataError(
                Problem(
                    other.name,
                    f"{shared} rows stand in {table.name} too",
                    "rows that training never sees",
                    "Remove them from one of the two.",
                )
            )
        table = table.append(other)
    return table, Split(rows["train"], rows["validation"], rows["test"], parts.notes)


def _unscored(
    plan: Plan, table: Table, target: Domain, use: str, notes: list[str]
) -> tuple[Table, OverlapNote]:
    """A table without rows that the target is scored on, and what was found."""
    scored = target.table.take(np.concatenate([target.parts.validation, target.parts.test]))
    if plan.split.across:
        table = _of_other_groups(table, scored, use, notes)
    found = overlap(scored, table)
    shared = OverlapNote.of(found, table, "the rows that the target is scored on", scored)
    leaks = found.rows
    if len(leaks):
        kept = np.setdiff1d(np.arange(len(table)), np.asarray(leaks))
        notes.append(
            f"{use}: {len(leaks)} rows left out, since the target is scored on them or on rows "
            "that are nearly the same"
        )
        table = table.take(kept)
    return table, shared


def _of_other_groups(table: Table, scored: Table, use: str, notes: list[str]) -> Table:
    """A table without the groups that the target is scored on.

    Raises:
        DataError: If one of the two has no groups, or no row is left.
    """
    mine, theirs = table.column(Role.GROUP), set(scored.column(Role.GROUP))
    kept = table.filter([group not in theirs for group in mine])
    if not len(kept):
        raise DataError(
            Problem(table.name, "every row is of a group that the target is scored on", "others")
        )
    left_out = len(table) - len(kept)
    notes.append(f"{use}: {left_out} rows left out, since the target is scored on their groups")
    return kept


def _source_domain(
    plan: Plan, table: Table, target: Domain, notes: list[str]
) -> tuple[Domain, OverlapNote]:
    """The source, without rows that the target is scored on, split for its own test rows."""
    table, shared = _unscored(plan, table, target, "source", notes)
    shares = Splitting(test=min(plan.split.test, _SOURCE_TEST), validation=0.0)
    parts = split(table, shares, _SPLIT_SEED)
    kind = type(plan.task) if plan.task is not None else type(target.task)
    learnt = table.take(parts.train)
    fitted = kind().fit(kind().values(learnt), f"{table.name} (training rows)")
    if set(fitted.label_names) <= set(target.task.label_names) and fitted.kind == target.task.kind:
        # The same labels: one head answers for both, in the target's order.
        fitted = target.task
    return Domain(table, parts, fitted.targets(table), fitted), shared
