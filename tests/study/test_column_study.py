"""A study of columns: the label needs word and picture, and the report says what each brings."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from joined_models import patch_recipe, save_tiny_image, write_patches
from transfuse.report import write_report
from transfuse.study import compare

Tiny = Callable[..., Path]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny: Tiny) -> Path:
    folder = tmp_path_factory.mktemp("columns-study")
    write_patches(folder / "patches.jsonl", rows=160)
    vision = save_tiny_image(folder / "vit")
    recipe = patch_recipe(folder, tiny("bert"), vision, name="patches", tune="frozen")
    recipe["split"] = {"test": 0.4, "validation": 0.1}
    recipe["train"] |= {"epochs": 30, "batch_size": 8}
    columns: dict[str, Any] = recipe["model"]["columns"]
    recipe["recipes"] = {
        "joined": {"title": "Word and picture"},
        **{
            name: {"model": {"columns": {name: columns[name]}, "fusion": "concat"}}
            for name in ("text", "image")
        },
        "tfidf": {"model": "tfidf"},
    }
    recipe["study"] = {"seeds": [0], "workers": 1, "replicates": 200}
    patch = pytest.MonkeyPatch()
    patch.setenv("TRANSFUSE_CACHE", str(folder / "cache"))
    patch.setenv("PYTHONWARNINGS", "ignore")
    try:
        compare(recipe, folder / "out")
    finally:
        patch.undo()
    return folder / "out"


@pytest.fixture(scope="module")
def numbers(done: Path) -> pd.DataFrame:
    return pd.read_parquet(done / "study.parquet")


def test_together_they_know_what_neither_knows_alone(numbers: pd.DataFrame) -> None:
    scores = numbers[(numbers.kind == "score") & (numbers.metric == "accuracy")]
    found = scores.set_index("recipe")["value"]
    assert found["joined"] > 0.9
    assert (found[["text", "image", "tfidf"]] < 0.7).all()
    low = scores.set_index("recipe")["low"]["joined"]
    assert low > scores.set_index("recipe")["high"][["text", "image", "tfidf"]].max()


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
