"""Named streams of randomness, all from one seed.

A part of the program that needs random numbers names its stream, as in
`numpy.random.default_rng(seed_for(seed, "split", table.name))`. Streams do not depend on the order
in which they are asked for, so that adding a recipe to a study changes no other recipe's result.
"""

from hashlib import blake2b

__all__ = ["seed_for"]


def seed_for(seed: int, *names: str | int) -> int:
    """The seed of a named stream.

    Args:
        seed: The one seed of the run.
        names: The stream, from the general to the particular. Strings and integers differ:
            `1` and `"1"` name two streams.

    Returns:
        An integer from 0 to 2**63 - 1, the same on every machine.
    """
    digest = blake2b(digest_size=8)
    for part in (seed, *names):
        kind = b"s" if isinstance(part, str) else b"i"
        content = str(part).encode("utf-8", "surrogatepass")
        # The length keeps ("ab", "c") apart from ("a", "bc").
        digest.update(kind + len(content).to_bytes(8, "little") + content)
    return int.from_bytes(digest.digest(), "little") >> 1
