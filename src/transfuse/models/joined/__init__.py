"""An encoder for each of several columns, as one encoder; the file to read is `encoder.py`."""

from transfuse.models.joined.encoder import JoinedEncoder
from transfuse.models.joined.features import JoinedFeatures
from transfuse.models.joined.held import held_columns
from transfuse.models.joined.rows import JoinedRows

__all__ = ["JoinedEncoder", "JoinedFeatures", "JoinedRows", "held_columns"]
