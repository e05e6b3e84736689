"""A study of which a run fails: the others go on, and what is missing is said."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from recipes import small_recipe
from transfuse.cli.app import main
from transfuse.errors import StudyError, TrainingError, TransfuseError
from transfuse.report import result_table, write_report
from transfuse.study import RunKey, Watcher, compare

_BREAKS = {"tune": {"full": {"learning_rate": 1e30}}, "train": {"epochs": 3}}


class _Heard(Watcher):
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.why: dict[str, str] = {}

    def on_run(self, key: RunKey, event: str) -> None:
        self.events.append((key.recipe, event))

    def on_failure(self, key: RunKey, error: TransfuseError) -> None:
        self.why[key.recipe] = str(error)


def _study(folder: Path, model: Path, **recipes: Any) -> dict[str, Any]:
    recipe = small_recipe(folder, model, name="breaking")
    recipe["recipes"] = recipes
    recipe["study"] = {"seeds": [0], "workers": 0, "replicates": 100}
    return recipe


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


def test_a_run_that_fails_ends_no_other(tiny: Callable[..., Path], tmp_path: Path) -> None:
    recipe = _study(
        tmp_path,
        tiny("bert"),
        broken=_BREAKS,
        student={"learn": [{"distil": {"teacher": "@broken"}}, "target"]},
        words={"model": "tfidf"},
        probe={"tune": "frozen"},
    )
    # What a worker raises has to come here whole.
    recipe["study"]["workers"] = 1
    heard, out = _Heard(), tmp_path / "out"
    with pytest.raises(StudyError, match=r"broken, \d+ labels: .*") as caught:
        compare(recipe, out, watcher=heard)
    assert "begins from broken, which failed" in str(caught.value)
    assert set(heard.why) == {"broken", "student"}
    assert ("student", "start") not in heard.events
    # It was told at once, before the others were done.
    assert heard.events.index(("broken", "failed")) < len(heard.events) - 1
    told = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert {each["recipe"] for each in told["failed"]} == {"broken", "student"}
    assert any("broken failed and is left out everywhere" in note for note in told["notes"])
    table = pd.read_parquet(out / "study.parquet")
    assert set(table.recipe) == {"words", "probe"}
    assert (out / "model").is_dir()
    page = write_report(out).read_text(encoding="utf-8")
    assert "failed: " in page
    assert "failed" in _printed(out)
    # Again: what is finished stays, what failed is tried anew.
    recipe["study"]["workers"] = 0
    again = _Heard()
    with pytest.raises(StudyError):
        compare(recipe, out, watcher=again)
    assert [recipe for recipe, event in again.events if event == "start"] == ["broken"]
    # Mended, the study is whole.
    recipe["recipes"]["broken"] = {"tune": "frozen"}
    compare(recipe, out)
    told = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert "failed" not in told


def test_no_gain_is_stated_over_a_baseline_that_failed(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = _study(tmp_path, tiny("bert"), broken=_BREAKS, probe={"tune": "frozen"})
    recipe["study"]["baselines"] = ["broken"]
    with pytest.raises(StudyError):
        compare(recipe, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))
    assert told["headline"] == {}
    assert any("No gain over broken can be stated" in note for note in told["notes"])
    page = write_report(tmp_path / "out").read_text(encoding="utf-8")
    assert "No gain can be stated" in page


def test_where_all_fail_there_is_no_study(tiny: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        compare(_study(tmp_path, tiny("bert"), broken=_BREAKS), tmp_path / "out")
    assert not (tmp_path / "out" / "study.json").exists()


def test_the_command_line_writes_the_report_and_says_what_failed(
    tiny: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = _study(tmp_path, tiny("bert"), broken=_BREAKS, words={"model": "tfidf"})
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    assert main(["run", str(path), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert (tmp_path / "out" / "report.html").is_file()
    assert "failed" in said.out
    assert "broken" in said.err


def _printed(folder: Path) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(result_table(folder))
    return console.export_text()
