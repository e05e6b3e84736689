"""Several tasks from a recipe to a model folder, with a tiny encoder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transfuse.answering import load_model
from transfuse.balancing import BALANCERS
from transfuse.errors import ModelError, RecipeError
from transfuse.models import Engine, Store
from transfuse.objectives import Tasks
from transfuse.training.step import TrainModule
from transfuse.training.streams import rows_per_step
from transfuse.transfer import Engines, prepare, read_plan, run_plan, transfer
from transfuse.transfer.jobs import make_job, read_streams
from transfuse.transfer.workspace import Workspace

MOODS = {"glad": ["good", "very good"], "flat": ["so", "it is"], "sad": ["bad", "poor"]}
KINDS = {"film": ["the film", "a film"], "book": ["the book", "a book"]}


class Plain(Engines):
    """Without the probe, which measures for seconds."""

    encode = Engine()
    train = Engine()


def write_task(path: Path, words: dict[str, list[str]], rows: int, seed: int) -> Path:
    """Sentences whose label is in their words."""
    rng = np.random.default_rng(seed)
    names = list(words)
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            label = names[row % len(names)]
            said = words[label][rng.integers(len(words[label]))]
            text = f"{said} and {'abc'[rng.integers(3)]} {seed} {row}"
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    return path


def tasks_recipe(folder: Path, model: Path, **more: Any) -> dict[str, Any]:
    mood = write_task(folder / "mood.jsonl", MOODS, 120, 1)
    kind = write_task(folder / "kind.jsonl", KINDS, 60, 2)
    recipe: dict[str, Any] = {
        "name": "joint",
        "model": {"name": str(model), "pooling": "mean", "max_length": 32},
        "data": {"tasks": {"mood": {"path": str(mood)}, "kind": str(kind)}},
        "split": {"test": 0.3, "validation": 0.1},
        "train": {"epochs": 1, "batch_size": 12, "precision": "fp32"},
    }
    return recipe | more


def problems(recipe: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        read_plan(recipe)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_the_tasks_of_the_data_are_what_is_learnt(tmp_path: Path) -> None:
    plan = read_plan(tasks_recipe(tmp_path, Path("some-model")))
    assert plan.learn == (Tasks(names=("mood", "kind")),)
    assert plan.streams == ("mood", "kind")
    named = tasks_recipe(tmp_path, Path("some-model"), learn={"tasks": {"sampling": "sqrt"}})
    assert read_plan(named).learn == (Tasks(sampling="sqrt", names=("mood", "kind")),)


def test_a_plan_of_several_tasks_is_a_recipe_again(tmp_path: Path) -> None:
    recipe = tasks_recipe(tmp_path, Path("some-model"), fusion={"ple": {"layers": 1}})
    mood = recipe["data"]["tasks"]["mood"]
    mood |= {"test": {"where": {"label": "glad"}}, "task": {"classification": None}}
    for more in ({}, {"alone": True, "fusion": None}):
        plan = read_plan({**recipe, **more})
        assert read_plan(plan.recipe()) == plan
        told = json.loads(json.dumps(plan.recipe(), default=list))
        assert read_plan({key: each for key, each in told.items() if each is not None}) == plan
    assert plan.tasks["mood"].test is not None
    assert plan.tasks["mood"].test.path == mood["path"], "another part of the same table"


def test_what_cannot_be_is_said_with_its_place(tmp_path: Path) -> None:
    recipe = tasks_recipe(tmp_path, Path("some-model"))
    tables = recipe["data"]["tasks"]
    assert "data.target" in problems({**recipe, "data": {"tasks": tables, "target": "x.csv"}})
    assert set(problems({**recipe, "data": {"tasks": {"mean": "a.csv", "a.b": "b.csv"}}})) >= {
        "data.tasks.mean",
        "data.tasks.a.b",
    }
    assert "data.tasks" in problems({**recipe, "data": {"tasks": {}}})
    assert "data.tasks.mood.pth" in problems({**recipe, "data": {"tasks": {"mood": {"pth": 1}}}})
    assert "learn" in problems({**recipe, "learn": "target"})
    assert "learn" in problems({**recipe, "learn": {"tasks": {"names": ["moood"]}}})
    assert "learn" in problems({**recipe, "learn": {"tasks": {"weights": {"moood": 2}}}})
    assert "model" in problems({**recipe, "model": "tfidf"})
    assert "fusion" in problems({**recipe, "data": {"target": "x.csv"}, "fusion": "mmoe"})
    assert "alone" in problems({**recipe, "data": {"target": "x.csv"}, "alone": True})
    assert "data.tasks" in problems({**recipe, "data": {"target": "x.csv"}, "learn": "tasks"})
    with pytest.raises(RecipeError, match="a network for each task"):
        transfer({**recipe, "alone": True}, tmp_path / "out")


def test_no_task_learns_from_what_another_is_scored_on(tmp_path: Path) -> None:
    recipe = tasks_recipe(tmp_path, Path("some-model"))
    plain = prepare(read_plan(recipe))
    mood, kind = plain.tasks["mood"], plain.tasks["kind"]
    scored = kind.table.take(np.concatenate([kind.parts.test, kind.parts.validation])).texts()
    learnt = mood.table.take(mood.parts.train).texts()
    with (tmp_path / "mood.jsonl").open("a", encoding="utf-8") as file:
        for text in scored:
            file.write(json.dumps({"text": text.upper(), "label": "sad"}) + "\n")
    mixed = prepare(read_plan(recipe))
    found = mixed.tasks["mood"]
    kept = {text.casefold() for text in found.table.take(found.parts.train).texts()}
    assert not kept & {text.casefold() for text in scored}
    assert len(kept) <= len(learnt) + len(scored)
    every = np.concatenate([found.parts.train, found.parts.validation, found.parts.test])
    assert sorted(every) == list(range(len(found.table))), "parts are every row once"
    assert len(found.targets) == len(found.table)
    assert any("another task is scored on" in note for note in mixed.notes)
    assert mixed.fingerprint != plain.fingerprint


def test_a_budget_is_of_each_task(tmp_path: Path) -> None:
    prepared = prepare(read_plan(tasks_recipe(tmp_path, Path("some-model"))))
    for name in ("mood", "kind"):
        assert len(prepared.training_rows(name, 20, 0)) == 20
    assert len(prepared.training_rows("mood", None, 0, shots=4)) == 12


@pytest.mark.parametrize("fusion", [None, "mmoe", "ple", "cross_stitch"])
@pytest.mark.parametrize("tune", ["full", "frozen", "top"])
def test_tasks_are_learnt_together_and_kept_in_one_folder(
    fusion: str | None, tune: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = tasks_recipe(tmp_path, tiny("bert"), tune=tune, fusion=fusion, balance="fixed")
    plan = read_plan(recipe)
    workspace = Workspace(prepare(plan), Plain(), Store(tmp_path / "store"))
    outcome = run_plan(plan, workspace, tmp_path / "run")
    metrics = outcome.scorecard.metrics
    each = [metrics[f"{name}/accuracy"] for name in ("mood", "kind")]
    assert metrics["mean/accuracy"] == pytest.approx(np.mean(each))
    assert {name: found.scores.shape[1] for name, found in outcome.tasks.items()} == {
        "mood": 3,
        "kind": 2,
    }


@pytest.mark.parametrize("fusion", [None, "ple"])
def test_one_encoder_learns_what_both_tasks_ask(
    fusion: str | None, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    tune = {"full": {"learning_rate": 3e-3, "head_learning_rate": 3e-3}}
    recipe = tasks_recipe(tmp_path, tiny("bert"), tune=tune, fusion=fusion)
    recipe["train"] |= {"epochs": 12}
    plan = read_plan(recipe)
    workspace = Workspace(prepare(plan), Plain(), Store(tmp_path / "store"))
    metrics = run_plan(plan, workspace).scorecard.metrics
    assert metrics["mood/accuracy"] > 0.8, "the words say it"
    assert metrics["kind/accuracy"] > 0.8, "the words say it"


@pytest.mark.parametrize("fusion", [None, "mmoe"])
def test_the_folder_answers_for_each_task_as_the_run_did(
    fusion: str | None, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = tasks_recipe(tmp_path, tiny("bert"), fusion=fusion, tune="lora")
    result = transfer(recipe, tmp_path / "out", engines=Plain(), store=Store(tmp_path / "store"))
    again = transfer(recipe, tmp_path / "out", engines=Plain(), store=Store(tmp_path / "store"))
    assert again.resumed
    assert again.scorecard == result.scorecard
    prepared = prepare(read_plan(recipe))
    first = load_model(result.folder, Engine())
    assert first.head == "mood"
    for name, domain in prepared.tasks.items():
        model = load_model(result.folder, Engine(), task=name)
        tested = domain.table.take(domain.parts.test)
        card = model.evaluate(tested)
        expected = result.scorecard.metrics[f"{name}/accuracy"]
        assert card.metrics["accuracy"] == pytest.approx(expected)
        assert set(model.predict(tested.texts())) <= set(domain.task.label_names)
    assert first.predict(["the film"]) == load_model(result.folder, task="mood").predict(
        ["the film"]
    )
    with pytest.raises(ModelError, match="has no task 'moood'"):
        load_model(result.folder, task="moood")


def test_a_regression_among_the_tasks_answers_on_its_own_scale(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = tasks_recipe(tmp_path, tiny("bert"))
    rng = np.random.default_rng(0)
    with (tmp_path / "length.jsonl").open("w", encoding="utf-8") as file:
        for row in range(80):
            many = int(rng.integers(1, 6))
            text = " ".join(["very"] * many) + f" good {row}"
            file.write(json.dumps({"text": text, "label": 100.0 + 10 * many}) + "\n")
    tables = {**recipe["data"]["tasks"]}
    tables["length"] = {"path": str(tmp_path / "length.jsonl"), "task": "regression"}
    recipe["data"] = {"tasks": tables}
    store = Store(tmp_path / "store")
    result = transfer(recipe, tmp_path / "out", engines=Plain(), store=store)
    assert "mean/accuracy" not in result.scorecard.metrics, "there is no mean of unlike things"
    values = load_model(result.folder, Engine(), task="length").predict(["very good", "very very"])
    assert all(80 < value < 180 for value in values)


def test_patience_watches_every_task(tiny: Callable[..., Path], tmp_path: Path) -> None:
    recipe = tasks_recipe(tmp_path, tiny("bert"))
    recipe["train"] |= {"patience": 1, "evaluations": 3}
    plan = read_plan(recipe)
    workspace = Workspace(prepare(plan), Plain(), Store(tmp_path / "store"))
    outcome = run_plan(plan, workspace)
    assert outcome.trained.fitted is not None
    history = outcome.trained.fitted.history
    assert history
    assert {"mood/accuracy", "kind/accuracy"} <= history[0].keys()


@pytest.mark.parametrize("balance", BALANCERS)
def test_every_balancer_weighs_tasks(
    balance: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    options = {"epochs": 1, "max_steps": 3, "batch_size": 12, "precision": "fp32"}
    recipe = tasks_recipe(tmp_path, tiny("bert"), balance=balance, train=options, fusion="ple")
    plan = read_plan(recipe)
    workspace = Workspace(prepare(plan), Plain(), Store(tmp_path / "store"))
    network = run_plan(plan, workspace).trained.model
    assert all(torch.isfinite(weight).all() for weight in network.parameters())


def test_training_draws_and_weighs_as_the_objective_says(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    told = {"sampling": "uniform", "weights": {"kind": 3.0}}
    plan = read_plan(tasks_recipe(tmp_path, tiny("bert"), learn={"tasks": told}))
    workspace = Workspace(prepare(plan), Plain(), Store(tmp_path / "store"))
    heads = {name: domain.task for name, domain in workspace.prepared.tasks.items()}
    network = workspace.task_network(plan.model, heads, None, 0)
    rows = {name: workspace.prepared.training_rows(name, None, 0) for name in plan.streams}
    streams = read_streams(plan, network, workspace, rows)
    job = make_job(plan, network, workspace, streams, rows)
    assert [rows_per_step(job, name) for name in ("mood", "kind")] == [6, 6]
    assert job.clock == ("mood", "kind")
    module = TrainModule(network, job.objectives, job.tasks, job.facts)
    assert module.weights({"mood": 0, "kind": 0}, 0.0) == pytest.approx({"mood": 0.5, "kind": 1.5})


def test_sampling_changes_the_rows_and_weights_of_a_step(tmp_path: Path) -> None:
    plan = read_plan(tasks_recipe(tmp_path, Path("some-model")))
    (tasks,) = plan.learn
    rows = {"mood": 72, "kind": 36}
    assert tasks.share_of("mood", rows) == pytest.approx(2 / 3)
    uniform = replace(tasks, sampling="uniform")
    assert uniform.weight_of("kind", 0.0, rows) == pytest.approx(0.5)
    assert torch.isfinite(torch.tensor(tasks.weight_of("kind", 1.0, rows)))
