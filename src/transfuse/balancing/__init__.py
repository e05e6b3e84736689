"""How the named losses are weighed.

Read `base.py` first. `BALANCERS` lists every balancer by the name that recipes use.
"""

from transfuse.balancing.base import Balancer
from transfuse.balancing.fixed import Fixed

__all__ = ["BALANCERS", "Balancer", "Fixed"]

BALANCERS: dict[str, type[Balancer]] = {"fixed": Fixed}
