"""Sounds as rows of a table: where each one is, opened only when it is asked for."""

from dataclasses import dataclass
from typing import ClassVar

import datasets
import pyarrow as pa

from transfuse.data.blobs import Blob, Blobs

__all__ = ["Clip", "Clips", "clips_of"]


@dataclass(frozen=True)
class Clip(Blob):
    """One sound: the bytes of a file, or the file's place.

    Args:
        content: The bytes of a sound file. Default: they are in the file at `path`.
        path: The file; beside `content` it is only the sound's name. Default: none.

    Raises:
        ValueError: If there is neither.
    """

    kind: ClassVar[str] = "sound"


class Clips(Blobs[Clip]):
    """The sounds of a column, in order; None where a row has none. See `Blobs`."""

    item = Clip
    role = "audio"


def clips_of(column: pa.ChunkedArray | pa.Array | datasets.Dataset, where: str = "audio") -> Clips:
    """The sounds of a column, each opened only when it is asked for.

    Args:
        column: Paths (text), bytes, or structs of `bytes` and `path` as `datasets.Audio` stores
            them, [rows]; or a dataset of one such column.
        where: What messages call the column. Default: "audio".

    Raises:
        DataError: If the column holds no sounds.
    """
    return Clips(column, where=where)
