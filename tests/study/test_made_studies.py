"""Studies of models that are finished: what is measured, kept, and not done twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recipes import small_recipe
from transfuse.errors import DataError
from transfuse.report import write_report
from transfuse.study import Watcher, compare
from transfuse.transfer import read_plan, transfer
from transfuse.transfer.start import content_of, model_folders, stage_files

_SPLIT = {"test": 0.3, "validation": 0.3}


class _Said(Watcher):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def on_notice(self, text: str) -> None:
        self.notices.append(text)


def _words(folder: Path, **options: Any) -> str:
    recipe = small_recipe(folder, "unused", split=_SPLIT, learn="target")
    recipe["model"] = {"tfidf": options}
    return str(transfer(recipe, folder / f"words-{len(options)}").folder)


def test_parents_may_be_kept_and_memory_is_an_axis(tmp_path: Path) -> None:
    # The second has words that stand in most rows and tell nothing.
    good, blind = _words(tmp_path), _words(tmp_path, min_rows=20)
    recipe = small_recipe(tmp_path, "unused") | {
        "split": _SPLIT,
        "study": {"seeds": [0], "baselines": ["model-1"], "workers": 0, "replicates": 100},
        "recipes": {
            "model-1": {"model": {"folders": [good]}},
            "model-2": {"model": {"folders": [blind]}},
            "mixed": {
                "model": {"folders": [good, blind]},
                "then": {"average": {"weights": [0.01, 0.99]}},
            },
        },
    }
    recipe["model"] = {"folders": [good, blind]}
    said, folder = _Said(), tmp_path / "study"
    compare(recipe, folder, watcher=said)
    told = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert told["kept"] == "model-1", "it stands in the comparison, and it validates best"
    table = pd.read_parquet(folder / "study.parquet")
    memory = table[(table.kind == "cost") & (table.metric == "answering_memory_mb")]
    assert set(memory.recipe) == {"model-1", "model-2", "mixed"}
    assert memory.value.between(20, 5000).all()
    assert "megabytes of memory to answer" in write_report(folder).read_text(encoding="utf-8")
    explaining = "explaining some answers"
    assert explaining in said.notices
    # All is done: nothing is explained anew.
    before = (folder / "explained.json").stat().st_mtime_ns
    again = _Said()
    compare(recipe, folder, watcher=again)
    assert explaining not in again.notices
    assert (folder / "explained.json").stat().st_mtime_ns == before


def test_what_a_stage_reads_is_part_of_a_run(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    corpus = tmp_path / "corpus.txt"
    stage = {"trim_vocabulary": {"corpus": str(corpus)}}
    recipe = small_recipe(tmp_path, tiny("bert"), tune="frozen", then=stage)
    with pytest.raises(DataError, match=r"corpus\.txt: no such file"):
        transfer(recipe, tmp_path / "out")
    corpus.write_text("some words of the domain", encoding="utf-8")
    assert stage_files(read_plan(recipe)) == (corpus,)
    before = content_of((corpus,))
    assert not transfer(recipe, tmp_path / "out").resumed
    assert transfer(recipe, tmp_path / "out").resumed
    corpus.write_text("other words", encoding="utf-8")
    assert content_of((corpus,)) != before
    assert not transfer(recipe, tmp_path / "out").resumed


def test_folders_that_stages_name_are_part_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}", encoding="utf-8")
    recipe = {"name": "x", "model": {"folders": ["a", "b"]}, "data": {"target": {"path": "x.csv"}}}
    plan = read_plan(recipe | {"then": {"ties": {"base": str(tmp_path / "base")}}})
    assert model_folders(plan) == (tmp_path / "base",)
