"""Pictures as rows of a table: where each one is, read only when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transfuse.data.blobs import Blob, Blobs, in_threads

__all__ = ["Picture", "Pictures", "picture_keys", "pictures_of"]


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


def picture_keys(pictures: Sequence[Picture | None]) -> npt.NDArray[Any]:
    """A key of each picture's content: 16 bytes that are equal for files of equal bytes.

    The files are read in threads, some at a time, and not kept.

    Args:
        pictures: The pictures; a missing one has the key of no bytes.

    Returns:
        BLAKE2b hashes, S16 [rows].

    Raises:
        DataError: If a file cannot be read.
    """
    absent = blake2b(digest_size=16).digest()
    found = in_threads(lambda one: absent if one is None else one.key, pictures)
    return np.fromiter(found, "S16", len(pictures))
