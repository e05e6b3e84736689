"""Running the app: uvicorn, with bounds on what it leaves open and a stop that answers first."""

import asyncio
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from transfuse.errors import Problem, TransfuseError
from transfuse.serving.app import create_app
from transfuse.serving.service import Service

__all__ = ["configured", "listen", "serve"]

_HEAD_BYTES = 65_536

_BACKLOG = 2048

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Args:
        host: The address.
        port: The port; 0 for any that is free.

    Raises:
        TransfuseError: If the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        # `create_server` says the address once more in brackets.
        what = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        fix = "Choose another with --host or --port."
        raise TransfuseError(Problem(f"{host}:{port}", what.lower(), fix=fix)) from None


def serve(
    service: Service,
    sock: socket.socket,
    *,
    token: str | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve models until SIGINT or SIGTERM, then answer what was taken on and end.

    Args:
        service: The models; they are loaded once the server runs.
        sock: Where to listen; see `listen`.
        token: What requests must carry. Default: nothing.
        ready: Called when all models are ready. Default: nobody.

    Raises:
        TransfuseError: If a model cannot be loaded.
    """
    errors: list[BaseException] = []

    def loaded(error: BaseException | None) -> None:
        if error is None:
            ready()
        else:
            errors.append(error)
            server.should_exit = True

    server = configured(service, token=token, loaded=loaded)
    server.run([sock])
    if errors:
        raise errors[0]


def configured(
    service: Service, *, token: str | None, loaded: Callable[[BaseException | None], None]
) -> uvicorn.Server:
    """A server that has not begun.

    Args:
        service: The models.
        token: What requests must carry, if anything.
        loaded: As for `create_app`.
    """

    class Protocol(_BoundedHead):
        """uvicorn makes one for each connection, and knows nothing of our options."""

        head_seconds = service.options.receive_seconds
        most = service.options.connections

    config = uvicorn.Config(
        create_app(service, token=token, loaded=loaded),
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=service.options.drain_seconds,
    )
    return _Server(config, service)


class _Server(uvicorn.Server):
    """A server that turns new requests away from the moment it is told to stop."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking requests, and then as uvicorn does."""
        self._service.stop_taking()
        super().handle_exit(sig, frame)


class _BoundedHead(HttpToolsProtocol):
    """A bounded number of connections, with heads of bounded size that come in bounded time."""

    head_seconds: float
    most: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._in_head, self._begun, self._head_bytes = True, False, 0
        self._late = self.loop.call_later(self.head_seconds, transport.close)
        self._refused = len(self.connections) > self.most
        if self._refused:
            transport.write(_FULL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head has no end."""
        if self._refused:
            return
        self._begun = False
        super().data_received(data)
        if self._in_head and not self._begun:
            # What came with the beginning of the head may have been another request's body.
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._begun, self._head_bytes = True, True, 0
        self._late.cancel()
        self._late = self.loop.call_later(self.head_seconds, self.transport.close)

    def on_headers_complete(self) -> None:
        """A head is whole; what follows is the body."""
        self._in_head = False
        self._late.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._late.cancel()
        super().connection_lost(exc)
