"""From what a recipe says of its columns to the encoder of all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transfuse.data import FieldTable
from transfuse.errors import ModelError, Problem
from transfuse.models import Encoder, FieldEncoder, JoinedEncoder, TextEncoder, load_encoder
from transfuse.models.audio import audio_encoder
from transfuse.models.images import image_encoder
from transfuse.transfer.columns import (
    AudioColumn,
    Columns,
    FieldsColumn,
    ImageColumn,
    TextColumn,
)

__all__ = ["GivenFields", "open_columns"]

GivenFields = Callable[[], Sequence[Mapping[str, Any] | None]]
"""Gives rows of structured columns, each a dict from column to value."""


def open_columns(model: Columns, field_rows: GivenFields) -> JoinedEncoder:
    """The encoders of a recipe's columns, as one.

    Args:
        model: What reads each column.
        field_rows: Gives the structured columns of the rows that train, to learn their scales and
            categories from.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        DataError: If structured columns hold nothing to learn from.
        ModelError: If an encoder cannot be found, read, or used.
    """
    width = FieldsColumn.width
    parts: dict[str, Encoder] = {}
    for name, part in model.parts.items():
        match part:
            case TextColumn():
                parts[name] = _text(part)
            case ImageColumn():
                parts[name] = image_encoder(part.name, size=part.size, batch_norm=part.batch_norm)
            case AudioColumn():
                parts[name] = audio_encoder(part.name, spectrogram=part.sound, size=part.size)
            case FieldsColumn():
                width = part.width
                known = FieldTable.fit(field_rows(), part.categories, part.rare)
                parts[name] = FieldEncoder(known)
    return JoinedEncoder(parts, width).eval()


def _text(column: TextColumn) -> TextEncoder:
    encoder = load_encoder(column.name, pooling=column.pooling, max_length=column.max_length)
    assert isinstance(encoder, TextEncoder)
    if encoder.config.is_encoder_decoder:
        raise ModelError(
            Problem(
                "model.columns.text",
                f"{column.name} is an encoder-decoder, and its half is no model folder",
                "an encoder or a decoder",
            )
        )
    return encoder
