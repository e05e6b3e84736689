"""Near texts: what resembles what, and that the index misses nothing that matters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.data.near import NearIndex, jaccard, shingles
from transfuse.data.overlap import overlap
from transfuse.data.table import Table
from transfuse.errors import DataError

WORDS = [f"word{number}" for number in range(400)]


def table_of(texts):
    return Table.from_dict({"text": texts}, name="made", roles={"text": "text", "label": None})


def sentence(rng, length=20):
    return " ".join(rng.choice(WORDS, length))


def test_shingles_are_runs_of_words_without_case_and_punctuation():
    assert shingles("It works, it WORKS!") == {"it works it", "works it works"}
    assert shingles("Ｉｔ  works") == {"it works"}
    assert shingles("Don't panic") == {"don't panic"}


def test_text_without_spaces_is_cut_by_characters():
    assert shingles("这个产品很好。") == {"这个产品很", "个产品很好"}
    assert shingles("很 好!") == {"很好"}
    assert shingles("とても良い") == {"とても良い"}
    long = "a" * 20 + "b" * 20
    assert all(len(run) == 5 for run in shingles(long))


def test_signs_alone_are_a_text_and_white_space_is_none():
    assert shingles("!! 👍👍") == {"!!👍👍"}
    assert shingles(" \n\u3000") == frozenset()


@given(st.text(max_size=40), st.text(max_size=40))
def test_similarity_is_symmetric_and_bounded(a, b):
    one, two = shingles(a), shingles(b)
    assert jaccard(one, two) == jaccard(two, one)
    assert 0 <= jaccard(one, two) <= 1
    assert jaccard(one, one) == 1


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_the_index_agrees_with_comparing_every_pair(threshold):
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(60):
        words = sentence(rng).split()
        texts.append(" ".join(words))
        # Copies with a tail of 1 to 8 words cut off: similarities on both sides of the threshold.
        texts += [" ".join(words[: -int(cut)]) for cut in rng.integers(1, 9, 4)]
    index = NearIndex(threshold)
    for number, text in enumerate(texts):
        index.add(number, text)
    parts = [shingles(text) for text in texts]
    wanted, found = set(), set()
    for j, text in enumerate(texts):
        found |= {(i, j) for i, similarity in index.near(text)}
        for i, other in enumerate(parts):
            if jaccard(other, parts[j]) >= threshold:
                wanted.add((i, j))
    assert found <= wanted
    assert len(found) >= 0.99 * len(wanted)


def test_a_text_of_a_megabyte_is_found_again():
    rng = np.random.default_rng(1)
    text = sentence(rng, 120_000)
    index = NearIndex(0.9)
    index.add(0, text)
    ((number, similarity),) = index.near(text + " and more")
    assert number == 0
    assert 0.99 < similarity < 1


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_the_threshold_is_checked(threshold):
    with pytest.raises(ValueError, match="threshold"):
        NearIndex(threshold)


def test_overlap_gives_one_pair_for_each_row_of_the_second_table():
    rng = np.random.default_rng(2)
    base = sentence(rng, 30)
    train = table_of(["Café au lait", base, "another thing", "Cafe\u0301 au lait", base + " "])
    test = table_of(["quite new", "café  AU\u3000lait", base + " indeed", "another thing"])
    found = overlap(train, test)
    assert found.exact == ((0, 1), (2, 3))
    assert found.near == ((1, 2),)
    assert found.rows == (1, 2, 3)
    assert len(found) == 3
    assert overlap(train, test, threshold=None).near == ()


def test_overlap_of_a_table_with_itself_is_every_row():
    table = table_of([f"sentence number {row}" for row in range(50)])
    assert overlap(table, table).exact == tuple((row, row) for row in range(50))


def test_pairs_of_texts_are_compared_whole():
    roles = {"text": ["first", "second"], "label": None}
    a = Table.from_dict({"first": ["one", "one"], "second": ["two", "three"]}, roles=roles)
    b = Table.from_dict({"first": ["one"], "second": ["three"]}, roles=roles)
    assert overlap(a, b).exact == ((1, 0),)


def test_a_table_without_text_cannot_be_compared():
    roles = {"user": "user", "item": "item"}
    table = Table.from_dict({"user": ["a"], "item": ["b"]}, roles=roles)
    with pytest.raises(DataError, match="no column holds text"):
        overlap(table, table)
