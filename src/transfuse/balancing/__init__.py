"""How the named losses are weighed.

Read `base.py` first. `BALANCERS` lists every balancer by the name that recipes use; those that
look at gradients share `gramian.py`.
"""

from transfuse.balancing.aligned_mtl import AlignedMTL
from transfuse.balancing.base import Balancer, Passes
from transfuse.balancing.cagrad import CAGrad
from transfuse.balancing.dwa import DWA
from transfuse.balancing.famo import FAMO
from transfuse.balancing.fixed import Fixed
from transfuse.balancing.gls import GLS
from transfuse.balancing.gradnorm import GradNorm
from transfuse.balancing.imtl_g import IMTLG
from transfuse.balancing.jacobian import Jacobian
from transfuse.balancing.mgda import MGDA
from transfuse.balancing.nash_mtl import NashMTL
from transfuse.balancing.pcgrad import PCGrad
from transfuse.balancing.rlw import RLW
from transfuse.balancing.uncertainty import Uncertainty
from transfuse.balancing.upgrad import UPGrad

__all__ = [
    "BALANCERS",
    "DWA",
    "FAMO",
    "GLS",
    "IMTLG",
    "MGDA",
    "RLW",
    "AlignedMTL",
    "Balancer",
    "CAGrad",
    "Fixed",
    "GradNorm",
    "Jacobian",
    "NashMTL",
    "PCGrad",
    "Passes",
    "UPGrad",
    "Uncertainty",
]

BALANCERS: dict[str, type[Balancer]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "gls": GLS,
    "dwa": DWA,
    "rlw": RLW,
    "famo": FAMO,
    "gradnorm": GradNorm,
    "mgda": MGDA,
    "pcgrad": PCGrad,
    "cagrad": CAGrad,
    "imtl_g": IMTLG,
    "nash_mtl": NashMTL,
    "upgrad": UPGrad,
    "aligned_mtl": AlignedMTL,
}
