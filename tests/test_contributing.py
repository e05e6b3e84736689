"""The example of CONTRIBUTING.md, run as it stands there: one file and one line add a method."""

import importlib.util
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from recipes import small_recipe
from transfuse.models import Encoded, Outputs
from transfuse.objectives import OBJECTIVES, Objective, Step, StreamTask
from transfuse.recipe import describe, read_recipe
from transfuse.tasks import Classification
from transfuse.training import Callback, StepReport
from transfuse.transfer import transfer

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# The example reads the outputs alone.
NO_NETWORK: Any = None


@pytest.fixture
def confidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Objective]:
    """The class of the guide's file, imported from a file so that its docstrings are found."""
    (text,) = re.findall(r"<!-- example: .*? -->\n```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    path = tmp_path / "confidence.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("confidence", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "confidence", module)
    spec.loader.exec_module(module)
    kind: type[Objective] = module.Confidence
    return kind


class Losses(Callback):
    """The names of the losses that a run weighed."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def on_step(self, report: StepReport) -> None:
        self.names |= set(report.losses)


def loss(objective: Objective, logits: list[list[float]]) -> float:
    made = torch.tensor(logits)
    features = torch.zeros(len(logits), 2)
    outputs = Outputs(features, {"label": made}, Encoded(features))
    task = StreamTask(Classification(labels=("bad", "good", "neither")), "label")
    step = Step(NO_NETWORK, {}, {"target": outputs}, {"target": task}, 0.0)
    return float(objective.losses(step, None)["confidence"])


def test_it_is_what_the_paper_says(confidence: type[Objective]) -> None:
    assert loss(confidence(), [[1.0, 1.0, 1.0]]) == pytest.approx(-math.log(3))
    assert loss(confidence(), [[100.0, 0.0, 0.0]]) == pytest.approx(0.0, abs=1e-6)


def test_its_docstrings_are_its_documentation(confidence: type[Objective]) -> None:
    (shown,) = describe({"confidence": confidence})
    assert shown.summary.startswith("The negative entropy")
    assert [(option.name, option.default) for option in shown.options] == [("weight", "0.1")]
    assert shown.options[0].text.startswith("Weight of the penalty.")


def test_the_one_line_makes_it_known_to_recipes(
    confidence: type[Objective], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Any
) -> None:
    assert '"confidence": Confidence' in GUIDE
    monkeypatch.setitem(OBJECTIVES, "confidence", confidence)
    (line,) = re.findall(r"```yaml\n(learn: .*?)```", GUIDE, flags=re.DOTALL)
    recipe = small_recipe(tmp_path, tiny("bert"), **yaml.safe_load(line))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    seen = Losses()
    transfer(read_recipe(path), tmp_path / "out", callbacks=[seen])
    assert seen.names == {"target", "confidence"}


def test_every_file_that_the_tour_names_exists() -> None:
    tour = GUIDE.split("## A tour")[1].split("## Adding")[0]
    package = ROOT / "src" / "transfuse"
    rows = re.findall(r"^\| (.*?) \|.*\| (?:`(\w+\.py)`(?: of each)?|(.*?)) \|$", tour, re.M)
    for names, first, _ in rows:
        for name in re.findall(r"`(\w+)`", names) if first else ():
            assert (package / name / first).is_file() or (package / f"{name}.py").is_file()
    for name in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", tour):
        assert (package / name).exists() or (ROOT / name).exists(), name
