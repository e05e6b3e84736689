"""Reading what a client sends, with bounds on its size and on the time that it takes."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from transfuse.errors import Problem
from transfuse.serving.batcher import FullError, StoppedError
from transfuse.serving.options import Serving
from transfuse.serving.problems import GONE, RefusedError, not_understood
from transfuse.serving.service import stopping

__all__ = ["answered", "check_texts", "read_request"]

Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")

_CLOSE = {"Connection": "close"}
"""What is left of a body that is not wanted is not read either."""


async def read_request(
    request: Request, kind: type[Body], options: Serving, most: int | None = None
) -> Body:
    """The body of a request.

    Args:
        request: The request.
        kind: What it should be.
        options: The bounds.
        most: Bytes of the body at the most. Default: `options.max_body`.

    Raises:
        RefusedError: If it is too large (413), too slow (408), not JSON (415 by its
            header, 400 by its contents) or something else than it should be (422), or the server
            stops (503).
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        # A form of another site's page could send anything else without asking.
        what = f"is {media!r:.80}" if media else "is missing"
        raise RefusedError(415, Problem("Content-Type", what, "application/json"), _CLOSE)
    body = await _read_body(request, options, most or options.max_body)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise not_understood(error, kind.model_fields) from None


async def _read_body(request: Request, options: Serving, most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    try:
        async with asyncio.timeout(options.receive_seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        what = f"did not arrive within {options.receive_seconds:g} s"
        raise RefusedError(408, Problem("body", what), _CLOSE, "slow") from None
    except ClientDisconnect:
        raise _gone() from None
    except asyncio.CancelledError:
        raise stopping() from None
    return bytes(body)


def check_texts(texts: list[str], options: Serving, where: str = "texts[{}]") -> None:
    """Check the number of texts and their lengths.

    Args:
        texts: The texts.
        options: The bounds.
        where: What a text is called, with its place. Default: `texts[{}]`.

    Raises:
        RefusedError: If there are too many, or one is too long (422).
    """
    if len(texts) > options.max_texts:
        what, most = f"has {len(texts):,} texts", f"at most {options.max_texts:,}"
        raise RefusedError(422, Problem("texts", what, most, "Send them in several requests."))
    for place, text in enumerate(texts):
        if len(text) > options.max_characters:
            what = f"has {len(text):,} characters"
            problem = Problem(where.format(place), what, f"at most {options.max_characters:,}")
            raise RefusedError(422, problem)


async def answered(request: Request, work: Awaitable[Result]) -> Result:
    """The result of work that is given up when the client goes.

    Args:
        request: The request, whose body was read.
        work: What is done for it.

    Raises:
        RefusedError: If there is no room for the work (429), the server is stopping (503),
            or the client has gone.
    """
    done = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise _gone()
        return done.result()
    except FullError as full:
        problem = Problem("server", "is busy", fix="Ask again after Retry-After seconds.")
        raise RefusedError.busy(429, problem, full.seconds, "full") from None
    except (StoppedError, asyncio.CancelledError):
        # A server cancels what is left when the time that it has to stop is over.
        raise stopping() from None
    finally:
        gone.cancel()
        done.cancel()


def _too_large(most: int) -> RefusedError:
    problem = Problem("body", "is too large", f"at most {most:,} bytes")
    return RefusedError(413, problem, _CLOSE, "too_large")


def _gone() -> RefusedError:
    """Nobody reads this; it ends the request, and the metrics count it."""
    return RefusedError(GONE, Problem("client", "has gone"), _CLOSE, "gone")
