"""Around every request: the token, the clock, the headers that keep a browser careful."""

import hmac
import time
from collections.abc import MutableMapping
from hashlib import sha256
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfuse.errors import Problem
from transfuse.serving.metrics import Metrics
from transfuse.serving.problems import problem_response

__all__ = ["Guard"]

_OPEN = frozenset({"/", "/health", "/ready"})
"""What needs no token: the page, which asks for it, and what a load balancer asks."""


class Guard:
    """Lets requests with the token through, and counts all of them.

    Args:
        app: The app.
        metrics: Where requests are counted.
        token: What a request must carry as `Authorization: Bearer TOKEN`. None: nothing.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, token: str | None) -> None:
        self._app = app
        self._metrics = metrics
        # Digests have one length, so that comparing them does not tell that of the token.
        self._digest = sha256(token.encode()).digest() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            if self._allows(scope):
                await self._app(scope, receive, sending)
            else:
                scope["refused"] = "unauthorised"
                await _unauthorised()(scope, receive, sending)
        finally:
            self._metrics.request(_path(scope), status, time.perf_counter() - began)
            if "refused" in scope:
                self._metrics.rejected(scope["refused"])

    def _allows(self, scope: Scope) -> bool:
        if self._digest is None or scope["path"] in _OPEN:
            return True
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, given = value.partition(b" ")
                digest = sha256(given.strip()).digest()
                return scheme.lower() == b"bearer" and hmac.compare_digest(digest, self._digest)
        return False


def _unauthorised() -> ASGIApp:
    expected, fix = "Authorization: Bearer TOKEN", "The token is the one the server was given."
    problem = Problem("Authorization", "is missing or wrong", expected, fix)
    headers = {"WWW-Authenticate": "Bearer", "Connection": "close"}
    return problem_response(401, [problem], headers)


def _path(scope: MutableMapping[str, Any]) -> str:
    """The path as the app declares it: what a client writes would be without end."""
    route = scope.get("route")
    return getattr(route, "path", "other") if route is not None else "other"
