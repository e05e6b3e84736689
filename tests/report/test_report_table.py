"""The result table of the terminal and the picture of the README."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from synthetic_study import TEN, write_study

from transfuse.errors import DataError
from transfuse.report import learning_curve_png, result_table


def printed(folder: Path, width: int = 100) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(result_table(folder))
    return captured.get()


def test_the_table_holds_scores_intervals_and_gains(ten: Path) -> None:
    text = printed(ten)
    assert "87.2 [84.8, 89.6]" in text
    assert "+14.1*" in text
    assert "From scratch" in text
    assert "* p < 0.05 after Holm" in text


def test_every_recipe_and_budget_is_there_at_eighty_columns(ten: Path) -> None:
    text = printed(ten, 80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text
    for entry in TEN:
        assert entry[1].split()[0] in text
    assert text.count("[") == 10 * 3 + 1


def test_negative_transfer_is_said_in_words(tmp_path: Path) -> None:
    lost = ("lost", "Lost", "", (0.40, 0.45, 0.50), 0.5, 10, 1.0, 0.1, 0.05)
    text = printed(write_study(tmp_path, (*TEN[:2], lost), budgets=(200,), seeds=(0,)))
    assert "negative" in text
    # A baseline that loses to the other baseline transfers nothing.
    assert text.count("negative") == 1


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    entries = [("a", "[red]odd[/red] name", *TEN[0][2:]), *TEN[1:2]]
    folder = write_study(tmp_path, entries, budgets=(200,), seeds=(0,), baselines=("scratch",))
    assert "[red]odd[/red]" in printed(folder)


def test_without_a_comparison_there_are_scores(tmp_path: Path) -> None:
    text = printed(write_study(tmp_path, TEN[3:4], budgets=(200,), seeds=(0,)))
    assert "77.6" in text
    assert "gain" not in text


def test_the_picture_is_a_png(ten: Path, tmp_path: Path) -> None:
    path = learning_curve_png(ten, tmp_path / "new" / "curve.png", scale=1)
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert 780 <= int.from_bytes(data[16:20]) <= 900
    assert [item.name for item in path.parent.iterdir()] == ["curve.png"]


def test_one_budget_can_be_drawn(tmp_path: Path) -> None:
    folder = write_study(tmp_path, TEN[:3], budgets=(200,), seeds=(0,))
    assert learning_curve_png(folder, tmp_path / "curve.png", scale=1).stat().st_size > 5000


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    folder = write_study(tmp_path, TEN[:2], budgets=(200,), seeds=(0,))
    info = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    info["primary_metric"] = "pearson"
    (folder / "study.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(DataError, match="no score"):
        learning_curve_png(folder, tmp_path / "curve.png")
