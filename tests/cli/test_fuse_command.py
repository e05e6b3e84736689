"""`transfuse fuse`: what it makes, and what it says when something is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer

from merging.merging_models import family, read_model, tuned
from transfuse.cli import fuse_commands
from transfuse.cli.session import Session
from transfuse.errors import TransfuseError
from transfuse.merging import METHODS


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()

    @made.callback()
    def whole() -> None:
        """More than one command."""

    fuse_commands.register(made)
    return made


def run(app: typer.Typer, *words: object) -> None:
    app(["fuse", *map(str, words)], obj=Session(), standalone_mode=False)


def test_fuse_merges_folders(app, tmp_path, capsys) -> None:
    base, *models = family(tmp_path, 2)
    options = ("--option", "scale=0.5", "--option", "weights=[1, 3]")
    run(app, "task_arithmetic", *models, "--base", base, *options, "--output", tmp_path / "out")
    start, *weights = tuned(2)
    made = METHODS["task_arithmetic"](scale=0.5, weights=(1.0, 3.0))
    for name, found in read_model(tmp_path / "out").items():
        wanted = made.combine(name, start[name], [model[name] for model in weights])
        np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert str(tmp_path / "out") in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert record["options"]["scale"] == 0.5
    assert record["models"] == [str(model) for model in models]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tis"], "Did you mean 'ties'"),
        (["ties", "--option", "densty=0.5"], "Did you mean 'density'"),
        (["ties", "--option", "density"], "name=value"),
        (["ties", "--option", "density=[1"], "no YAML"),
        (["ties", "--option", "density=2"], "density lies in"),
        (["ties"], "no base"),
        (["average"], "a: no such folder"),
        (["all"], "a: no such folder"),
    ],
)
def test_what_is_wrong_is_said(app, words, message, tmp_path) -> None:
    homes = [Path("a"), Path("b")]
    with pytest.raises(TransfuseError, match=message):
        run(app, *words, *homes, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("method", "words", "where"),
    [
        ("average", ["--threads", "2"], "--threads"),
        ("average", ["--dtype", "bfloat16", "--shard-bytes", "7"], "--dtype"),
        ("all", ["--option", "scale=1"], "--option"),
        ("linear", ["--weights-only", "--data", "rows.csv"], "--data"),
    ],
)
def test_what_would_do_nothing_is_refused(app, method, words, where, tmp_path) -> None:
    homes = [tmp_path / name for name in "ab"]
    for home in homes:
        home.mkdir()
        (home / "transfuse.json").write_text("{}")
    with pytest.raises(TransfuseError) as caught:
        run(app, method, *homes, *words)
    assert caught.value.problems[0].where == where
