"""Long files: a call that was stopped goes on, to the same bytes, in little memory."""

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from transfuse.answering import parts, predict, reading
from transfuse.answering.doubt import Doubt
from transfuse.answering.predict import predict_file
from transfuse.data import Role
from transfuse.data.loaded import ReadOptions
from transfuse.data.readers import csv
from transfuse.data.readers import json as json_lines
from transfuse.data.write import writing
from transfuse.errors import DataError, RunLockedError
from transfuse.tasks import Classification, Task


@dataclass
class Model:
    """A model folder whose answer is known, and that may stop at a block."""

    task: Task = field(default_factory=lambda: Classification(labels=("short", "long")))
    recipe: dict[str, Any] = field(default_factory=dict)
    head: str = "target"
    path: Path = Path("no-folder")
    temperature: float = 1.0
    training_keys: frozenset[bytes] = frozenset()
    reads: tuple[Role, ...] = (Role.TEXT,)
    asked: list[str] = field(default_factory=list)
    stop_at: int = 10**9

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        if len(self.asked) >= self.stop_at:
            raise KeyboardInterrupt
        self.asked += texts
        lengths = np.array([[len(text)] for text in texts], dtype=np.float64)
        # Like a network's, an answer depends a little on the rows beside it.
        share = lengths / (lengths + 10) * (1 - 1e-6 * len(texts))
        return np.hstack([1 - share, share])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "_ROWS", 50)


def write(path: Path, rows: int = 730) -> Path:
    lines = [
        {"text": f"row {row} " + "word " * (row % 17), "number": row, "tags": ["a"] * (row % 3)}
        for row in range(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("kept", [150, 65_536])
def test_a_stopped_call_goes_on_to_the_same_bytes(
    tmp_path: Path, suffix: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_ROWS", kept)
    source, output = write(tmp_path / "in.jsonl"), tmp_path / f"out{suffix}"
    doubt = Doubt(abstain_below=0.6)
    whole = tmp_path / f"whole{suffix}"
    call = partial(predict_file, source=source, probabilities=True, doubt=doubt)
    call(Model(), output=whole)
    first = Model(stop_at=300)
    with pytest.raises(KeyboardInterrupt):
        call(first, output=output)
    assert not output.exists()
    second = Model(stop_at=250)
    done: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        call(second, output=output)
    third = Model()
    notes = call(third, output=output, progress=lambda *told: done.append(told))
    assert output.read_bytes() == whole.read_bytes()
    # No row was asked for twice.
    asked = [text.split()[1] for text in first.asked + second.asked + third.asked]
    assert asked == [str(row) for row in range(730)]
    assert done[0] == (550, 730)
    assert sum(rows for rows, _ in done) == 730
    assert "550 of 730 rows were answered before." in notes
    assert names(tmp_path) == sorted(["in.jsonl", output.name, whole.name])


def test_a_killed_process_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Killed without any chance to tidy up, between two blocks and in the middle of a write."""
    source, output = write(tmp_path / "in.jsonl"), tmp_path / "out.csv"
    program = f"""
import os, signal
from pathlib import Path
from test_predict_resume import Model
from transfuse.answering import parts, predict
predict._ROWS = parts._ROWS = 50
real = parts.write_whole
def write(path, content):
    if path.name.startswith("000000000200"):
        path.with_name(f".{{path.name}}.new").write_bytes(content[:100])
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, content)
parts.write_whole = write
predict.predict_file(Model(), Path({str(source)!r}), Path({str(output)!r}))
"""
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": here}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not output.exists()
    model = Model()
    predict_file(model, source, output)
    assert len(model.asked) == 530
    predict_file(Model(), source, tmp_path / "whole.csv")
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert names(tmp_path) == ["in.jsonl", "out.csv", "whole.csv"]


def test_other_work_takes_nothing_over(tmp_path: Path) -> None:
    source, output = write(tmp_path / "in.jsonl"), tmp_path / "out.csv"
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("a")

    def stopped(**more: Any) -> None:
        with pytest.raises(KeyboardInterrupt):
            predict_file(Model(path=folder, stop_at=200), source, output, **more)

    for change in ("options", "input", "model", "column"):
        stopped()
        options: dict[str, Any] = {}
        if change == "options":
            options = {"probabilities": True}
        elif change == "input":
            content = source.read_text(encoding="utf-8")
            source.write_text(content.replace("row 3 ", "row 4 "), encoding="utf-8")
        elif change == "model":
            (folder / "weights").write_text("other")
        model = Model(path=folder)
        if change == "column":
            model.task = Classification(labels=("short", "lengthy"))
        notes = predict_file(model, source, output, **options)
        assert len(model.asked) == 730, change
        assert not any("before" in note for note in notes)


def test_a_touched_input_is_the_same_input(tmp_path: Path) -> None:
    source, output = write(tmp_path / "in.jsonl"), tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        predict_file(Model(stop_at=200), source, output)
    os.utime(source)
    model = Model()
    predict_file(model, source, output)
    assert len(model.asked) == 530


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    source, output = write(tmp_path / "in.jsonl"), tmp_path / "out.csv"
    with FileLock(tmp_path / ".out.csv.lock"), pytest.raises(RunLockedError, match="another"):
        predict_file(Model(), source, output)
    predict_file(Model(), source, output)
    assert names(tmp_path) == ["in.jsonl", "out.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own memory and Arrow's, for a file and for one of eight times its rows."""
    for module, name in ((predict, "_ROWS"), (csv, "_BATCH_ROWS"), (json_lines, "_BATCH_ROWS")):
        monkeypatch.setattr(module, name, 1100)
    monkeypatch.setattr(parts, "_ROWS", 1100)
    monkeypatch.setattr(reading, "ReadOptions", partial(ReadOptions, in_memory_bytes=1000))

    @dataclass
    class Forgetful(Model):
        arrow: int = 0

        def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
            self.arrow = max(self.arrow, pa.total_allocated_bytes())
            found = super().scores(texts)
            self.asked.clear()
            return found

    def peak(rows: int) -> tuple[float, float]:
        source = tmp_path / f"{rows}{suffix}"
        with writing(source) as writer:
            for start in range(0, rows, 1100):
                numbers = range(start, start + 1100)
                texts = [f"row {row} " + "word " * 40 for row in numbers]
                writer.write(pa.table({"text": texts, "number": list(numbers)}))
        model, before = Forgetful(), pa.total_allocated_bytes()
        tracemalloc.start()
        predict_file(model, source, tmp_path / "out.csv", column="text")
        python = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return python / 2**20, (model.arrow - before) / 2**20

    peak(1100)
    small, large = peak(2200), peak(11_000)
    # The rows that the large file has more come to 2 MiB.
    assert large[0] < small[0] + 0.5, (small, large)
    assert large[1] < small[1] + 0.5, (small, large)


def test_bad_rows_of_a_long_file_are_found_before_the_first_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ReadOptions", partial(ReadOptions, in_memory_bytes=1000))
    source = write(tmp_path / "in.jsonl")
    lines = source.read_text(encoding="utf-8").splitlines()
    lines[600] = json.dumps({"text": None, "number": 1, "tags": []})
    lines[700] = "{broken"
    source.write_text("\n".join(lines), encoding="utf-8")
    model = Model()
    with pytest.raises(DataError) as caught:
        predict_file(model, source, tmp_path / "out.csv")
    assert "row 601" in str(caught.value)
    assert "row 701" in str(caught.value)
    assert model.asked == []
    assert names(tmp_path) == ["in.jsonl"]
