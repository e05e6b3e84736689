"""Rows by what they hold: bytes and hashes that do not depend on how a value is stored."""

import unicodedata
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

__all__ = ["canonical", "hashed", "normalised_bytes"]


def canonical(value: Any, written: Callable[[str], bytes] = str.encode) -> bytes:
    """A value as bytes; the number 3 and the text "3" are the same.

    Args:
        value: A text, a number, a list of such, or None.
        written: Makes bytes of a text. Default: as it is.
    """
    if isinstance(value, str):
        return written(value)
    if isinstance(value, list):
        return b"\x00list" + hashed([canonical(item, written) for item in value])
    return b"" if value is None else str(value).encode()


def normalised_bytes(text: str) -> bytes:
    """A text as bytes, equal for texts that are equal after Unicode NFC."""
    return unicodedata.normalize("NFC", text).encode()


def hashed(parts: Sequence[bytes]) -> bytes:
    """A 16-byte hash of some values in their order (BLAKE2b)."""
    digest = blake2b(digest_size=16)
    for part in parts:
        # The length keeps ("ab", "c") apart from ("a", "bc").
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()
