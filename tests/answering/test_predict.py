"""Predictions for files: every format, rows untouched, memory flat, all or nothing."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from transfuse.answering import predict
from transfuse.answering.predict import evaluate_file, predict_file, predict_texts
from transfuse.data import Role, Table
from transfuse.errors import DataError
from transfuse.evaluation import Scorecard
from transfuse.tasks import Classification, MultiLabel, Regression, Task


@dataclass
class Model:
    """A model folder whose answer is known: the longer the text, the surer of the last label."""

    task: Task = field(default_factory=lambda: Classification(labels=("short", "long")))
    recipe: dict[str, Any] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    head: str = "target"
    path: Path = Path("no-folder")
    temperature: float = 1.0
    training_keys: frozenset[bytes] = frozenset()
    reads: tuple[Role, ...] = (Role.TEXT,)
    fails_at: int = 10**9

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.asked.append(list(texts))
        if len(self.asked) >= self.fails_at:
            raise RuntimeError("out of order")
        lengths = np.array([[len(text)] for text in texts], dtype=np.float64)
        if self.task.kind == "regression":
            return lengths
        share = lengths / (lengths + 10)
        return np.hstack([1 - share, share])

    def evaluate(self, table: Table, *, allow_trained_rows: bool = False) -> Scorecard:
        self.asked.append(table.texts())
        return Scorecard({"accuracy": 1.0}, rows=len(table))


ROWS = [
    ("007", "a short one", "1.50", "nan"),
    ("008", 'she said "no",\nand left', "", "ok"),
    ("009", "中文的一句话", "1e5", ""),
    ("010", "  much   longer than all of the others  ", "-0", "x"),
]
HEADS = ["number", "body", "price", "label"]


def write(path: Path, rows: Sequence[Sequence[Any]] = ROWS) -> Path:
    separator = "\t" if path.suffix == ".tsv" else ","
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(HEADS)
        writer.writerows(rows)
    return path


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("rows", [1, 3, 4096])
def test_cells_of_text_files_come_back_as_they_were(
    tmp_path: Path, suffix: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_ROWS", rows)
    source = write(tmp_path / f"in{suffix}")
    output = tmp_path / f"out{suffix}"
    predict_file(Model(), source, output, column="body")
    head, *cells = read(output)
    assert head == [*HEADS, "prediction", "confidence"]
    assert [tuple(row[:4]) for row in cells] == ROWS
    assert [row[4] for row in cells] == ["long", "long", "short", "long"]


def test_columns_of_parquet_and_json_lines_keep_their_types(tmp_path: Path) -> None:
    columns = {"text": ["one", "a longer text"], "tags": [["a", "b"], []], "score": [1.5, None]}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    predict_file(Model(), tmp_path / "in.parquet", tmp_path / "out.parquet", probabilities=True)
    made = pq.read_table(tmp_path / "out.parquet")
    assert made.select(["text", "tags", "score"]).to_pydict() == columns
    assert made.column_names[3:] == [
        "prediction",
        "confidence",
        "probability_short",
        "probability_long",
    ]
    predict_file(Model(), tmp_path / "in.parquet", tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["tags"] for line in lines] == columns["tags"]
    predict_file(Model(), tmp_path / "in.parquet", tmp_path / "out.csv")
    assert read(tmp_path / "out.csv")[1][1:3] == ["a|b", "1.5"]


def test_confidence_is_the_probability_of_the_answer() -> None:
    for one in predict_texts(Model(), ["x", "a rather long text"]):
        assert (
            one.confidence == one.probabilities[str(one.value)] == max(one.probabilities.values())
        )
        assert sum(one.probabilities.values()) == pytest.approx(1.0)
    assert predict_texts(Model(), []) == []


def test_several_labels_and_numbers(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv")
    several = Model(MultiLabel(labels=("brief", "wordy")))
    (one,) = predict_texts(several, ["1234567890"])
    assert one.value == ["brief", "wordy"]
    assert one.confidence == 0.5
    predict_file(several, source, tmp_path / "several.csv", column="body")
    assert read(tmp_path / "several.csv")[1][4] == "wordy"
    number = Model(Regression(mean=0.0, deviation=1.0))
    predict_file(number, source, tmp_path / "number.csv", column="body", probabilities=True)
    head, first, *_ = read(tmp_path / "number.csv")
    assert head == [*HEADS, "prediction"]
    assert float(first[4]) == len("a short one")


def test_no_more_rows_are_held_than_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "_ROWS", 50)
    source = write(tmp_path / "in.csv", [(row, f"text {row}", 1, "") for row in range(230)])
    model, done = Model(), []
    predict_file(
        model,
        source,
        tmp_path / "out.csv",
        column="body",
        progress=lambda rows, total: done.append((rows, total)),
    )
    assert [len(texts) for texts in model.asked] == [50, 50, 50, 50, 30]
    assert done == [(50, 230)] * 4 + [(30, 230)]
    assert list(chain(*model.asked)) == [f"text {row}" for row in range(230)]


def test_texts_are_mended_as_those_that_were_learnt_from() -> None:
    model = Model(recipe={"clean": {"unicode": "NFKC"}})
    predict_texts(model, ["ｆｕｌｌ  width\u200b ", " ", "same", "same"])
    assert model.asked == [["full width", "", "same", "same"]]
    plain = Model(recipe={"clean": {"whitespace": False}})
    predict_texts(plain, [" two  spaces "])
    assert plain.asked == [[" two  spaces "]]


def test_the_text_column_is_given_or_the_recipes_or_inferred(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv")
    named = Model(recipe={"data": {"target": {"text": "price"}}})
    predict_file(named, source, tmp_path / "a.csv", column="body")
    assert named.asked[0][0] == "a short one"
    of_recipe = Model(recipe={"data": {"target": {"text": "number"}}})
    predict_file(of_recipe, source, tmp_path / "b.csv")
    assert of_recipe.asked[0][0] == "007"
    elsewhere = Model(recipe={"data": {"target": {"text": "absent"}}})
    notes = predict_file(elsewhere, source, tmp_path / "c.csv")
    assert elsewhere.asked[0][0] == "a short one"
    assert any("'body'" in note for note in notes)


def test_a_file_is_read_as_the_target_was(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes('text,label\n5" or 6" né,nan\nplain,null\n'.encode("latin-1"))
    target = {"encoding": "latin-1", "quotes": False, "label_names": True}
    model = Model(recipe={"data": {"target": target}})
    evaluate_file(model, source)
    assert model.asked == [['5" or 6" né', "plain"]]


def test_a_failure_half_way_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_ROWS", 2)
    source, output = write(tmp_path / "in.csv"), tmp_path / "out.csv"
    output.write_text("before", encoding="utf-8")
    with pytest.raises(RuntimeError):
        predict_file(Model(fails_at=2), source, output, column="body")
    assert output.read_text(encoding="utf-8") == "before"
    # What was answered is kept out of sight, for the same call to go on from.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".out.csv.parts",
        "in.csv",
        "out.csv",
    ]
    predict_file(Model(), source, output, column="body")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_what_cannot_be_done_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv")
    with pytest.raises(DataError, match="is the input"):
        predict_file(Model(), source, source, column="body")
    with pytest.raises(DataError, match="unknown kind of file"):
        predict_file(Model(), source, tmp_path / "out.docx", column="body")
    predict_file(Model(), source, tmp_path / "once.csv", column="body")
    with pytest.raises(DataError, match="'prediction', 'confidence' already"):
        predict_file(Model(), tmp_path / "once.csv", tmp_path / "twice.csv", column="body")
    write(tmp_path / "long.csv", [ROWS[0], ("1", "x" * 1_000_001, "", "")])
    with pytest.raises(DataError, match=r"row 2 \(line 3\), column 'body'"):
        predict_file(Model(), tmp_path / "long.csv", tmp_path / "out.csv", column="body")
    assert not (tmp_path / "out.csv").exists()


def test_evaluation_reads_labels_and_drops_no_row(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.csv", [(1, " same  text", 1, "long"), (2, "same text", 1, "short")]
    )
    model = Model()
    card, _ = evaluate_file(model, source, column="body", label="label")
    assert card.rows == 2
    assert model.asked == [["same text", "same text"]]
    with pytest.raises(DataError, match="no column 'lable'"):
        evaluate_file(model, source, column="body", label="lable")
