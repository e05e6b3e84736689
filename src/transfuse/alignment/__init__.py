"""Shallow adaptation on frozen features: the source is brought to the target's distribution.

Read `base.py` first. `ALIGNMENTS` lists every alignment by the name that recipes use.
"""

from transfuse.alignment.base import Aligned, Alignment
from transfuse.alignment.coral import Coral
from transfuse.alignment.discriminator import Discriminator
from transfuse.alignment.kliep import Kliep
from transfuse.alignment.linear_ot import LinearOT
from transfuse.alignment.subspace import Subspace

__all__ = [
    "ALIGNMENTS",
    "Aligned",
    "Alignment",
    "Coral",
    "Discriminator",
    "Kliep",
    "LinearOT",
    "Subspace",
]

ALIGNMENTS: dict[str, type[Alignment]] = {
    "coral": Coral,
    "linear_ot": LinearOT,
    "subspace": Subspace,
    "kliep": Kliep,
    "discriminator": Discriminator,
}
