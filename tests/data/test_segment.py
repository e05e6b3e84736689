"""Words of a text: cut rightly in English and Chinese, and what turns a meaning is never lost."""

import pytest

from transfuse.data.segment import is_negation, segment
from transfuse.data.word_lists import NEGATIONS, STOP_WORDS


def test_english_words():
    text = "It isn’t a well-made phone, but the 2nd one's fine!"
    assert " ".join(segment(text)) == "it isn't a well-made phone but the 2nd one's fine"
    short = segment(text, stop_words=True)
    assert " ".join(short) == "isn't well-made phone but 2nd one's fine"
    assert segment(text, "none", stop_words=True) == segment(text, "en")


def test_chinese_words():
    text = "这个产品的质量不是很好，iPhone手机没有那么贵！"
    words = segment(text)
    assert "".join(words) == "这个产品的质量不是很好iphone手机没有那么贵"
    assert "质量" in words
    assert words == segment(text, "zh")
    short = segment(text, stop_words=True)
    assert {"这个", "的"} & set(short) == set()
    assert {"不是", "没有", "很", "质量"} <= set(short)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I like 中文 a lot today", ["i", "like", "中文", "a", "lot", "today"]),
        ("", []),
        (" \u3000 !? ", []),
        ("👍👍", []),
    ],
)
def test_what_is_not_chinese_is_cut_at_spaces(text, words):
    assert segment(text) == words


def test_no_stop_list_holds_a_negation():
    for words in STOP_WORDS.values():
        assert not words & NEGATIONS
        assert not [word for word in words if is_negation(word)]
    for word in ("not", "No", "never", "isn't", "Don’t", "cannot", "不", "没", "没有", "無"):
        assert is_negation(word)
    for word in ("note", "nothingness", "now", "can", "好"):
        assert not is_negation(word)


@pytest.mark.parametrize("word", ["but", "very", "too", "但", "很", "太", "不", "no", "not"])
def test_words_that_turn_or_scale_a_meaning_stay(word):
    assert all(word not in words for words in STOP_WORDS.values())


def test_an_unknown_language_is_an_error():
    with pytest.raises(ValueError, match="'fr'"):
        segment("bonjour", "fr")
