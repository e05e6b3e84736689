"""What is learned: named losses on named streams of data.

Read `base.py` first. `OBJECTIVES` lists every objective by the name that recipes use.
"""

from transfuse.objectives.ada_bn import AdaBN
from transfuse.objectives.afn import AFN
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step, StreamTask, rows_of
from transfuse.objectives.bss import BSS
from transfuse.objectives.cca import CCA
from transfuse.objectives.cdan import CDAN
from transfuse.objectives.centroid import Centroid
from transfuse.objectives.clip import Clip
from transfuse.objectives.co_tuning import CoTuning
from transfuse.objectives.coral import Coral
from transfuse.objectives.dann import DANN
from transfuse.objectives.deepjdot import DeepJDOT
from transfuse.objectives.delta import Delta
from transfuse.objectives.distil import Distil
from transfuse.objectives.dkd import DKD
from transfuse.objectives.embed import Embed
from transfuse.objectives.entropy import Entropy
from transfuse.objectives.hidden import Hidden
from transfuse.objectives.l2_sp import L2SP
from transfuse.objectives.mcc import MCC
from transfuse.objectives.mdd import MDD
from transfuse.objectives.meta import Anil, Fomaml, Maml, Reptile
from transfuse.objectives.mixup import Mixup
from transfuse.objectives.mmd import MMD
from transfuse.objectives.names import Names
from transfuse.objectives.pairs import Pairs
from transfuse.objectives.proto import Proto
from transfuse.objectives.pseudo import Pseudo
from transfuse.objectives.r_drop import RDrop
from transfuse.objectives.relations import Relations
from transfuse.objectives.rkd import RKD
from transfuse.objectives.self_distil import SelfDistil
from transfuse.objectives.shot import SHOT
from transfuse.objectives.siglip import Siglip
from transfuse.objectives.supcon import SupCon
from transfuse.objectives.supervised import Source, Target
from transfuse.objectives.tasks import Tasks
from transfuse.objectives.vse import VSE

__all__ = [
    "AFN",
    "BSS",
    "CCA",
    "CDAN",
    "DANN",
    "DKD",
    "L2SP",
    "MCC",
    "MDD",
    "MMD",
    "OBJECTIVES",
    "RKD",
    "SHOT",
    "VSE",
    "AdaBN",
    "Anil",
    "Centroid",
    "Clip",
    "CoTuning",
    "Coral",
    "DeepJDOT",
    "Delta",
    "Distil",
    "Embed",
    "Entropy",
    "Facts",
    "Fomaml",
    "Hidden",
    "Maml",
    "Mixup",
    "Names",
    "Objective",
    "Pairs",
    "Proto",
    "Pseudo",
    "Question",
    "RDrop",
    "Ramp",
    "Relations",
    "Reptile",
    "SelfDistil",
    "Siglip",
    "Source",
    "Step",
    "StreamTask",
    "SupCon",
    "Target",
    "Tasks",
    "rows_of",
]

OBJECTIVES: dict[str, type[Objective]] = {
    "target": Target,
    "source": Source,
    "tasks": Tasks,
    "l2_sp": L2SP,
    "delta": Delta,
    "bss": BSS,
    "r_drop": RDrop,
    "mixup": Mixup,
    "co_tuning": CoTuning,
    "supcon": SupCon,
    "distil": Distil,
    "dkd": DKD,
    "hidden": Hidden,
    "relations": Relations,
    "rkd": RKD,
    "embed": Embed,
    "self_distil": SelfDistil,
    "mcc": MCC,
    "entropy": Entropy,
    "pseudo": Pseudo,
    "coral": Coral,
    "mmd": MMD,
    "deepjdot": DeepJDOT,
    "dann": DANN,
    "cdan": CDAN,
    "mdd": MDD,
    "afn": AFN,
    "ada_bn": AdaBN,
    "shot": SHOT,
    "centroid": Centroid,
    "proto": Proto,
    "pairs": Pairs,
    "clip": Clip,
    "siglip": Siglip,
    "vse": VSE,
    "cca": CCA,
    "names": Names,
    "maml": Maml,
    "fomaml": Fomaml,
    "anil": Anil,
    "reptile": Reptile,
}
