"""`transfuse serve`: what it needs to begin, what it says, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from recipes import small_recipe
from transfuse.cli import serve_commands
from transfuse.cli.app import main
from transfuse.errors import ModelError
from transfuse.serving.server import listen
from transfuse.serving.service import named_folders
from transfuse.transfer import transfer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]) -> Path:
    place = tmp_path_factory.mktemp("serve")
    return transfer(small_recipe(place, tiny("bert")), place / "run").folder


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_stop(folder: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n", encoding="utf-8")
    command = [sys.executable, "-m", "transfuse", "serve", str(folder), f"other={folder}"]
    options = ["--port", "0", "--token-file", str(token), "--threads", "1"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        request = urllib.request.Request(
            f"{address}/v1/models/small/predict",
            json.dumps({"texts": ["so fine and good"]}).encode(),
            {"Content-Type": "application/json", "Authorization": "Bearer s3cret"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            assert json.load(response)["predictions"][0]["prediction"] in ("good", "bad")
        server.send_signal(signal.SIGTERM)
        told = server.stdout.read()
        assert server.wait(20) == -signal.SIGTERM
    assert "/v1/models/small/predict" in told
    assert "/v1/models/other/predict" in told
    assert "s3cret" not in told


def test_names_come_from_recipes_or_the_command(folder: Path) -> None:
    assert named_folders([str(folder)]) == {"small": folder}
    assert named_folders([f"a={folder}", f"b={folder}", str(folder)]) == {
        "a": folder,
        "b": folder,
        "small": folder,
    }


def test_all_wrong_folders_are_told_at_once(folder: Path, tmp_path: Path) -> None:
    given = [str(folder), f"small={folder}", f"a/b={folder}", f"={folder}", str(tmp_path / "none")]
    with pytest.raises(ModelError) as wrong:
        named_folders([*given, str(folder.parent)])
    what = [problem.what for problem in wrong.value.problems]
    assert len(what) == 5
    assert wrong.value.problems[4].fix == f"Did you mean '{folder}'?"
    assert what[0].startswith("the name 'small' is taken by")
    assert "'a/b'" in what[1]
    assert what[3] == "no such folder"


def test_options_that_do_not_go_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(folder), "--queue", "10"]) == 2
    assert "queue must hold" in capsys.readouterr().err
    assert main(["serve", str(folder), "--host", "256.1.1.1"]) == 2
    assert "--host" in capsys.readouterr().err


def test_a_port_that_is_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        assert main(["serve", str(folder), "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert "address already in use" in told
    assert told.count(str(port)) == 1


@pytest.mark.parametrize("contents", ["", " \n", "to\nken", "schlüssel"])
def test_tokens_that_no_header_can_carry(
    folder: Path, tmp_path: Path, contents: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    path.write_text(contents, encoding="utf-8")
    assert main(["serve", str(folder), "--token-file", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_token_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TRANSFUSE_TOKEN", raising=False)
    assert serve_commands.read_token(None) is None
    monkeypatch.setitem(os.environ, "TRANSFUSE_TOKEN", " abc ")
    assert serve_commands.read_token(None) == "abc"


def test_missing_packages_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve_commands, "find_spec", lambda name: None)
    assert main(["serve", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "uvicorn" in told
    assert "transfuse[serve]" in told
