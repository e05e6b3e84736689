"""What is said on the way, where nobody watches a live line."""

import pytest

from transfuse.cli.progress import RunProgress, StudyProgress
from transfuse.cli.show import span
from transfuse.study import RunKey
from transfuse.training import StepReport


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    found = capsys.readouterr()
    assert found.out == ""
    return found.err.splitlines()


def test_a_study_says_one_line_for_each_finished_run(capsys: pytest.CaptureFixture[str]) -> None:
    keys = [RunKey("lora", budget, seed) for budget in (0, 50) for seed in range(3)]
    with StudyProgress() as progress:
        progress.on_begin(dict.fromkeys(keys, 1.0), 2)
        progress.on_run(keys[0], "done")
        progress.on_run(keys[1], "done")
        for key in keys[2:4]:
            progress.on_run(key, "start")
        for key in keys[2:4]:
            progress.on_run(key, "done")
        for key in keys[4:]:
            progress.on_run(key, "start")
            progress.on_run(key, "failed")
    lines = said(capsys)
    assert lines[0] == "6 runs, 2 at a time"
    assert lines[1] == "2 of them were done before"
    assert [line.split(" after")[0] for line in lines[2:]] == [
        "[3/6] lora, no target labels, seed 2: done",
        "[4/6] lora, 50 labels, seed 0: done",
        "[5/6] lora, 50 labels, seed 1: failed",
        "[6/6] lora, 50 labels, seed 2: failed",
    ]
    assert "left" in lines[2]
    assert "left" not in lines[-1]


def test_a_study_that_was_done_before_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with StudyProgress() as progress:
        progress.on_begin({RunKey("a", 1, 0): 1.0, RunKey("a", 1, 1): 1.0}, 1)
        progress.on_run(RunKey("a", 1, 0), "done")
        progress.on_run(RunKey("a", 1, 1), "done")
    assert said(capsys) == ["2 runs", "all of them were done before"]


def test_steps_of_a_run_are_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress() as progress:
        progress.on_notice("text is column 'body' [not markup]")
        for step in range(100):
            progress.on_step(StepReport("full", step + 1, 100, {"target": 0.5}, {}, 1e-3))
        progress.on_evaluation(100, {"accuracy": 0.5, "unknown": 1.0})
        progress.close()
    assert said(capsys) == [
        "text is column 'body' [not markup]",
        "after step 100: accuracy 50.0%",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9, "9.0 s"), (80, "80 s"), (600, "10 min"), (9000, "2.5 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert span(seconds) == text
