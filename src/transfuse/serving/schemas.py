"""What requests and responses look like; the OpenAPI description is made of these."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, StrictBool, StrictStr

__all__ = [
    "ExplainRequest",
    "Explained",
    "Health",
    "ModelInfo",
    "ModelList",
    "PredictImagesRequest",
    "PredictRequest",
    "Predicted",
    "PredictedText",
    "ProblemReport",
    "Token",
]


class PredictRequest(BaseModel):
    """Texts to answer."""

    model_config = ConfigDict(extra="forbid")

    texts: Annotated[list[StrictStr], FailFast()] = Field(
        description="The texts.", min_length=1, examples=[["Works like a charm."]]
    )
    probabilities: StrictBool = Field(
        False, description="Whether the probability of each label is told too."
    )


class PredictImagesRequest(BaseModel):
    """Pictures to answer, of a model that reads pictures."""

    model_config = ConfigDict(extra="forbid")

    images: Annotated[list[StrictStr], FailFast()] = Field(
        description="The pictures: files in base64, or their data URLs.",
        min_length=1,
        examples=[["data:image/png;base64,iVBORw0KGgo="]],
    )
    probabilities: StrictBool = Field(
        False, description="Whether the probability of each label is told too."
    )


class ExplainRequest(BaseModel):
    """A text whose answer is to be explained."""

    model_config = ConfigDict(extra="forbid")

    text: StrictStr = Field(description="The text.", examples=["Works like a charm."])
    label: StrictStr | None = Field(
        None, description="The label to explain. Default: the one that the model answers."
    )
    method: Literal["occlusion", "integrated_gradients"] = Field(
        "occlusion", description="`occlusion` is fast; `integrated_gradients` is finer."
    )


class PredictedText(BaseModel):
    """The answer to one text or picture."""

    prediction: str | list[str] | float
    """A label, a list of labels, or a number."""

    confidence: float | None
    """Probability that the label is right; of several labels, that of the least certain yes or
    no. None for a number."""

    probabilities: dict[str, float] | None = None
    """Probability of each label, where it was asked for."""


class Predicted(BaseModel):
    """The answers to the texts or pictures of a request, in their order."""

    model: str
    predictions: list[PredictedText]


class Token(BaseModel):
    """A piece of the text, and how much it spoke for the label."""

    text: str
    start: int
    end: int
    weight: float


class Explained(BaseModel):
    """What drove an answer."""

    model: str
    text: str
    """The text as the model read it; tokens count its characters from 0."""

    label: str
    method: str
    score: float
    """The label's log-odds for the text, which the weights are parts of; a number as it is."""

    baseline: float
    """The same for the text without its words."""

    tokens: list[Token]
    gap: float
    """By how much the weights miss score - baseline, as a share of it."""

    probability: float | None
    """The label's probability for the text; None for a number."""

    steps: int
    """Points of the integral; 0 for occlusion."""

    note: str
    """What to keep in mind."""


class ModelInfo(BaseModel):
    """A model that this server has."""

    name: str
    ready: bool
    reads: list[str] = []
    """What it reads: `text` or `image`."""

    task: str | None = None
    """classification, multilabel or regression."""

    labels: list[str] = []
    metric: str | None = None
    """The metric that the model was chosen by."""

    measured: float | None = None
    """Its value on the test rows."""

    test_rows: int = 0


class ModelList(BaseModel):
    """All models of this server."""

    models: list[ModelInfo]


class Health(BaseModel):
    """Whether the server is well."""

    status: Literal["alive", "ready", "loading", "stopping"]


class ProblemItem(BaseModel):
    """One thing that is wrong, and how to mend it."""

    where: str
    what: str
    expected: str | None = None
    fix: str | None = None


class ProblemReport(BaseModel):
    """Why a request has no answer (RFC 9457)."""

    title: str
    status: int
    problems: list[ProblemItem]
