"""The paths of the server: what each takes and gives.

A request's way: `guard.py` (token, metrics) → here → `requests.py` (size, time, JSON) →
`hosted.py` (a model and its threads) → `batcher.py` (many requests at once) → `answers.py` (the
model's own work).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from transfuse.answering.prediction import Prediction
from transfuse.errors import DataError, Problem, TransfuseError
from transfuse.serving.guard import Guard
from transfuse.serving.page import read_page
from transfuse.serving.pictures import pictures_in
from transfuse.serving.problems import (
    RefusedError,
    on_http,
    on_mistake,
    on_refused,
    problem_response,
)
from transfuse.serving.requests import answered, check_texts, read_request
from transfuse.serving.schemas import (
    Explained,
    ExplainRequest,
    Health,
    ModelInfo,
    ModelList,
    Predicted,
    PredictImagesRequest,
    PredictRequest,
    ProblemReport,
)
from transfuse.serving.service import Service

__all__ = ["create_app"]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemReport, "description": text}
    for status, text in (
        (400, "The body is no JSON."),
        (404, "There is no such model."),
        (408, "The body came too slowly."),
        (413, "The body is too large."),
        (415, "The body is not said to be JSON."),
        (422, "The body is not what it should be."),
        (429, "The server is busy; come back after Retry-After seconds."),
        (503, "The model is being loaded, or the server is stopping."),
    )
}


def create_app(
    service: Service,
    *,
    token: str | None = None,
    loaded: Callable[[BaseException | None], None] | None = None,
) -> FastAPI:
    """The app of a server.

    Args:
        service: The models.
        token: What requests must carry as `Authorization: Bearer TOKEN`. Default: nothing.
        loaded: Told when the models are ready, or of the error; until then requests are turned
            away. Default: the app begins when they are ready.
    """

    def tell(loading: asyncio.Task[None]) -> None:
        if loaded is not None and not loading.cancelled():
            loaded(loading.exception())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(service.load())
        loading.add_done_callback(tell)
        if loaded is None:
            await loading
        yield
        loading.cancel()
        await asyncio.wait([loading])
        await service.close()

    app = FastAPI(
        title="Transfuse",
        summary="Answers of models that Transfuse has made.",
        version=version("transfuse"),
        lifespan=lifespan,
        # These pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            RefusedError: on_refused,
            HTTPException: on_http,
            Exception: on_mistake,
        },
    )
    app.add_middleware(Guard, metrics=service.metrics, token=token)
    _add_models(app, service)
    _add_questions(app, service)
    _add_state(app, service)
    return app


def _add_questions(app: FastAPI, service: Service) -> None:
    """The paths that ask a model."""

    @app.post(
        "/v1/models/{name}/predict",
        response_model=Predicted,
        responses=_PROBLEMS,
        openapi_extra=_body(PredictRequest, PredictImagesRequest),
    )
    async def predict(name: str, request: Request) -> Response:
        """Answer texts, or pictures where the model reads those."""
        model = service.model(name)
        asked: PredictRequest | PredictImagesRequest
        if model.reads_pictures:
            options = service.options
            with service.holding_pictures():
                asked = await read_request(
                    request, PredictImagesRequest, options, options.max_image_body
                )
                # Out of base64 in a thread: other requests need not wait for megabytes.
                pictures = await asyncio.to_thread(pictures_in, asked.images, options)
                try:
                    answers = await answered(request, model.answer(pictures))
                except DataError as error:
                    told = [Problem(each.where, each.what) for each in error.problems]
                    return problem_response(422, told)
        else:
            asked = await read_request(request, PredictRequest, service.options)
            check_texts(asked.texts, service.options)
            answers = await answered(request, model.answer(asked.texts))
        predictions = [_told(answer, asked.probabilities) for answer in answers]
        return _json({"model": name, "predictions": predictions})

    @app.post(
        "/v1/models/{name}/explain",
        response_model=Explained,
        responses=_PROBLEMS,
        openapi_extra=_body(ExplainRequest),
    )
    async def explain(name: str, request: Request) -> Response:
        """Say which tokens of a text drove the answer."""
        model = service.model(name)
        if model.reads_pictures:
            raise RefusedError(422, Problem(f"model {name!r}", "reads pictures", "one of texts"))
        asked = await read_request(request, ExplainRequest, service.options)
        check_texts([asked.text], service.options, "text")
        try:
            work = model.explain(asked.text, asked.label, asked.method)
            found = await answered(request, work)
        except TransfuseError as error:
            # Where the folder lies is no business of a client.
            here = str(model.folder)
            told = [
                replace(each, where=each.where.replace(here, f"model {name!r}"))
                for each in error.problems
            ]
            return problem_response(422, told)
        return _json({"model": name, **found.to_dict()})


def _add_models(app: FastAPI, service: Service) -> None:
    """The paths that tell of the models."""

    @app.get("/v1/models")
    async def models() -> ModelList:
        """All models."""
        return ModelList(models=[model.info() for model in service.models.values()])

    @app.get("/v1/models/{name}", responses={404: _PROBLEMS[404]})
    async def model(name: str) -> ModelInfo:
        """One model."""
        return service.known(name).info()

    front = read_page()

    @app.get("/", include_in_schema=False)
    async def home() -> Response:
        """The page on which a person asks a model."""
        return HTMLResponse(front.html, headers=dict(front.headers))


def _add_state(app: FastAPI, service: Service) -> None:
    """The paths that tell of the server."""

    @app.get("/health")
    async def health() -> Health:
        """Whether the server is alive."""
        return Health(status="alive")

    @app.get("/ready", responses={503: {"model": Health}})
    async def ready() -> Response:
        """Whether all models are loaded and warmed up, and the server takes on work."""
        return _json({"status": service.status}, 200 if service.status == "ready" else 503)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """What Prometheus reads."""
        return Response(service.metrics.text(), media_type=service.metrics.media_type)


def _told(answer: Prediction, probabilities: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"prediction": answer.value, "confidence": answer.confidence}
    if probabilities:
        told["probabilities"] = answer.probabilities
    return told


def _json(content: dict[str, Any], status: int = 200) -> Response:
    # JSON has no word for what is not a number.
    body = to_json(content, inf_nan_mode="null")
    return Response(body, status, media_type="application/json")


def _body(*kinds: type[BaseModel]) -> dict[str, Any]:
    """A body for the description of a path that reads it itself, to bound it."""
    schemas = [kind.model_json_schema() for kind in kinds]
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
