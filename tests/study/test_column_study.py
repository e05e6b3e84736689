"""A study of columns: the label needs word and picture, and the report says what each brings."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from joined_models import patch_recipe, save_tiny_image, write_patches
from transfuse.models import Engine, Store
from transfuse.report import write_report
from transfuse.study import RunKey, read_study
from transfuse.study.analysis import analyse
from transfuse.study.numbers import as_columns
from transfuse.study.runs import load_run, write_run
from transfuse.transfer import Engines, Workspace
from transfuse.transfer.prepared import prepare
from transfuse.transfer.run import run_once

Tiny = Callable[..., Path]


class _Plain(Engines):
    encode = Engine()
    train = Engine()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny: Tiny) -> Path:
    """A study's folder; its runs are done here, since workers take long to start."""
    folder = tmp_path_factory.mktemp("columns-study")
    write_patches(folder / "patches.jsonl", rows=240)
    vision = save_tiny_image(folder / "vit")
    recipe = patch_recipe(folder, tiny("bert"), vision, name="patches", tune="frozen")
    recipe["split"] = {"test": 0.4, "validation": 0.1}
    recipe["train"] |= {"epochs": 40}
    columns: dict[str, Any] = recipe["model"]["columns"]
    recipe["recipes"] = {
        "joined": {"title": "Word and picture"},
        **{
            name: {"model": {"columns": {name: columns[name]}, "fusion": "concat"}}
            for name in ("text", "image")
        },
    }
    recipe["study"] = {"seeds": [0], "replicates": 200}
    study = read_study(recipe)
    prepared = prepare(study.shared)
    workspace = Workspace(prepared, _Plain(), Store(folder / "store"))
    runs = []
    for name, plan in study.plans.items():
        key = RunKey(name, len(prepared.target.parts.train), 0)
        place = folder / "out" / "runs" / key.folder
        place.mkdir(parents=True)
        write_run(run_once(plan, workspace), "done", place)
        run = load_run(place.parent, key, "done")
        assert run is not None
        runs.append(run)
    numbers = analyse(study, prepared, runs)
    pq.write_table(pa.table(as_columns(numbers)), folder / "out" / "study.parquet")
    told = {
        "name": study.name,
        "primary_metric": "accuracy",
        "seeds": [0],
        "recipes": [
            {"name": name, "title": plan.title or name, "recipe": plan.recipe()}
            for name, plan in study.plans.items()
        ],
    }
    (folder / "out" / "study.json").write_text(json.dumps(told), encoding="utf-8")
    return folder / "out"


@pytest.fixture(scope="module")
def numbers(done: Path) -> pd.DataFrame:
    return pd.read_parquet(done / "study.parquet")


def test_together_they_know_what_neither_knows_alone(numbers: pd.DataFrame) -> None:
    scores = numbers[(numbers.kind == "score") & (numbers.metric == "accuracy")]
    found = scores.set_index("recipe")["value"]
    assert found["joined"] > 0.9
    assert (found[["text", "image"]] < 0.7).all()
    low = scores.set_index("recipe")["low"]["joined"]
    assert low > scores.set_index("recipe")["high"][["text", "image"]].max()


def test_what_each_column_brings_is_measured(numbers: pd.DataFrame) -> None:
    gains = numbers[numbers.kind == "column_gain"].set_index("x")
    assert set(gains.index) == {"text", "image", "fields"}
    assert (gains.recipe == "joined").all()
    assert (gains.low[["text", "image"]] > 0.2).all()
    assert gains.low["fields"] <= 0.05
    assert (gains.p_holm >= gains.p).all()
    left = numbers[numbers.kind == "column"].set_index("x")
    assert set(left.index) == {
        *("text", "image", "fields", ""),
        *("text+image", "text+fields", "image+fields"),
    }
    whole = numbers[(numbers.kind == "score") & (numbers.metric == "accuracy")]
    joined = whole.set_index("recipe")["value"]["joined"]
    assert gains.value["text"] == pytest.approx(joined - left.value["image+fields"])
    assert gains.value["fields"] == pytest.approx(joined - left.value["text+image"])
    assert left.value["text+image"] > 0.9
    assert ((left.low <= left.value) & (left.value <= left.high)).all()


def test_the_report_draws_it(done: Path) -> None:
    page = write_report(done).read_text(encoding="utf-8")
    assert '<section id="columns"' in page
    section = page.split('<section id="columns"')[1].split("</section>")[0]
    for told in ("In Word and picture, the text brings", "without picture", "none of them"):
        assert told in section
    rows = pd.read_parquet(done / "study.parquet")
    wanted = set(rows[rows.kind.isin(["column", "column_gain"])]["row"])
    shown = {int(row) for row in re.findall(r'data-row="(\d+)"', section)}
    assert wanted <= shown
