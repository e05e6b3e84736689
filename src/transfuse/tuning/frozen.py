"""The probe: the encoder is frozen, the head learns."""

from dataclasses import dataclass

from transfuse.models import Head, Network
from transfuse.tuning.base import Stage, Tuning, head_group, head_solvable

__all__ = ["Frozen"]


@dataclass(frozen=True)
class Frozen(Tuning):
    """Feature extraction: the encoder is frozen, the head learns.

    The encoder runs once over the data. Where all losses are convex in a linear head the probe is
    solved by L-BFGS; otherwise, and where a fusion learns with the head, it is trained like
    anything else.
    """

    learning_rate: float = 1e-2
    """Peak rate of the head where it is trained; a head that is a network of its own, as for boxes
    and masks, gets a tenth of it. Default: 1e-2."""

    solve: bool = True
    """Whether the solver may be used. Default: true."""

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """One stage."""
        solve = self.solve and head_solvable(network)
        deep = any(isinstance(head, Head) and head.deep for head in network.heads.values())
        rate = self.learning_rate / 10 if deep else self.learning_rate
        return (Stage("probe", (head_group(network, rate),), solve=solve),)
