"""Pictures as rows of a table: where each one is, read only when it is asked for."""

from dataclasses import dataclass
from typing import ClassVar

import datasets
import pyarrow as pa

from transfuse.data.blobs import Blob, Blobs

__all__ = ["Picture", "Pictures", "pictures_of"]


@dataclass(frozen=True)
class Picture(Blob):
    """One picture: the bytes of a file, or the file's place.

    Args:
        content: The bytes of a picture file. Default: they are in the file at `path`.
        path: The file; beside `content` it is only the picture's name. Default: none.

    Raises:
        ValueError: If there is neither.
    """

    kind: ClassVar[str] = "picture"


class Pictures(Blobs[Picture]):
    """The pictures of a column, in order; None where a row has none. See `Blobs`."""

    item = Picture
    role = "image"


def pictures_of(
    column: pa.ChunkedArray | pa.Array | datasets.Dataset, where: str = "image"
) -> Pictures:
    """The pictures of a column, each opened only when it is asked for.

    Args:
        column: Paths (text), bytes, or structs of `bytes` and `path` as `datasets.Image` stores
            them, [rows]; or a dataset of one such column, which may have its rows picked out.
        where: What messages call the column. Default: "image".

    Raises:
        DataError: If the column holds no pictures.
    """
    return Pictures(column, where=where)
