"""The explained rows of a study: which they are, what is kept, and how a report shows them."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from opened_models import linear, opened

from transfuse.answering import Answerer
from transfuse.data import Table
from transfuse.errors import DataError
from transfuse.explaining import explain
from transfuse.report import write_explanations
from transfuse.report.explained import explained_section
from transfuse.study.explained import explained_rows
from transfuse.tasks import Classification, Regression

WEIGHTS = {"great": 3.0, "fine": 0.5, "<b>bad</b>": -3.0, "meh": -0.4}
ROWS = [
    ("great great it is", "good"),  # 0: the surest right answer of good
    ("great it is", "good"),
    ("<b>bad</b> <b>bad</b>", "bad"),  # 2: the surest right answer of bad
    ("fine it is", "bad"),
    ("great but no", "bad"),  # 4: the surest wrong answer
    ("<b>bad</b> not", "good"),  # 5: the surest wrong answer of the other label
    ("it is fine meh", "good"),  # 6: the least certain
    ("meh it is", "bad"),  # 7: the least certain of the other label
]


class Linear(Answerer):
    parameters = 0  # type: ignore[assignment]

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return linear(texts, WEIGHTS)

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, open_member: object) -> "Linear":
        raise NotImplementedError


def study(folder: Path, rows: Sequence[tuple[str, str]] = ROWS) -> Path:
    model = opened(Linear(), Classification(labels=("bad", "good")))
    table = Table.from_dict(
        {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
    )
    explained_rows(folder, model, table, model.scores(table.texts()))
    return folder


def test_the_rows_that_tell_most_are_chosen(tmp_path: Path) -> None:
    told = json.loads((study(tmp_path) / "explained.json").read_text(encoding="utf-8"))
    assert [(row["kind"], row["row"]) for row in told["rows"]] == [
        ("right", 0),
        ("right", 2),
        ("wrong", 4),
        ("wrong", 5),
        ("unsure", 6),
        ("unsure", 7),
    ]
    wrong = told["rows"][2]
    assert (wrong["label"], wrong["truth"]) == ("good", "bad")
    weight = pytest.approx(3.0)
    assert wrong["tokens"][0] == {"text": "great", "start": 0, "end": 5, "weight": weight}


def test_scores_follow_the_names_of_labels(tmp_path: Path) -> None:
    wanted = json.loads((study(tmp_path) / "explained.json").read_text(encoding="utf-8"))
    model = opened(Linear(), Classification(labels=("bad", "good")))
    table = Table.from_dict(
        {"text": [text for text, _ in ROWS], "label": [each for _, each in ROWS]}
    )
    scores = model.scores(table.texts())[:, ::-1]
    explained_rows(tmp_path, model, table, scores, ("good", "bad"))
    assert json.loads((tmp_path / "explained.json").read_text(encoding="utf-8")) == wanted


def test_without_wrong_answers_there_are_none(tmp_path: Path) -> None:
    told = json.loads((study(tmp_path, ROWS[:3]) / "explained.json").read_text(encoding="utf-8"))
    assert {row["kind"] for row in told["rows"]} == {"right", "unsure"}
    assert len({row["row"] for row in told["rows"]}) == len(told["rows"])


def test_numbers_are_not_explained_by_labels(tmp_path: Path) -> None:
    model = opened(Linear(), Regression(mean=0.0, deviation=1.0))
    table = Table.from_dict({"text": ["a", "b"], "label": [1.0, 2.5]})
    explained_rows(tmp_path, model, table, np.zeros((2, 1)))
    assert list(tmp_path.iterdir()) == []
    assert explained_section(tmp_path) == ()


def test_a_report_shows_them(tmp_path: Path) -> None:
    (section,) = explained_section(study(tmp_path))
    body = str(section.body)
    assert not section.empty
    assert body.count('class="why"') == 6
    for title in ("Sure and right", "Sure and wrong", "Least certain"):
        assert title in body
    # What stands in a text is text.
    assert "<b>" not in body
    assert "&lt;" in body
    assert 'class="against"' in body
    told = json.loads((tmp_path / "explained.json").read_text(encoding="utf-8"))
    for place, value in re.findall(r'<data value="([^"]*)" data-explained="([^"]*)"', body):
        found = told
        for step in value.strip("/").split("/"):
            found = found[int(step) if step.isdigit() else step]
        assert float(place) == found


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "explained.json").write_text('{"rows": [{}]}', encoding="utf-8")
    with pytest.raises(DataError, match=r"explained\.json"):
        explained_section(tmp_path)


def test_a_page_of_its_own(tmp_path: Path) -> None:
    model = opened(Linear(), Classification(labels=("bad", "good")))
    found = [explain(model, text) for text in ("great <script>", "word " * 400, "")]
    page = write_explanations([one.to_dict() for one in found], tmp_path / "why.html", "a <model>")
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "a &lt;model&gt;" in text
    assert text.count('class="why"') == 3
    assert "… cut" in text
    assert text.count("No word changes the answer on its own.") == 2


def test_a_word_longer_than_a_page_is_cut(tmp_path: Path) -> None:
    model = opened(Linear(), Classification(labels=("bad", "good")))
    found = explain(model, "x" * 900 + " great", label="good")
    tokens = [{**token, "weight": 1.0} for token in found.to_dict()["tokens"]]
    page = write_explanations([{**found.to_dict(), "tokens": tokens}], tmp_path / "why.html", "m")
    runs = {len(run) for run in re.findall("x{50,}", page.read_text(encoding="utf-8"))}
    assert runs == {700, 60}
