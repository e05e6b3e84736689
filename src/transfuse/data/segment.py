"""Words of a text, for methods that count words (TF-IDF); transformers bring their own tokenizer.

The words themselves are in `transfuse.data.word_lists`.
"""

import re
import warnings
from functools import cache
from typing import Any, Literal

from transfuse.data.word_lists import NEGATIONS, STOP_WORDS

__all__ = ["HAN", "Language", "is_negation", "segment"]

Language = Literal["auto", "en", "zh", "none"]

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""A Han character."""
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def is_negation(word: str) -> bool:
    """Whether a word denies what it stands beside.

    Args:
        word: One word, in any case; English contractions such as "isn't" count.

    Returns:
        True for the words in `NEGATIONS` and for those that end in n't.
    """
    plain = word.casefold().replace("’", "'")
    return plain in NEGATIONS or plain.endswith("n't")


def segment(text: str, language: Language = "auto", stop_words: bool = False) -> list[str]:
    """Cuts a text into words, in folded case and without punctuation.

    Args:
        text: Any text.
        language: "en": words are written apart; "zh": Chinese, cut by the `jieba` dictionary;
            "none": as "en", but no stop list is known; "auto": "zh" if there are as many Han
            characters as words of other scripts, and no kana, else "en". Default: "auto".
        stop_words: Whether to leave out the words of `STOP_WORDS`. Default: False.

    Returns:
        The words, in their order.

    Raises:
        ValueError: If the language is not one of these.
    """
    if language not in ("auto", "en", "zh", "none"):
        raise ValueError(f"language must be auto, en, zh or none, got {language!r}")
    if language == "auto":
        language = "zh" if _looks_chinese(text) else "en"
    if language == "zh":
        pieces = (piece.strip().casefold() for piece in _chinese().cut(text))
        words = [piece for piece in pieces if _WORD.search(piece)]
    else:
        words = [word.casefold().replace("’", "'") for word in _WORD.findall(text)]
    if not stop_words or language == "none":
        return words
    # Chinese texts hold English words too, and their function words say as little there.
    left_out = STOP_WORDS["en"] | STOP_WORDS["zh"] if language == "zh" else STOP_WORDS["en"]
    return [word for word in words if word not in left_out]


def _looks_chinese(text: str) -> bool:
    han = len(HAN.findall(text))
    # One Han character says about as much as a word of a script with spaces.
    return han > 0 and han >= len(_WORD.findall(HAN.sub(" ", text))) and not _KANA.search(text)


@cache
def _chinese() -> Any:
    """The dictionary, loaded at first use: it takes most of a second."""
    with warnings.catch_warnings():
        # Its source has escapes that newer Pythons warn of, and it asks for pkg_resources.
        warnings.simplefilter("ignore")
        import jieba

    tokenizer = jieba.Tokenizer()
    # Left to itself it would keep a marshal file in the shared temporary folder and trust it.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer
