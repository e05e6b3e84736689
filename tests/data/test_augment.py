"""Augmentation: labels keep, and the same generator state gives the same text."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transfuse.data.augment import AUGMENTATIONS, Typos, WordDropout, WordSwap
from transfuse.data.schema import Role
from transfuse.data.segment import is_negation
from transfuse.recipe.methods import build, describe

KINDS = [kind for kind in AUGMENTATIONS.values() if kind.reads == Role.TEXT]
METHODS = st.sampled_from([kind(rate) for kind in KINDS for rate in (0.1, 0.9)])
SEEDS = st.integers(0, 2**31)
SENTENCES = st.lists(
    st.sampled_from(
        [
            *("The", "the", "battery", "screen", "good", "bad!", "works", "well-made", "naïve"),
            *("not", "No,", "isn't", "don’t", "never", "nor", "note", "notes", "north", "cannott"),
            *("2nd", "100%", ":)", "👍", "不好", "这个产品", "没有", "很喜欢。"),
        ]
    ),
    min_size=1,
    max_size=25,
).map(" ".join)


def negations(text):
    return [word for word in re.findall(r"[A-Za-z'’ï]+|[不没无非未别]", text) if is_negation(word)]


def augmented(method, text, seed):
    return method(text, np.random.default_rng(seed))


@given(METHODS, SENTENCES, SEEDS)
@example(WordDropout(0.9), "note not notes", 0)
def test_negations_stay_and_none_is_made(method, text, seed):
    assert negations(augmented(method, text, seed)) == negations(text)


@given(METHODS, st.one_of(st.text(max_size=60), SENTENCES), SEEDS)
def test_a_text_with_words_keeps_one(method, text, seed):
    result = augmented(method, text, seed)
    assert any(map(str.isalnum, result)) == any(map(str.isalnum, text))
    # The same state of the generator gives the same text.
    assert augmented(method, text, seed) == result


@given(st.sampled_from(KINDS), st.text(max_size=60), SEEDS)
def test_rate_zero_changes_nothing(kind, text, seed):
    assert augmented(kind(0.0), text, seed) == text


@given(SENTENCES, SEEDS)
def test_dropout_leaves_the_others_in_order(text, seed):
    letters = iter(text)
    # Every character that is left is found after the one before it.
    assert all(letter in letters for letter in augmented(WordDropout(0.4), text, seed))


@given(SENTENCES, SEEDS)
def test_swapping_keeps_every_character(text, seed):
    assert sorted(augmented(WordSwap(0.8), text, seed)) == sorted(text)


@given(st.lists(st.sampled_from(["wonderful", "screens", "x100", "A.B"]), min_size=1), SEEDS)
def test_typos_keep_first_letters_digits_and_spaces(words, seed):
    result = augmented(Typos(0.9), " ".join(words), seed).split(" ")
    assert [word[0] for word in result] == [word[0] for word in words]
    for before, after in zip(words, result, strict=True):
        assert re.sub(r"[^\d.]", "", before) == re.sub(r"[^\d.]", "", after)


LONG = "this phone has a wonderful bright screen and the battery lasts several days on end"
CHINESE = "这个产品的质量真好我和家人都喜欢以后还会再来这家店购买更多东西"


@pytest.mark.parametrize("text", [LONG, CHINESE])
@pytest.mark.parametrize("kind", KINDS)
def test_something_changes_at_about_the_asked_rate(kind, text):
    rng = np.random.default_rng(0)
    results = [kind(0.2)(text, rng) for _ in range(50)]
    assert sum(result != text for result in results) > 40


def test_dropout_is_at_the_rate():
    rng = np.random.default_rng(0)
    text = " ".join(["word"] * 1000)
    left = [len(WordDropout(0.1)(text, rng).split()) for _ in range(20)]
    assert np.mean(left) == pytest.approx(900, abs=10)


def test_what_a_negation_denies_is_left_alone():
    rng = np.random.default_rng(0)
    for _ in range(100):
        for kind in KINDS:
            result = kind(0.9)("This one is not really very good.", rng)
            assert "not really very good." in result


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_the_rate_is_checked(kind, rate):
    with pytest.raises(ValueError, match="rate"):
        kind(rate)


def test_recipes_can_name_them():
    assert build(AUGMENTATIONS, {"typos": {"rate": 0.2}}, "augment") == Typos(0.2)
    for method in describe(AUGMENTATIONS):
        assert method.summary.endswith(".") or method.summary.endswith(").")
        assert all(option.text for option in method.options)
