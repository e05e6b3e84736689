"""Students as the network of a recipe: alone, from teachers, and in what they leave behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from recipes import small_recipe
from transfuse.answering import load_model
from transfuse.errors import RecipeError, TransfuseError
from transfuse.models import Engine
from transfuse.transfer import Engines, read_plan, transfer

STUDENTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "layers": lambda name: {"name": name, "pooling": "mean", "layers": 2, "max_length": 32},
    "native": lambda name: {"name": name, "layers": 2, "take": "first", "max_length": 32},
    "narrow": lambda name: {
        "narrow": {"like": name, "hidden": 16, "layers": 2, "heads": 2, "max_length": 32}
    },
    "static": lambda name: {"static": {"of": name, "dim": 12, "max_length": 32}},
}


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def _recipe(student: str, folder: Path, tiny: Callable[..., Path], **more: Any) -> dict[str, Any]:
    name = str(tiny("bert"))
    return {**small_recipe(folder, name, **more), "model": STUDENTS[student](name)}


@pytest.mark.parametrize("tune", ["frozen", "full"])
@pytest.mark.parametrize("student", STUDENTS)
def test_the_folder_of_a_student_answers_in_transformers_as_it_does_here(
    student: str, tune: str, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = _recipe(student, tmp_path, tiny, tune=tune)
    recipe["split"]["validation"] = 0.0
    result = transfer(recipe, tmp_path / "out", engines=_Plain())
    texts = ["the film so fine and good", "bad", "very poor and bad it was a film"]
    tokenizer = AutoTokenizer.from_pretrained(result.folder)
    model = AutoModelForSequenceClassification.from_pretrained(result.folder).eval()
    with torch.no_grad():
        given = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        plain = model(**given).logits.softmax(-1).numpy()
    ours = load_model(result.folder, Engine()).scores(texts)
    np.testing.assert_allclose(plain, ours, atol=1e-5)


@pytest.mark.parametrize(
    ("student", "objective"),
    [
        *((student, name) for student in STUDENTS for name in ("distil", "embed")),
        ("layers", "hidden"),
        ("narrow", "hidden"),
    ],
)
def test_every_student_learns_from_a_teacher(
    student: str, objective: str, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    taught = small_recipe(tmp_path, tiny("bert"), tune="frozen")
    teacher = transfer(taught, tmp_path / "teacher", engines=_Plain()).folder
    learn = ["target", {objective: {"teacher": str(teacher)}}]
    recipe = _recipe(student, tmp_path, tiny, tune="full", learn=learn)
    card = transfer(recipe, tmp_path / "out", engines=_Plain()).scorecard
    assert 0.0 <= card.metrics["accuracy"] <= 1.0


def test_a_static_student_has_no_token_for_each_of_a_teachers(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    learn = ["target", {"hidden": {"teacher": str(tiny("bert"))}}]
    with pytest.raises(TransfuseError, match=r"same tokens|cut"):
        transfer(_recipe("static", tmp_path, tiny, learn=learn), tmp_path / "out", engines=_Plain())


def test_a_static_student_learns_the_task_from_its_frozen_vectors(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = _recipe("static", tmp_path, tiny, tune="frozen")
    card = transfer(recipe, tmp_path / "out", engines=_Plain()).scorecard
    assert card.metrics["accuracy"] > 0.9  # words alone tell these labels apart


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"name": "x", "layers": 0}, "layers is at least 1"),
        ({"name": "x", "take": "middle"}, "take"),
        ({"narrow": {"like": "x", "hidden": 10, "heads": 4}}, "hidden is a multiple of heads"),
        ({"narrow": {"like": "x", "feed_forward": 0}}, "feed_forward is at least 1"),
        ({"static": {"of": "x", "dim": 0}}, "dim is at least 1"),
        ({"static": {}}, "of: missing"),
    ],
)
def test_a_size_that_cannot_be_is_found_before_the_run(model: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        read_plan({"model": model, "data": {"target": "t.csv"}})


def test_students_survive_their_recipe(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    for student in STUDENTS:
        plan = read_plan(_recipe(student, tmp_path, tiny))
        assert read_plan(plan.recipe()).model == plan.model
