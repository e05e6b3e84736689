"""Sets, intervals and 'I don't know' in predictions, and the rows that they are fitted on."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from recipes import write_reviews
from transfuse.answering import load_model
from transfuse.answering.calibration import Calibration
from transfuse.answering.doubt import Doubt, Doubting
from transfuse.answering.ensemble import Ensemble
from transfuse.answering.predict import evaluate_file, fit_doubt, predict_file, predict_texts
from transfuse.answering.rules import WeightedMean
from transfuse.data import Role, Table
from transfuse.errors import DataError, ModelError
from transfuse.evaluation import Scorecard
from transfuse.tasks import Classification, MultiLabel, Regression, Task
from transfuse.transfer import transfer


@dataclass
class Model:
    """A model folder that answers with the number in a text: its share, or itself."""

    path: Path
    task: Task = field(default_factory=lambda: Classification(labels=("no", "yes")))
    recipe: dict[str, Any] = field(default_factory=dict)
    head: str = "target"
    temperature: float = 1.0
    training_keys: frozenset[bytes] = frozenset()
    model: Any = None
    reads: tuple[Role, ...] = (Role.TEXT,)

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        share = np.array([[float(text.split()[-1])] for text in texts])
        return share if self.task.kind == "regression" else np.hstack([1 - share, share])

    def evaluate(self, table: Table, *, allow_trained_rows: bool = False) -> Scorecard:
        return Scorecard({"accuracy": 1.0}, rows=len(table))


def held(rows: int, seed: int = 0) -> Calibration:
    """Answers of a calibrated model."""
    rng = np.random.default_rng(seed)
    share = rng.random(rows)
    return Calibration(np.stack([1 - share, share], 1), (rng.random(rows) < share).astype(np.int64))


def write(path: Path, rows: Calibration) -> Path:
    labels = ["yes" if target else "no" for target in rows.targets]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(
            (f"row {row} {score:.6f}", label)
            for row, (score, label) in enumerate(zip(rows.scores[:, 1], labels, strict=True))
        )
    return path


def test_rows_come_back_by_head(tmp_path: Path) -> None:
    first, second = held(20), Calibration(np.ones((3, 1)), np.zeros(3, np.float32))
    first.save(tmp_path)
    second.save(tmp_path, "other")
    found = Calibration.load(tmp_path)
    assert found is not None
    assert np.allclose(found.scores, first.scores)
    assert np.array_equal(found.targets, first.targets)
    assert Calibration.load(tmp_path, "other") is not None
    assert Calibration.load(tmp_path, "third") is None
    assert Calibration.load(tmp_path / "elsewhere") is None
    with pytest.raises(ValueError, match="go together"):
        Calibration(np.ones((3, 2)), np.ones(2))


def test_a_run_keeps_its_answers_to_validation_rows(tmp_path: Path) -> None:
    target = write_reviews(tmp_path / "rows.jsonl", 120)
    recipe = {"name": "words", "model": "tfidf", "data": {"target": {"path": str(target)}}}
    model = load_model(transfer(recipe, tmp_path / "run").folder)
    rows = Calibration.load(model.path)
    assert rows is not None
    texts = {json.loads(line)["text"] for line in target.read_text(encoding="utf-8").splitlines()}
    everything = model.scores(sorted(texts))
    # Calibrated, as `scores` gives them.
    gaps = np.abs(rows.scores[:, None] - everything[None]).max(-1).min(1)
    assert gaps.max() < 1e-6
    assert fit_doubt(model, Doubt(sets=0.5)).sets is not None


def test_sets_and_silence_in_a_file(tmp_path: Path) -> None:
    held(400).save(tmp_path)
    model, fresh = Model(tmp_path), held(500, seed=1)
    source = write(tmp_path / "in.csv", fresh)
    notes = predict_file(
        model, source, tmp_path / "out.parquet", doubt=Doubt(sets=0.9, abstain_below=0.7)
    )
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    covered = [row["label"] in row["prediction_set"] for row in rows]
    assert 0.85 < np.mean(covered) < 0.95
    assert any("90% of the rows" in note for note in notes)
    for row in rows:
        assert row["abstained"] == (row["confidence"] < 0.7) == (row["prediction"] is None)
    predict_file(model, source, tmp_path / "out.jsonl", doubt=Doubt(risk=0.2))
    lines = [
        json.loads(line)
        for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    given = [line for line in lines if not line["abstained"]]
    assert 0.3 < len(given) / len(lines) < 1.0
    assert np.mean([line["prediction"] != line["label"] for line in given]) <= 0.2
    assert all(line["prediction"] is None for line in lines if line["abstained"])


def test_all_silent_columns_keep_their_type(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", held(5))
    predict_file(Model(tmp_path), source, tmp_path / "o.parquet", doubt=Doubt(abstain_below=1.0))
    kind = pq.read_schema(tmp_path / "o.parquet").field("prediction").type
    assert str(kind) == "string"


def test_numbers_have_intervals_and_no_silence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((99, 1))
    Calibration(values, (values[:, 0] + rng.normal(0, 0.1, 99)).astype(np.float32)).save(tmp_path)
    model = Model(tmp_path, Regression(mean=0.0, deviation=1.0))
    source = write(tmp_path / "in.csv", held(20))
    predict_file(model, source, tmp_path / "out.parquet", doubt=Doubt(sets=0.9))
    made = pq.read_table(tmp_path / "out.parquet")
    assert made.column_names[2:] == ["prediction", "prediction_low", "prediction_high"]
    (one,) = predict_texts(model, ["a 0.5"], fit_doubt(model, Doubt(sets=0.9)))
    assert one.interval is not None
    assert one.interval[1] - 0.5 == pytest.approx(0.5 - one.interval[0])
    assert 0.1 < one.interval[1] - 0.5 < 0.25
    with pytest.raises(ModelError, match="no confidence"):
        fit_doubt(model, Doubt(risk=0.1))


def test_several_labels_can_be_withheld_but_have_no_sets(tmp_path: Path) -> None:
    model = Model(tmp_path, MultiLabel(labels=("a", "b")))
    (sure, unsure) = predict_texts(
        model, ["x 0.95", "x 0.55"], fit_doubt(model, Doubt(abstain_below=0.9))
    )
    assert (sure.value, unsure.value) == (["b"], None)
    with pytest.raises(ModelError, match="several labels"):
        fit_doubt(model, Doubt(sets=0.9))
    rng = np.random.default_rng(0)
    scores = rng.random((500, 2))
    targets = (rng.random((500, 2)) < scores).astype(np.float32)
    rule = Doubting.fit(Doubt(risk=0.4), model, Calibration(scores, targets))  # type: ignore[arg-type]
    measured = rule.measure(model.task, Calibration(scores, targets))
    assert measured["answered_risk"] <= 0.4


def test_rows_of_ones_own_take_the_place_of_those_kept(tmp_path: Path) -> None:
    model = Model(tmp_path)
    with pytest.raises(ModelError, match="--calibrate FILE"):
        fit_doubt(model, Doubt(sets=0.9))
    own = write(tmp_path / "own.csv", held(300))
    doubt = Doubt(sets=0.9, risk=0.2, calibrate=own)
    rule = fit_doubt(model, doubt)
    assert rule.sets is not None
    assert rule.threshold is not None
    card, notes = evaluate_file(model, write(tmp_path / "new.csv", held(800, 2)), doubt=doubt)
    assert card.metrics["set_coverage"] == pytest.approx(0.9, abs=0.04)
    assert card.metrics["answered_risk"] <= 0.2
    assert 0 < card.metrics["risk_coverage_area"] < 0.25
    assert len(notes) >= 2
    table = Table.from_dict({"text": ["row 0 0.636962"]}, roles={"text": "text", "label": None})
    model.training_keys = frozenset(table.row_keys())
    with pytest.raises(DataError, match="were trained on"):
        fit_doubt(model, doubt)


def test_a_label_without_rows_is_told(tmp_path: Path) -> None:
    rows = held(200)
    kept = np.flatnonzero((rows.targets == 0) | (np.arange(200) < 10))
    few = Calibration(rows.scores[kept], rows.targets[kept])
    rule = Doubting.fit(Doubt(sets=0.95, by_class=True), Model(tmp_path), few)  # type: ignore[arg-type]
    assert any("Too few held-out rows: yes stands in every set" in note for note in rule.notes)


@pytest.mark.parametrize(
    "options",
    [{"sets": 1.0}, {"risk": 0.0}, {"abstain_below": 1.5}, {"risk": 0.1, "abstain_below": 0.5}],
)
def test_what_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"between|from 0 to 1|both"):
        Doubt(**options)  # type: ignore[arg-type]


def test_an_ensemble_says_how_far_its_members_are_apart(tmp_path: Path) -> None:
    @dataclass
    class Member:
        path: Path
        sign: float
        task: Task = field(default_factory=lambda: Classification(labels=("no", "yes")))
        reads: tuple[Role, ...] = (Role.TEXT,)

        def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
            odds = np.array([[self.sign * float(text.split()[-1])] for text in texts])
            share = 1 / (1 + np.exp(-odds))
            return np.hstack([1 - share, share])

    rule = WeightedMean(np.array([0.5, 0.5]))
    ensemble = Ensemble((Member(tmp_path, 1.0), Member(tmp_path, -1.0)), rule, ("no", "yes"))
    opened = Model(tmp_path)
    opened.model = ensemble
    told = fit_doubt(opened, Doubt(disagreement=True))
    alike, apart = predict_texts(opened, ["a 0.0", "a 0.9"], told)
    assert alike.disagreement == pytest.approx(0.0, abs=1e-12)
    assert apart.disagreement is not None
    assert apart.disagreement > 0.05
    source = write(tmp_path / "in.csv", held(4))
    predict_file(opened, source, tmp_path / "out.parquet", doubt=Doubt(disagreement=True))
    assert pq.read_schema(tmp_path / "out.parquet").names[-1] == "disagreement"
    with pytest.raises(ModelError, match="is one model"):
        fit_doubt(Model(tmp_path), Doubt(disagreement=True))
