"""The choices of a recipe beside tuning, objectives and balancer: which model, which data."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from transfuse.answering import Tfidf
from transfuse.data import Role
from transfuse.data.captions import check_templates
from transfuse.models.audio import Spectrogram
from transfuse.models.images import BatchNorm
from transfuse.transfer.columns import Columns
from transfuse.transfer.zero_shot import ZeroShot

__all__ = [
    "MODELS",
    "Columns",
    "Folders",
    "Model",
    "Narrow",
    "Neural",
    "Pretrained",
    "Static",
    "TableChoice",
    "Tfidf",
]

PoolingName = Literal["auto", "mean", "cls", "last", "native"]


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder with a new head."""

    name: str
    """A Hugging Face id, a local folder, or an installed package that carries a model."""

    pooling: PoolingName = "auto"
    """How token vectors become one: `native` is the architecture's own classification head.
    Default: what the model says of itself."""

    max_length: int = 128
    """Longest text in tokens; the rest is cut off. Default: 128."""

    dropout: float = 0.1
    """Dropout before the head. Default: 0.1."""

    encoder_dropout: float | None = None
    """Dropout inside the encoder while it trains; without it a step takes about a tenth less.
    Default: what the model was pretrained with."""

    size: int | None = None
    """Side of the square that pictures are brought to, in pixels. Default: the model's own."""

    batch_norm: BatchNorm = "frozen"
    """What becomes of the running statistics of BatchNorm layers: `frozen`, as the source left
    them; `adapted`, followed while layers train; `recomputed`, over the training rows at the end.
    From scratch they are adapted. Default: frozen."""

    sound: Spectrogram | None = None
    """How sounds are heard: the settings of the pictures that an image model gets of them, such as
    `{seconds: 2}`. Default: as the model was trained."""

    layers: int | None = None
    """How many of its transformer layers are kept, for a student. Default: all."""

    take: Literal["spread", "first", "last"] = "spread"
    """Which layers are kept: at even distances from the first to the last, the first ones, or the
    last ones. Default: spread."""

    def __post_init__(self) -> None:
        _check_reading(self.max_length, self.dropout, self.encoder_dropout)
        for name in ("layers", "size"):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise ValueError(f"{name} is at least 1")

    @property
    def source(self) -> str:
        """The model that knowledge comes from."""
        return self.name


@dataclass(frozen=True)
class Narrow:
    """A new network of a pretrained model's architecture in another size, with its tokenizer.

    A student to be trained from another model's answers; its token embeddings may start from those
    of the pretrained model.
    """

    like: str
    """The pretrained model: a Hugging Face id, a local folder, or an installed package."""

    hidden: int = 192
    """Length of a token's vector, a multiple of `heads`. Default: 192."""

    layers: int = 3
    """Number of transformer layers. Default: 3."""

    heads: int = 6
    """Attention heads of a layer. Default: 6."""

    feed_forward: int | None = None
    """Width inside a layer's feed-forward block. Default: four times `hidden`."""

    embeddings: Literal["pca", "random"] = "pca"
    """How token embeddings start: as the principal components of the pretrained model's, or drawn
    like all other weights. Default: pca."""

    pooling: PoolingName = "auto"
    """How token vectors become one. Default: what the pretrained model says of itself."""

    max_length: int = 128
    """Longest text in tokens; the rest is cut off. Default: 128."""

    dropout: float = 0.1
    """Dropout before the head. Default: 0.1."""

    encoder_dropout: float | None = None
    """Dropout inside the encoder while it trains. Default: that of the pretrained model."""

    def __post_init__(self) -> None:
        _check_reading(self.max_length, self.dropout, self.encoder_dropout)
        for name in ("hidden", "layers", "heads", "feed_forward"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"{name} is at least 1")
        if self.hidden % self.heads:
            raise ValueError("hidden is a multiple of heads")

    @property
    def source(self) -> str:
        """The model that knowledge comes from."""
        return self.like


@dataclass(frozen=True)
class Static:
    """One vector for each token, wherever it stands, distilled from an encoder; their mean.

    A processor needs microseconds for a text. After Model2Vec (Tulkens and van Dongen, 2024).
    """

    of: str
    """The encoder: a Hugging Face id, a local folder, or an installed package."""

    dim: int = 256
    """Length of the vectors, at most that of the encoder's. Default: 256."""

    weighting: Literal["sif", "none"] = "sif"
    """How much a token counts at the start: `sif` is a / (a + p), with a = 0.0001 and p by Zipf's
    law of its place in the vocabulary. Default: sif."""

    pooling: PoolingName = "auto"
    """How the encoder makes one vector of a token among its special ones. Default: what the
    encoder says of itself."""

    max_length: int = 128
    """Longest text in tokens; the rest is cut off. Default: 128."""

    dropout: float = 0.1
    """Dropout before the head. Default: 0.1."""

    def __post_init__(self) -> None:
        _check_reading(self.max_length, self.dropout)
        if self.dim < 1:
            raise ValueError("dim is at least 1")

    @property
    def source(self) -> str:
        """The model that knowledge comes from."""
        return self.of


