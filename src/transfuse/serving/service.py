"""The models of one server, from loading to the last answer."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from transfuse.answering.about import read_about
from transfuse.errors import ModelError, Problem
from transfuse.recipe import nearest
from transfuse.serving.hosted import Hosted
from transfuse.serving.metrics import Metrics
from transfuse.serving.options import Serving
from transfuse.serving.problems import RefusedError

__all__ = ["Service", "named_folders", "stopping"]

_LONGEST_NAME = 100

_LOADING_SECONDS = 2.0
"""After how long a model that is being loaded may be asked for again."""


def named_folders(given: list[str]) -> dict[str, Path]:
    """The models of a command line by name.

    Args:
        given: Folders, each as `FOLDER` (named as its recipe is) or as `NAME=FOLDER`.

    Raises:
        ModelError: For a folder without a model, and a name that is taken or cannot stand in an
            address; all of them at once.
    """
    folders: dict[str, Path] = {}
    problems: list[Problem] = []
    for each in given:
        name, equals, path = each.partition("=")
        # A folder whose own name has an equals sign is still a folder.
        folder = Path(path if equals and not Path(each).is_dir() else each)
        try:
            about = read_about(folder)
        except ModelError as error:
            problems += error.problems
            continue
        if folder == Path(each):
            name = str(about["recipe"].get("name") or folder.resolve().name)
            name = name.replace("/", "-").replace("\\", "-")
        if not name or len(name) > _LONGEST_NAME or "/" in name or not name.isprintable():
            what = f"the name {name!r:.120} cannot stand in an address"
            problems.append(Problem(each, what, f"1 to {_LONGEST_NAME} letters, no slash"))
        elif name in folders:
            what = f"the name {name!r} is taken by {folders[name]}"
            problems.append(Problem(each, what, "names that differ", "Write NAME=FOLDER."))
        else:
            folders[name] = folder
    if problems:
        raise ModelError(problems)
    return folders


class Service:
    """Models that are loaded, asked and drained together.

    Args:
        folders: The models' folders by name.
        options: How requests are gathered, and what they may ask for.
    """

    def __init__(self, folders: Mapping[str, Path], options: Serving | None = None) -> None:
        self.options = options or Serving()
        self.metrics = Metrics()
        self._models = {name: Hosted(name, path, self.options) for name, path in folders.items()}
        self._with_pictures = 0
        self._until: float | None = None
        """When a stopping server ends, in seconds of `time.monotonic`."""

    @property
    def models(self) -> Mapping[str, Hosted]:
        """The models by name."""
        return MappingProxyType(self._models)

    @property
    def status(self) -> Literal["ready", "loading", "stopping"]:
        """Whether all models are ready, and the server takes on work."""
        if self._until is not None:
            return "stopping"
        return "ready" if all(model.ready for model in self._models.values()) else "loading"

    def known(self, name: str) -> Hosted:
        """A model, ready or not.

        Args:
            name: Its name.

        Raises:
            RefusedError: If there is none of that name.
        """
        if name not in self._models:
            where = f"model {name!r:.120}"
            problem = Problem(where, "no such model", fix=nearest(name, self._models))
            raise RefusedError(404, problem, reason="unknown_model")
        return self._models[name]

    def model(self, name: str) -> Hosted:
        """A model that is ready.

        Args:
            name: Its name.

        Raises:
            RefusedError: If there is none of that name, it is not ready yet, or the server is
                stopping.
        """
        model = self.known(name)
        if self._until is not None:
            raise stopping()
        if not model.ready:
            problem = Problem(f"model {name!r}", "is being loaded", fix="Ask again in a moment.")
            raise RefusedError.busy(503, problem, _LOADING_SECONDS, "loading")
        return model

    @contextmanager
    def holding_pictures(self) -> Iterator[None]:
        """Room in memory for the pictures of one request.

        Raises:
            RefusedError: If there is none.
        """
        if self._with_pictures >= self.options.max_image_requests:
            problem = Problem("server", "is busy", fix="Ask again after Retry-After seconds.")
            raise RefusedError.busy(429, problem, 1.0, "full")
        self._with_pictures += 1
        try:
            yield
        finally:
            self._with_pictures -= 1

    async def load(self) -> None:
        """Load the models, one after the other.

        Raises:
            ModelError: If one cannot be used.
        """
        for model in self._models.values():
            await model.load(self.metrics.of_model(model.name, _queued(model)))

    def stop_taking(self) -> None:
        """Turn away what comes from now on."""
        if self._until is None:
            self._until = time.monotonic() + self.options.drain_seconds

    async def close(self) -> None:
        """Turn away what comes, finish what was taken on within the bound, and let go."""
        self.stop_taking()
        assert self._until is not None
        left = max(0.0, self._until - time.monotonic())
        draining = [asyncio.ensure_future(model.drain()) for model in self._models.values()]
        _, late = await asyncio.wait(draining, timeout=left)
        for task in late:
            task.cancel()
        for model in reversed(self._models.values()):
            await model.close()


def stopping() -> RefusedError:
    """The answer of a server that was told to stop."""
    problem = Problem("server", "is stopping", fix="Ask again; another may have taken its place.")
    return RefusedError.busy(503, problem, 1.0, "stopping")


def _queued(model: Hosted) -> Callable[[], int]:
    return lambda: model.queued
