"""Groups that mean the same in all tables: none teaches what the target is scored on."""

from typing import Any

import pytest

from transfuse.data import Table
from transfuse.errors import DataError
from transfuse.transfer import prepare, read_plan

WORDS = ("bird", "bug", "cat", "dog", "fish", "frog", "horse", "mouse", "snail", "snake")


def _plan(tmp_path: Any, across: bool, group: str | None = "kind") -> Any:
    for style in ("old", "new"):
        rows = [
            (f"a {style} {word} number {n}", word, "xy"[n % 2]) for word in WORDS for n in (1, 2)
        ]
        columns = dict(
            zip(("text", "kind", "label"), map(list, zip(*rows, strict=True)), strict=True)
        )
        table = Table.from_dict(columns, roles={"text": "text", "label": "label"})
        table.dataset.to_csv(tmp_path / f"{style}.csv")
    choice = {"text": "text", "label": "label", "group": group}
    data = {use: {"path": str(tmp_path / f"{style}.csv"), **choice}
            for use, style in (("target", "new"), ("source", "old"))}  # fmt: skip
    return read_plan(
        {
            "model": "tfidf",
            "data": data,
            "split": {"test": 0.3, "validation": 0.2, "across": across},
            "learn": ["target", "source"],
        }
    )


def _groups(domain: Any, rows: Any) -> set[str]:
    kinds = domain.table.values("kind")
    return {kinds[row] for row in rows}


def test_the_source_has_no_group_that_is_scored(tmp_path: Any) -> None:
    prepared = prepare(_plan(tmp_path, across=True))
    target, source = prepared.target, prepared.source
    assert source is not None
    scored = _groups(target, [*target.parts.test, *target.parts.validation])
    assert scored
    assert set(source.table.values("kind")) == set(WORDS) - scored
    assert any("groups" in note and "left out" in note for note in prepared.notes)


def test_by_default_groups_of_two_tables_have_nothing_in_common(tmp_path: Any) -> None:
    source = prepare(_plan(tmp_path, across=False)).source
    assert source is not None
    assert set(source.table.values("kind")) == set(WORDS)


def test_without_groups_it_cannot_be_done(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="group"):
        prepare(_plan(tmp_path, across=True, group=None))
