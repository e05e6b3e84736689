"""Words and their places, whatever the script."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.explaining.offsets import origins
from transfuse.explaining.words import words


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Works like a charm.", ["Works", "like", "a", "charm", "."]),
        ("don't rock’n’roll well-made", ["don't", "rock’n’roll", "well-made"]),
        ("no -dash- 'quoted'", ["no", "-", "dash", "-", "'", "quoted", "'"]),
        ("屏幕很好 and 便宜!", ["屏幕", "很", "好", "and", "便宜", "!"]),
        ("good👍🏽👨‍👩‍👧 bad", ["good", "👍🏽👨‍👩‍👧", "bad"]),
        ("cafe\u0301 हिन्दी", ["cafe\u0301", "हिन्दी"]),
        ("カメラは良い", ["カメラは", "良", "い"]),
        ("a_b 3.5", ["a", "_", "b", "3", ".", "5"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_words_of_all_kinds(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab é'-👍🏽\u200d\u0301中文好 \n.,_かカ1"), max_size=30))
def test_words_cover_all_but_white_space(text: str) -> None:
    found = words(text)
    edges = [0, *(edge for span in found for edge in span), len(text)]
    assert edges == sorted(edges)
    assert all(start < end for start, end in found)
    gaps = [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    assert "".join(gaps).strip() == ""


def test_places_survive_mending() -> None:
    given_text = "  Cafe\u0301\u200b is   good\u00ad!  \n\n 👍🏽 屏\u200b幕"
    mended = unicodedata.normalize("NFC", given_text)
    for invisible in ("\u200b", "\u00ad"):
        mended = mended.replace(invisible, "")
    mended = " ".join(mended.split())
    places = origins(given_text, mended)
    assert len(places) == len(mended)
    assert places == sorted(places)
    for word in ("is", "good", "👍🏽"):
        at = mended.index(word)
        assert given_text[places[at] : places[at + len(word) - 1] + 1] == word
    assert given_text[places[mended.index("屏")]] == "屏"
    assert given_text[places[mended.index("幕")]] == "幕"
    assert given_text[places[mended.index("é")]] in "e\u0301"


def test_places_of_an_unmended_text_are_its_own() -> None:
    assert origins("same text", "same text") == list(range(9))
    assert origins(" ", "") == []
    long = "word " * 3000
    assert origins(long + " x", long + "x")[-1] == len(long) + 1


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_places_lie_in_the_text_whatever_was_mended(given_text: str, mended: str) -> None:
    places = origins(given_text, mended)
    assert len(places) == len(mended)
    assert places == sorted(places)
    assert all(0 <= place <= max(0, len(given_text) - 1) for place in places)


def test_the_time_of_places_grows_as_the_text_does() -> None:
    """Every word is mended, and many are alike: what compares all pairs of them takes minutes."""
    given_text = "  ".join(f"cafe\u0301{number % 7}" for number in range(20_000))
    mended = unicodedata.normalize("NFC", " ".join(given_text.split()))
    began = time.perf_counter()
    places = origins(given_text, mended)
    assert time.perf_counter() - began < 20
    for at in (0, 5_000 * 6, len(mended) - 5):
        assert given_text[places[at]] == mended[at] == "c"


def test_places_are_found_again_after_words_that_went() -> None:
    given_text = "one \u200b two \u200b\u200b three o\u200bne two three"
    mended = " ".join(given_text.replace("\u200b", "").split())
    places = origins(given_text, mended)
    for word in ("two", "three"):
        assert given_text[places[mended.index(word)]] == word[0]
        assert given_text[places[mended.rindex(word)] :].startswith(word)
