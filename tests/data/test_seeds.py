"""Named streams: stable, distinct, in range."""

from hypothesis import given
from hypothesis import strategies as st

from transfuse.data.seeds import seed_for

NAMES = st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=4)


@given(seed=st.integers(0, 2**64), names=NAMES)
def test_a_seed_fits_63_bits_and_is_repeatable(seed: int, names: list[str | int]) -> None:
    value = seed_for(seed, *names)
    assert 0 <= value < 2**63
    assert value == seed_for(seed, *names)


@given(first=NAMES, second=NAMES)
def test_different_streams_have_different_seeds(
    first: list[str | int], second: list[str | int]
) -> None:
    assert (seed_for(0, *first) == seed_for(0, *second)) == (first == second)


def test_parts_are_kept_apart() -> None:
    values = {
        seed_for(1, "ab", "c"),
        seed_for(1, "a", "bc"),
        seed_for(1, "abc"),
        seed_for(1, 1),
        seed_for(1, "1"),
        seed_for(11),
        seed_for(2, "abc"),
    }
    assert len(values) == 7


def test_the_seed_is_the_same_on_every_machine() -> None:
    # A fixed number: a change here silently changes every published result.
    assert seed_for(0, "split") == 8_954_048_161_384_459_734
