"""A scorecard comes back from its file exactly, or not at all."""

import json
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.errors import DataError
from transfuse.evaluation import Scorecard

numbers = st.dictionaries(st.text(), st.floats(allow_nan=False))


@given(
    numbers,
    numbers,
    st.floats(allow_nan=False),
    st.integers(0),
    st.dictionaries(st.text(), st.text()),
)
def test_every_float_comes_back_exactly(metrics, costs, temperature, rows, fingerprints):
    card = Scorecard(metrics, costs, temperature, rows, fingerprints)
    assert Scorecard.from_json(card.to_json()) == card
    assert Scorecard.from_dict(card.to_dict()) == card


def test_the_text_is_standard_json_even_without_a_number():
    card = Scorecard({"accuracy": nan, "mse": inf})
    plain = json.loads(card.to_json(), parse_constant=pytest.fail)
    assert plain["metrics"] == {"accuracy": "nan", "mse": "inf"}
    assert np.isnan(Scorecard.from_json(card.to_json()).metrics["accuracy"])


def test_numpy_numbers_are_numbers():
    card = Scorecard({"accuracy": np.float32(0.1)}, rows=np.int64(3))
    assert Scorecard.from_json(card.to_json()).metrics["accuracy"] == float(np.float32(0.1))


def test_what_has_a_default_may_be_missing():
    assert Scorecard.from_json('{"metrics": {"accuracy": 0.5}}') == Scorecard({"accuracy": 0.5})


def test_all_that_is_wrong_is_said_at_once():
    text = '{"metrcs": {}, "costs": {"seconds": "long"}, "temperature": true, "rows": 1.5}'
    with pytest.raises(DataError) as caught:
        Scorecard.from_json(text)
    assert sorted(problem.where for problem in caught.value.problems) == [
        "scorecard.costs.seconds",
        "scorecard.metrcs",
        "scorecard.metrics",
        "scorecard.rows",
        "scorecard.temperature",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "mapping"),
        ('{"metrics": []}', "mapping"),
        ('{"metrics": {}, "fingerprints": {"train": 3}}', "text"),
    ],
)
def test_what_is_not_a_scorecard_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        Scorecard.from_json(text)
