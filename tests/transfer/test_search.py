"""Settings that validation chooses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recipes import small_recipe
from transfuse.answering import load_model
from transfuse.errors import RecipeError
from transfuse.training import Callback
from transfuse.transfer import read_plan, transfer

_PATH = "learn[1].source.weight"
_SEARCH: dict[str, Any] = {
    "tune": {"lora": {"rank": 2}},
    "learn": ["target", {"source": {"weight": 1.0}}],
    "search": {_PATH: [0.0, 2.0]},
}


class _Heard(Callback):
    def __init__(self) -> None:
        self.said: list[str] = []

    def on_notice(self, text: str) -> None:
        self.said.append(text)


def test_the_candidate_that_validates_best_is_kept(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    heard = _Heard()
    recipe = small_recipe(tmp_path, tiny("bert"), **_SEARCH)
    done = transfer(recipe, tmp_path / "run", callbacks=[heard])
    tried = [text for text in heard.said if text.startswith("search:")]
    scores = [float(text.rpartition(" ")[2]) for text in tried]
    assert len(tried) == 2
    best = [0.0, 2.0][scores.index(max(scores))]
    about = json.loads((done.folder / "transfuse.json").read_text(encoding="utf-8"))
    assert about["chosen"] == {_PATH: best}
    model = load_model(done.folder)
    assert model.recipe["search"] == {_PATH: [0.0, 2.0]}
    assert (done.folder / "adapter").exists()
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == ["model"]
    assert transfer(recipe, tmp_path / "run").resumed


def test_mistakes_of_a_search_are_told_before_anything_runs(tmp_path: Path) -> None:
    def read(**more: Any) -> Any:
        return read_plan(small_recipe(tmp_path, "some-model", **{**_SEARCH, **more}))

    with pytest.raises(RecipeError, match="two or more values"):
        read(search={_PATH: [1.0]})
    with pytest.raises(RecipeError, match=r"\[5\] in a list of 2"):
        read(search={"learn[5].source.weight": [0.1, 1.0]})
    with pytest.raises(RecipeError, match="weight is 0 or above"):
        read(search={_PATH: [-1.0, 1.0]})
    with pytest.raises(RecipeError, match="more than what is learnt from the same rows"):
        read(search={"budget": [10, 60]})
    with pytest.raises(RecipeError, match="which this recipe does without"):
        read(learn=["source"], search={"train.epochs": [1, 2]})
    with pytest.raises(RecipeError, match="no validation rows to choose by"):
        read(split={"test": 0.3, "validation": 0.0})
