"""A study through real worker processes, on a tiny encoder."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml

from recipes import small_recipe
from transfuse.answering import load_model
from transfuse.cache import cache_dir
from transfuse.errors import RecipeError, RunLockedError
from transfuse.models import Store
from transfuse.study import RunKey, Watcher, compare, read_study
from transfuse.transfer.lock import claimed

_RECIPES: dict[str, Any] = {
    "tfidf": {"model": "tfidf"},
    "scratch": {"tune": "scratch"},
    "source-only": {"tune": "frozen", "learn": "source"},
    "probe": {"tune": "frozen"},
    "probe-joint": {"tune": "frozen", "learn": ["target", {"source": {"weight": 0.5}}]},
    "top-1": {"tune": {"top": {"layers": 1}}},
    "lp-ft": {"tune": "lp_ft"},
    "lora": {"tune": "lora"},
}


def _study(folder: Path, model: Path, **recipes: Any) -> dict[str, Any]:
    recipe = small_recipe(folder, model, name="small-study")
    recipe["recipes"] = recipes or _RECIPES
    recipe["study"] = {"budgets": [8, 40], "seeds": [0, 1], "workers": 2, "replicates": 200}
    return recipe


class _Count(Watcher):
    def __init__(self) -> None:
        self.started: list[RunKey] = []

    def on_run(self, key: RunKey, event: str) -> None:
        if event == "start":
            self.started.append(key)


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]
) -> tuple[dict[str, Any], Path, Path]:
    folder = tmp_path_factory.mktemp("study")
    # Only what is encoded is counted from nothing; the arithmetic is known.
    engines = cache_dir() / "engine"
    if engines.is_dir():
        shutil.copytree(engines, folder / "cache" / "engine")
    patch = pytest.MonkeyPatch()
    patch.setenv("TRANSFUSE_CACHE", str(folder / "cache"))
    patch.setenv("PYTHONWARNINGS", "ignore")
    recipe = _study(folder, tiny("bert"))
    try:
        compare(recipe, folder / "out")
    finally:
        patch.undo()
    return recipe, folder / "out", folder / "cache"


def test_every_recipe_budget_and_seed_is_measured(done: tuple[Any, Path, Path]) -> None:
    _, folder, _ = done
    table = pd.read_parquet(folder / "study.parquet")
    assert table["row"].tolist() == list(range(len(table)))
    runs = table[(table.kind == "run") & (table.metric == "accuracy") & (table.split == "target")]
    found = {(r.recipe, r.budget, int(r.seed)) for r in runs.itertuples()}
    expected = {
        (name, budget, seed)
        for name in _RECIPES
        for budget in ([0] if name == "source-only" else [8, 40])
        for seed in (0, 1)
    }
    assert found == expected
    scores = table[(table.kind == "score") & (table.metric == "accuracy")]
    assert ((scores.low <= scores.value) & (scores.value <= scores.high)).all()
    means = runs.groupby(["recipe", "budget"]).value.mean()
    for row in scores[scores.split == "target"].itertuples():
        assert row.value == pytest.approx(means[row.recipe, row.budget], abs=1e-6)
    gains = table[(table.kind == "gain") & (table.baseline == "scratch")]
    assert set(gains.recipe) == set(_RECIPES) - {"scratch"}
    assert (gains.p_holm >= gains.p - 1e-12).all()
    told = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert told["headline"]["baseline"] == "scratch"
    assert table.iloc[told["headline"]["row"]].kind == "gain"


def test_no_sentence_is_encoded_twice_by_the_same_frozen_prefix(
    done: tuple[Any, Path, Path],
) -> None:
    _, _, cache = done
    store = Store(cache / "features")
    # Two tables of 120 different sentences, read at two depths: all layers, and all but the top.
    spaces = [store.counts(space) for space in store.spaces()]
    assert len(spaces) == 2
    for counts in spaces:
        assert 0 < counts.computed <= 240
        assert counts.requested > counts.computed


def test_the_same_command_again_does_nothing_and_a_new_recipe_changes_no_other(
    done: tuple[Any, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder, cache = done
    monkeypatch.setenv("TRANSFUSE_CACHE", str(cache))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    before = pd.read_parquet(folder / "study.parquet")
    watcher = _Count()
    compare(recipe, folder, watcher=watcher)
    assert watcher.started == []
    pd.testing.assert_frame_equal(before, pd.read_parquet(folder / "study.parquet"))
    more = {**recipe, "recipes": {**recipe["recipes"], "bitfit": {"tune": "bitfit"}}}
    more["study"] = {**recipe["study"], "workers": 0}
    compare(more, folder, watcher=watcher)
    assert {key.recipe for key in watcher.started} == {"bitfit"}
    after = pd.read_parquet(folder / "study.parquet")
    kept = ["kind", "recipe", "budget", "seed", "metric", "split", "value"]
    runs = [frame[frame.kind == "run"][kept] for frame in (before, after)]
    merged = runs[0].merge(runs[1], on=kept, how="left", indicator=True)
    assert (merged["_merge"] == "both").all()


def test_the_kept_model_predicts(done: tuple[Any, Path, Path]) -> None:
    _, folder, _ = done
    model = load_model(folder / "model")
    assert model.predict(["the film so fine and good it was", "so poor and bad the book"])
    assert not list(folder.glob("runs/*.new"))


def test_a_second_process_in_the_folder_is_refused(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    import threading

    folder = tmp_path / "out"
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with claimed(folder):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        with pytest.raises(RunLockedError, match="another process is working here"):
            compare(_study(tmp_path, tiny("bert")), folder)
    finally:
        release.set()
        thread.join()


def test_a_mistake_that_all_recipes_share_is_told_once(tmp_path: Path) -> None:
    recipe = _study(tmp_path, Path("model"))
    recipe["train"] = {"epoch": 3}
    recipe["recipes"]["lora"] = {"tune": {"lora": {"rnak": 4}}}
    recipe["study"]["baselines"] = ["scrach"]
    with pytest.raises(RecipeError) as caught:
        read_study(recipe)
    places = [problem.where for problem in caught.value.problems]
    assert sorted(places) == ["recipes.lora.tune.lora.rnak", "study", "train.epoch"]
    assert "Did you mean 'scratch'?" in str(caught.value)


_STUDY = """
import sys
from transfuse import compare, read_recipe
if __name__ == "__main__":
    compare(read_recipe(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_study_leaves_no_worker_behind_and_goes_on(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = _study(tmp_path, tiny("bert"), scratch={"tune": "scratch"}, full={"tune": "full"})
    recipe["study"]["workers"] = 1
    path, script = tmp_path / "study.yaml", tmp_path / "study.py"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    script.write_text(_STUDY, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(script), str(path), str(tmp_path / "out")]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    deadline = time.monotonic() + 90
    while not list((tmp_path / "out").glob("runs/*/run.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert gone
    assert not alive
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("runs/*/run.json")}
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert (tmp_path / "out" / "study.parquet").exists()
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())


def test_a_recipe_begins_from_the_model_of_another(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), study={"seeds": [0, 1], "workers": 0})
    recipe["recipes"] = {
        "student": {"learn": [{"distil": {"teacher": "@teacher", "stream": "unlabelled"}}]},
        "teacher": {"learn": "target", "budget": 20},
    }
    folder = compare(recipe, tmp_path / "study")
    models = sorted(path.parent.name for path in (folder / "runs").glob("*/model"))
    assert len([name for name in models if name.startswith("teacher")]) == 2
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").glob("*/run.json")}
    assert len(before) == 4
    compare(recipe, tmp_path / "study")
    assert before == {
        path: path.stat().st_mtime_ns for path in (folder / "runs").glob("*/run.json")
    }


@pytest.mark.parametrize(
    ("learn", "what"),
    [("@nobody", "which is not there"), ("@student", "begins from a recipe that begins from it")],
)
def test_a_recipe_cannot_begin_from_nothing_or_from_itself(
    learn: str, what: str, tmp_path: Path
) -> None:
    recipe = small_recipe(tmp_path, "some-model")
    recipe["recipes"] = {"student": {"model": learn}, "other": {}}
    with pytest.raises(RecipeError, match=what):
        read_study(recipe)
