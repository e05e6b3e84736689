"""A server on a free loopback port in a thread, and models whose answers are known."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from numpy.typing import NDArray

from transfuse.data import Role
from transfuse.evaluation import Scorecard
from transfuse.serving import Service
from transfuse.serving.server import configured, listen
from transfuse.tasks import Classification, Task

JSON = {"Content-Type": "application/json"}

# Nothing is encrypted here, and reading the certificates takes longer than an answer.
_LOCAL: Any = {"timeout": 20, "verify": False}


@dataclass
class Known:
    """A model folder whose answer is known: the longer the text, the surer of the last label."""

    task: Task = field(default_factory=lambda: Classification(labels=("short", "long")))
    recipe: dict[str, Any] = field(default_factory=dict)
    path: Path = Path("known")
    model: Any = None
    head: str = "target"
    scorecard: Scorecard = field(default_factory=lambda: Scorecard({"accuracy": 0.75}, rows=40))
    reads: tuple[Role, ...] = (Role.TEXT,)
    seconds: float = 0.0
    """How long a batch takes, however many texts it has."""

    batches: list[list[str]] = field(default_factory=list)
    gate: threading.Event | None = None
    """Where set, batches wait for it."""

    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.batches.append(list(texts))
        self.began.release()
        if self.gate is not None and "wait" in "".join(texts):
            assert self.gate.wait(20)
        if "fail" in texts:
            raise RuntimeError("secret of the machine")
        time.sleep(self.seconds)
        lengths = np.array([[len(text)] for text in texts], dtype=np.float64)
        if self.task.kind == "regression":
            return lengths
        share = lengths / (lengths + 10)
        return np.hstack([1 - share, share])


class Server:
    """A running server."""

    def __init__(
        self, service: Service, port: int, server: uvicorn.Server, thread: threading.Thread
    ) -> None:
        self.service, self.port, self.server, self.thread = service, port, server, thread
        self.url = f"http://127.0.0.1:{port}"

    def predict(self, *texts: str, model: str = "known", **more: Any) -> httpx.Response:
        return self.post(f"/v1/models/{model}/predict", {"texts": list(texts), **more})

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(self.url + path, content=content, headers=JSON | headers, **_LOCAL)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, **_LOCAL)

    def raw(self, data: bytes) -> socket.socket:
        """A connection over which these bytes were sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(data)
        return connection

    def metric(self, line: str) -> float:
        for each in self.get("/metrics").text.splitlines():
            if each.startswith(line + " "):
                return float(each.rpartition(" ")[2])
        return 0.0


@contextmanager
def running(service: Service, token: str | None = None, wait: bool = True) -> Iterator[Server]:
    """A server with these models; it is stopped, gracefully, at the end."""
    errors: list[BaseException | None] = []
    with listen("127.0.0.1", 0) as sock:
        server = configured(service, token=token, loaded=errors.append)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([sock])))
        thread.start()
        try:
            if wait:
                until(lambda: bool(errors))
                assert errors == [None]
            yield Server(service, sock.getsockname()[1], server, thread)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
