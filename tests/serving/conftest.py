"""Servers that a whole file of tests asks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from serving_helpers import Known, Server, running

from transfuse.serving import Service, Serving, hosted

Start = Callable[..., Server]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A function from models (by name; default: one named `known`) to a running server."""
    with ExitStack() as running_servers:

        def make(
            models: dict[str, Known] | Known | None = None,
            token: str | None = None,
            wait: bool = True,
            **options: Any,
        ) -> Server:
            if not isinstance(models, dict):
                models = {"known": models or Known()}
            monkeypatch.setattr(hosted, "load_model", lambda path, _: models[path.name])
            folders = {name: Path(name) for name in models}
            service = Service(folders, Serving(**{"threads": 1, **options}))
            return running_servers.enter_context(running(service, token, wait))

        yield make


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]) -> Path:
    """The folder of a small trained network."""
    from recipes import small_recipe
    from transfuse.transfer import transfer

    place = tmp_path_factory.mktemp("serving")
    return transfer(small_recipe(place, tiny("bert")), place / "run").folder
