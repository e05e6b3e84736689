"""Columns of files: told by the names that pictures and sounds have, and kept as whole paths."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.columns import replaced, stored_column

__all__ = [
    "BOXES",
    "PICTURES",
    "SOUNDS",
    "holds_boxes",
    "holds_pictures",
    "holds_sounds",
    "located",
]

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".tga"),
)
"""Ends of names that files of pictures have."""

SOUNDS = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".au", ".caf", ".w64"),
)
"""Ends of names that files of sounds have."""

BOXES = pa.list_(
    pa.struct(
        [
            ("label", pa.string()),
            ("x", pa.float64()),
            ("y", pa.float64()),
            ("w", pa.float64()),
            ("h", pa.float64()),
            ("crowd", pa.bool_()),
        ]
    )
)
"""The boxes of a picture: the corner nearest to its first pixel, width and height, as shares."""

_NAMED = rf"(?i)({'|'.join(map(re.escape, PICTURES))})$"
_SOUNDS_NAMED = rf"(?i)({'|'.join(map(re.escape, SOUNDS))})$"
_MAGIC = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\1\0"),
    *(b"\0\0\0\x0cjP", b"P4", b"P5", b"P6"),
)
_NO_PICTURES = ("mask", "segment", "audio", "sound", "wav")
"""Parts of names of columns whose files are others, or are no input."""

_LOOKED_AT = 20
_NAMES_LOOKED_AT = 200

_WHOLE = r"^(/|~|[A-Za-z]:[\\/]|\\\\)"


def holds_boxes(kind: pa.DataType) -> bool:
    """Whether a type of column can hold boxes: lists of structs with `label`, `x`, `y`, `w`, `h`.

    Args:
        kind: The type.
    """
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    item = kind.value_type
    return pa.types.is_struct(item) and {"label", "x", "y", "w", "h"} <= {
        field.name for field in item
    }


def holds_pictures(name: str, values: pa.ChunkedArray) -> bool:
    """Whether a column holds pictures, as its type and its first values tell.

    Args:
        name: The column's name; one of masks or sounds holds none.
        values: Its first rows.
    """
    if any(part in name.casefold() for part in _NO_PICTURES):
        return False
    return _holds(values, _NAMED, _is_picture)


def holds_sounds(values: pa.ChunkedArray) -> bool:
    """Whether a column holds sounds, as its type and its first values tell.

    Args:
        values: Its first rows.
    """
    return _holds(values, _SOUNDS_NAMED, _is_sound)


def _holds(values: pa.ChunkedArray, names: str, is_one: Callable[[bytes], bool]) -> bool:
    """Whether most paths end as `names` says, or one of the first contents is of the kind."""
    kind = values.type
    paths = content = None
    if pa.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
        content, paths = pc.struct_field(values, "bytes"), pc.struct_field(values, "path")
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        content = values
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        paths = values[:_NAMES_LOOKED_AT]
    if content is not None and len(known := content.drop_null()[:_LOOKED_AT]):
        return any(map(is_one, known.to_pylist()))
    if paths is None or pa.types.is_null(paths.type):
        return False
    known = paths.filter(pc.not_equal(paths, ""))
    named = pc.sum(pc.match_substring_regex(known, names)).as_py() or 0
    return bool(named) and named >= 0.5 * len(known)


def _is_picture(content: bytes) -> bool:
    modern = content[8:12] == b"WEBP" or content[4:12] in (b"ftypavif", b"ftypheic")
    return modern or content.startswith(_MAGIC)


def _is_sound(content: bytes) -> bool:
    wave = content[:4] == b"RIFF" and content[8:12] == b"WAVE"
    aiff = content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC")
    # The sync word of an MPEG frame, whatever its version, of layer III.
    mpeg = content[:1] == b"\xff" and content[1:2] in (b"\xfb", b"\xf3", b"\xf2", b"\xfa")
    return wave or aiff or mpeg or content.startswith((b"fLaC", b"OggS", b"ID3", b".snd"))


def located(
    dataset: datasets.Dataset, columns: Iterable[str], folder: Path | None
) -> datasets.Dataset:
    """The dataset with the paths of files made whole, and files left as they are stored.

    A table may then be joined with one of another folder, and read from wherever a process stands.

    Args:
        dataset: The columns.
        columns: Those that hold files: paths, bytes, or structs of both.
        folder: What paths are relative to. Default: the folder in which the process runs.

    Returns:
        The dataset; pictures that `datasets` would decode on reading are kept as stored.
    """
    root = str((folder or Path()).expanduser().absolute())
    for name in columns:
        if isinstance(dataset.features[name], datasets.Image):
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
        elif isinstance(dataset.features[name], datasets.Audio):
            dataset = dataset.cast_column(name, datasets.Audio(decode=False))
        kind = dataset.with_format("arrow")[:0].schema.field(name).type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            continue
        cells = stored_column(dataset, name)
        if pa.types.is_struct(kind):
            if pc.struct_field(cells, "bytes").null_count == 0:
                continue
            chunks = [_whole_structs(chunk, root) for chunk in cells.chunks]
            dataset = replaced(dataset, name, pa.chunked_array(chunks))
        else:
            dataset = replaced(dataset, name, _whole(cells, root))
    return dataset


def _whole(paths: pa.ChunkedArray | pa.Array, root: str) -> pa.ChunkedArray | pa.Array:
    """Relative paths below a folder; whole ones as they are, and empty ones missing."""
    paths = paths.cast(pa.string())
    filled = pc.if_else(pc.equal(paths, ""), None, paths)
    below = pc.binary_join_element_wise(pa.scalar(root), filled, "/")
    return pc.if_else(pc.match_substring_regex(filled, _WHOLE), filled, below)


def _whole_structs(chunk: pa.StructArray, root: str) -> pa.StructArray:
    content, paths = pc.struct_field(chunk, "bytes"), pc.struct_field(chunk, "path")
    # Beside its bytes, the path of a picture is only its name.
    paths = pc.if_else(pc.is_null(content), _whole(paths, root), paths.cast(pa.string()))
    return pa.StructArray.from_arrays(
        [content, paths], names=["bytes", "path"], mask=pc.is_null(chunk)
    )
