"""What is learned: named losses on named streams of data.

Read `base.py` first. `OBJECTIVES` lists every objective by the name that recipes use.
"""

from transfuse.objectives.ada_bn import AdaBN
from transfuse.objectives.afn import AFN
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step, StreamTask, rows_of
from transfuse.objectives.cdan import CDAN
from transfuse.objectives.centroid import Centroid
from transfuse.objectives.coral import Coral
from transfuse.objectives.dann import DANN
from transfuse.objectives.deepjdot import DeepJDOT
from transfuse.objectives.entropy import Entropy
from transfuse.objectives.l2_sp import L2SP
from transfuse.objectives.mcc import MCC
from transfuse.objectives.mdd import MDD
from transfuse.objectives.meta import Anil, Fomaml, Maml, Reptile
from transfuse.objectives.mmd import MMD
from transfuse.objectives.pairs import Pairs
from transfuse.objectives.proto import Proto
from transfuse.objectives.pseudo import Pseudo
from transfuse.objectives.shot import SHOT
from transfuse.objectives.supervised import Source, Target
from transfuse.objectives.tasks import Tasks

__all__ = [
    "AFN",
    "CDAN",
    "DANN",
    "L2SP",
    "MCC",
    "MDD",
    "MMD",
    "OBJECTIVES",
    "SHOT",
    "AdaBN",
    "Anil",
    "Centroid",
    "Coral",
    "DeepJDOT",
    "Entropy",
    "Facts",
    "Fomaml",
    "Maml",
    "Objective",
    "Pairs",
    "Proto",
    "Pseudo",
    "Question",
    "Ramp",
    "Reptile",
    "Source",
    "Step",
    "StreamTask",
    "Target",
    "Tasks",
    "rows_of",
]

OBJECTIVES: dict[str, type[Objective]] = {
    "target": Target,
    "source": Source,
    "tasks": Tasks,
    "l2_sp": L2SP,
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
    "maml": Maml,
    "fomaml": Fomaml,
    "anil": Anil,
    "reptile": Reptile,
}
