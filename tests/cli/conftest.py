"""A command line that is run in this process, in an empty folder."""

from pathlib import Path

import pytest
from cli_helpers import Command, Said, reviews, write_csv, write_recipe


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.delenv("COLUMNS", raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Command:
    from transfuse.cli import main

    def call(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def table(place: Path) -> Path:
    """A good table."""
    return write_csv(place / "reviews.csv", reviews())


@pytest.fixture
def recipe(table: Path, place: Path) -> Path:
    """A good recipe on it."""
    return write_recipe(place / "plain.yaml")


@pytest.fixture
def model(cli: Command, recipe: Path, place: Path) -> Path:
    """A model folder."""
    said = cli("transfer", recipe, "--output", "made")
    assert said.code == 0, said.err
    return place / "made" / "model"
