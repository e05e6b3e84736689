"""What moves: which weights train, at what rates and for how long.

Read `base.py` first. `TUNINGS` lists every tuning by the name that recipes use.
"""

from transfuse.tuning.base import Group, Stage, Tuning, frozen_layers
from transfuse.tuning.bitfit import BitFit
from transfuse.tuning.frozen import Frozen
from transfuse.tuning.full import Full, Scratch, Top
from transfuse.tuning.only import Only
from transfuse.tuning.peft import Dora, Ia3, Lora, Peft, Vera
from transfuse.tuning.rates import Discriminative, Layerwise
from transfuse.tuning.staged import Gradual, LpFt

__all__ = [
    "TUNINGS",
    "BitFit",
    "Discriminative",
    "Dora",
    "Frozen",
    "Full",
    "Gradual",
    "Group",
    "Ia3",
    "Layerwise",
    "Lora",
    "LpFt",
    "Only",
    "Peft",
    "Scratch",
    "Stage",
    "Top",
    "Tuning",
    "Vera",
    "frozen_layers",
]

TUNINGS: dict[str, type[Tuning]] = {
    "scratch": Scratch,
    "frozen": Frozen,
    "top": Top,
    "full": Full,
    "lp_ft": LpFt,
    "gradual": Gradual,
    "layerwise": Layerwise,
    "discriminative": Discriminative,
    "bitfit": BitFit,
    "lora": Lora,
    "dora": Dora,
    "ia3": Ia3,
    "vera": Vera,
    "peft": Peft,
    "only": Only,
}