Neural = Pretrained | Narrow | Static | Columns
"""The models that are networks."""


@dataclass(frozen=True)
class Folders:
    """Trained models as they stand: nothing is learnt, and `then` makes one model of them."""

    folders: tuple[str, ...]
    """Model folders; in a study also `@recipe`, the model of another recipe."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise ValueError("folders names at least one")

    @property
    def source(self) -> str:
        """The models that knowledge comes from."""
        return ", ".join(self.folders)


Model = Neural | ZeroShot | Tfidf | Folders
"""The models that a recipe may name."""


def _check_reading(max_length: int, *shares: float | None) -> None:
    if max_length < 2:
        raise ValueError("max_length is at least 2")
    for name, share in zip(("dropout", "encoder_dropout"), shares, strict=False):
        if share is not None and not 0 <= share < 1:
            raise ValueError(f"{name} lies in [0, 1)")


MODELS: dict[
    str,
    type[Pretrained]
    | type[Narrow]
    | type[Static]
    | type[Columns]
    | type[ZeroShot]
    | type[Tfidf]
    | type[Folders],
] = {
    "pretrained": Pretrained,
    "narrow": Narrow,
    "static": Static,
    "columns": Columns,
    "zero_shot": ZeroShot,
    "tfidf": Tfidf,
    "folders": Folders,
}


@dataclass(frozen=True)
class TableChoice:
    """Where a table comes from and what its columns are for."""

    path: str | tuple[str, ...] | None = None
    """A file, a saved `datasets` folder, or a hub name; several are put one after the other."""

    sample: str | None = None
    """A sample that Transfuse fetches from a package registry, for instance `products`."""

    part: str | None = None
    """The part of a saved or hub data set, for instance `train`. Default: the only one."""

    where: dict[str, str | int | tuple[str | int, ...]] = field(default_factory=dict)
    """Rows to take: column and the value, or values, that it must have. Default: all rows."""

    text: str | None = None
    """Column of the text. Default: inferred, and said."""

    image: str | None = None
    """Column of the picture: bytes, or the path of a file. Default: inferred, and said."""

    audio: str | None = None
    """Column of the sound: bytes, or the path of a file. Default: inferred, and said."""

    fields: tuple[str, ...] | None = None
    """Structured columns: numbers and categories. Default: none."""

    captions: str | tuple[str, ...] | None = None
    """A caption for each row, made of its label's name in the place of {}, where no column is the
    text; of several each row draws one. Default: none."""

    label: str | None = None
    """Column of the label. Default: inferred, and said."""

    boxes: str | None = None
    """Column of the boxes, for detection. Default: inferred, and said."""

    mask: str | None = None
    """Column of the mask, for segmentation: bytes, or the path of a file. Default: inferred, and
    said."""

    group: str | None = None
    """Column that keeps rows together when splitting, for instance the document. Default:
    inferred, and said."""

    encoding: str = "utf-8"
    """Encoding of a text file. Default: utf-8."""

    quotes: bool = True
    """Whether quotation marks hold cells of a CSV file together. Default: true."""

    label_names: bool = False
    """Whether all labels are names, also `nan`, `null` and those that look like numbers. Default:
    false."""

    absent: tuple[str, ...] = ()
    """Roles that no column has, so that none is inferred; `group: null` says the same. Default:
    none."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.sample is None) or self.path == ():
            raise ValueError("give either `path` or `sample`")
        if self.captions is not None:
            check_templates(self.templates)

    @property
    def templates(self) -> tuple[str, ...]:
        """The sentences that captions are made with."""
        given = self.captions or ()
        return (given,) if isinstance(given, str) else given

    @classmethod
    def named_roles(cls) -> tuple[str, ...]:
        """The roles that have an option of their own."""
        return tuple(item.name for item in dataclasses.fields(cls) if item.name in set(Role))

    @property
    def roles(self) -> dict[str, str | tuple[str, ...] | None]:
        """The column of each role that was given; None for a role that no column has."""
        given = {role: getattr(self, role) for role in self.named_roles() if getattr(self, role)}
        return {**given, **dict.fromkeys(self.absent)}
