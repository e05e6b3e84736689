"""What goes wrong with a request, told in the house's words: where, what, expected, fix."""

import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from transfuse.errors import Problem
from transfuse.recipe import nearest

__all__ = [
    "GONE",
    "RefusedError",
    "not_understood",
    "on_http",
    "on_mistake",
    "on_refused",
    "problem_response",
]

GONE = 499
"""What logs and metrics call the status of a request whose client has gone; nobody reads it."""

_MEDIA = "application/problem+json"

_KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


class RefusedError(Exception):
    """A request that gets no answer.

    Args:
        status: The HTTP status.
        problem: What is wrong.
        headers: More headers of the response. Default: none.
        reason: One word for the metrics. Default: `invalid`.
    """

    def __init__(
        self,
        status: int,
        problem: Problem,
        headers: Mapping[str, str] | None = None,
        reason: str = "invalid",
    ) -> None:
        super().__init__(str(problem))
        self.status, self.problem, self.reason = status, problem, reason
        self.headers = dict(headers or {})

    @classmethod
    def busy(cls, status: int, problem: Problem, seconds: float, reason: str) -> "RefusedError":
        """A refusal that ends after a while.

        Args:
            status: 429 or 503.
            problem: What is wrong.
            seconds: After how long it is worth coming back.
            reason: One word for the metrics.
        """
        # The header takes whole seconds; a minute is as far as a measured rate can tell.
        after = min(60, max(1, math.ceil(seconds)))
        return cls(status, problem, {"Retry-After": str(after)}, reason)


def problem_response(
    status: int, problems: Iterable[Problem], headers: Mapping[str, str] | None = None
) -> Response:
    """A response that says what is wrong, as RFC 9457 wants it.

    Args:
        status: The HTTP status.
        problems: What is wrong.
        headers: More headers. Default: none.
    """
    told = [
        {name: text for name, text in vars(problem).items() if text or name in ("where", "what")}
        for problem in problems
    ]
    content = {"title": HTTPStatus(status).phrase, "status": status, "problems": told}
    return Response(to_json(content), status, dict(headers or {}), _MEDIA)


async def on_refused(request: Request, error: Exception) -> Response:
    """The response to a `RefusedError`."""
    assert isinstance(error, RefusedError)
    request.scope["refused"] = error.reason
    if error.status == GONE:
        return Response(status_code=GONE)
    return problem_response(error.status, [error.problem], error.headers)


async def on_http(request: Request, error: Exception) -> Response:
    """The response where the framework itself refuses: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    match error.status_code:
        case 404:
            problem = Problem(path, "no such path", fix="/openapi.json lists all there are.")
        case 405:
            problem = Problem(path, f"does not take {request.method}")
        case status:
            problem = Problem(path, HTTPStatus(status).phrase.lower())
    return problem_response(error.status_code, [problem], error.headers)


async def on_mistake(request: Request, _: Exception) -> Response:
    """The response to what nobody foresaw; the traceback stays in the server's log."""
    what = "a mistake of the server, not of the request"
    fix = "Its log has the traceback."
    return problem_response(500, [Problem(request.url.path, what, fix=fix)])


def not_understood(error: ValidationError, known: Iterable[str]) -> RefusedError:
    """What is wrong with a body: 400 where it is no JSON, else 422.

    Args:
        error: What pydantic found.
        known: The keys that a body may have.
    """
    found = error.errors(include_url=False)[0]
    kind, value = found["type"], found["input"]
    if kind == "json_invalid":
        return RefusedError(400, Problem("body", f"no JSON: {found['ctx']['error']}"))
    return RefusedError(422, _problem(kind, _path(found["loc"]), value, found, known))


def _problem(
    kind: str, where: str, value: Any, found: Mapping[str, Any], known: Iterable[str]
) -> Problem:
    given = f"is {_KINDS.get(type(value), 'something else')}"
    match kind:
        case "missing":
            return Problem(where, "is missing")
        case "extra_forbidden":
            return Problem(where, "is not known", fix=nearest(where, known))
        case "string_type":
            return Problem(where, given, "a text")
        case "list_type":
            return Problem(where, given, "a list of texts")
        case "bool_type":
            return Problem(where, given, "true or false")
        case "model_type" | "model_attributes_type" | "dict_type":
            return Problem(where, given, "an object")
        case "literal_error":
            return Problem(where, f"is {value!r:.60}", f"one of {found['ctx']['expected']}")
        case _:
            return Problem(where, str(found["msg"]))


def _path(place: tuple[int | str, ...]) -> str:
    """A place in a body, such as `texts[3]`."""
    path = ""
    for step in place:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".") or "body"
