"""What finds what: chosen rows, the page's section, damaged files."""

import json
from pathlib import Path

import numpy as np
import pytest

from joined_models import picture
from pair_models import COLOURS
from transfuse.data import Table
from transfuse.errors import DataError
from transfuse.report.retrieval import retrieval_section
from transfuse.study.matches import MATCHES, shown_matches
from transfuse.tasks import Classification, Matching


def table(folder: Path, captions: int = 2) -> Table:
    rows = []
    for item, (text, colour) in enumerate(COLOURS.items()):
        path = folder / f"{item}.png"
        path.write_bytes(picture(*colour))
        rows += [(str(path), f"{text} <b>{number}", item) for number in range(captions)]
    paths, texts, items = zip(*rows, strict=True)
    return Table.from_dict(
        {"image": list(paths), "text": list(texts), "item": [f"i{each}" for each in items]},
        roles={"image": "image", "text": "text", "group": "item", "label": None},
    )


def scores(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shown = np.repeat(rng.normal(size=(rows // 2, 6)), 2, axis=0)
    said = shown + 2 * rng.normal(size=shown.shape)
    both = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (shown, said)]
    return np.concatenate(both, axis=1)


def test_the_page_shows_queries_with_their_answers(tmp_path: Path) -> None:
    rows = table(tmp_path)
    shown_matches(tmp_path, Matching(), rows, scores(len(rows)), "Best & only")
    told = json.loads((tmp_path / MATCHES).read_text())
    for query in (*told["by_caption"], *told["by_picture"]):
        right = [answer["right"] for answer in query["answers"]]
        assert any(right)
        # A right one is within the first five exactly if its rank is.
        assert (query["rank"] <= 5) == any(right[:5])
        nearness = [answer["cosine"] for answer in query["answers"]]
        assert nearness[:5] == sorted(nearness[:5], reverse=True)
    (section,) = retrieval_section(tmp_path)
    body = str(section.body)
    assert body.count("<img") == sum(len(q["answers"]) for q in told["by_caption"]) + len(
        told["by_picture"]
    )
    assert "<b>" not in body
    assert "&lt;b&gt;" in body
    assert "http" not in body
    assert "Best &amp; only" in str(section.lead)
    assert body.count("find right") == sum(
        answer["right"]
        for query in (*told["by_caption"], *told["by_picture"])
        for answer in query["answers"]
    )


def test_other_tasks_leave_nothing(tmp_path: Path) -> None:
    rows = table(tmp_path)
    (tmp_path / MATCHES).write_text("old")
    shown_matches(tmp_path, Classification(labels=("a", "b")), rows, scores(len(rows)), "x")
    assert not (tmp_path / MATCHES).exists()
    assert retrieval_section(tmp_path) == ()


@pytest.mark.parametrize("content", ["{", "[]", '{"pictures": {"1": {"jpeg": "!"}}}'])
def test_a_damaged_file_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / MATCHES).write_text(content)
    with pytest.raises(DataError, match="cannot be read"):
        retrieval_section(tmp_path)
