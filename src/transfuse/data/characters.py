"""Characters mended in whole columns at once: Unicode form, control characters, white space."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["collapsed_spaces", "normalised", "without_controls"]

# Vertical tab, form feed, the information separators, next line, line and paragraph separator.
_BREAKS = r"\r\n|[\r\x{0b}\x{0c}\x{1c}-\x{1e}\x{85}\x{2028}\x{2029}]"

_CONTROLS = r"[\x{00}-\x{08}\x{0e}-\x{1b}\x{1f}\x{7f}-\x{84}\x{86}-\x{9f}]"

# Soft hyphen and byte order mark. The joiners U+200C and U+200D and the variation selectors are
# parts of letters and emoji; marks of writing direction are parts of right-to-left text.
_LEFTOVERS = r"[\x{ad}\x{feff}]"

_ZERO_WIDTH_SPACE = "\u200b"

# Thai, Lao, Myanmar and Khmer mark their words by zero-width spaces.
_MARKS_WORDS = r"[\x{e00}-\x{eff}\x{1000}-\x{109f}\x{1780}-\x{17ff}]"

_SPACE = r"[\p{Zs}\t]"


def normalised(texts: pa.ChunkedArray, form: Literal["NFC", "NFKC"]) -> pa.ChunkedArray:
    """Texts in a Unicode normal form.

    Args:
        texts: Strings [rows].
        form: The form, as Unicode's annex 15 defines it.

    Returns:
        Strings [rows].
    """
    return pc.utf8_normalize(texts, form=form)


def without_controls(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts without control characters and invisible leftovers.

    Args:
        texts: Strings [rows].

    Returns:
        Strings [rows] in which every kind of line break is a line feed, and of the other control
        characters only tabs remain. Byte order marks and soft hyphens are gone, and zero-width
        spaces except in texts of the scripts that mark words by them.
    """
    # A form feed stands between two words, so it becomes a break rather than nothing.
    texts = pc.replace_substring_regex(texts, _BREAKS, "\n")
    texts = pc.replace_substring_regex(texts, f"{_CONTROLS}|{_LEFTOVERS}", "")
    joined = pc.replace_substring(texts, _ZERO_WIDTH_SPACE, "")
    return pc.if_else(pc.match_substring_regex(texts, _MARKS_WORDS), texts, joined)


def collapsed_spaces(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts with single spaces and line breaks, and none at the ends.

    Args:
        texts: Strings [rows].

    Returns:
        Strings [rows]: a run of white space that holds a line feed is one line feed, any other
        (tabs, no-break and ideographic spaces too) is one space.
    """
    texts = pc.replace_substring_regex(texts, rf"(?:{_SPACE}|\n)*\n(?:{_SPACE}|\n)*", "\n")
    texts = pc.replace_substring_regex(texts, rf"{_SPACE}+", " ")
    return pc.utf8_trim(texts, characters=" \n")
