"""Structured columns as an encoder; the file to read is `encoder.py`."""

from transfuse.models.fields.encoder import FieldEncoder

__all__ = ["FieldEncoder"]
