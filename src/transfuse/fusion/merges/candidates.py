"""The merges that give one network, by name: what `best` can choose among."""

from transfuse.answering import Stage
from transfuse.fusion.merges.data_free import (
    DareLinear,
    DareTies,
    Linear,
    ModelStock,
    Slerp,
    Ties,
)
from transfuse.fusion.merges.fisher import Fisher
from transfuse.fusion.merges.iso_c import IsoC
from transfuse.fusion.merges.layerwise import Layerwise
from transfuse.fusion.merges.regmean import RegMean
from transfuse.fusion.merges.regmean_pp import RegMeanPlusPlus
from transfuse.fusion.merges.soup import Soup
from transfuse.fusion.merges.task_arithmetic import TaskArithmetic
from transfuse.fusion.merges.tsv_m import TsvM
from transfuse.fusion.merges.wemoe import WeMoE
from transfuse.fusion.merges.wudi import Wudi

__all__ = ["CANDIDATES"]

CANDIDATES: dict[str, type[Stage]] = {
    "soup": Soup,
    "task_arithmetic": TaskArithmetic,
    "linear": Linear,
    "slerp": Slerp,
    "ties": Ties,
    "dare_linear": DareLinear,
    "dare_ties": DareTies,
    "model_stock": ModelStock,
    "fisher": Fisher,
    "regmean": RegMean,
    "regmean_pp": RegMeanPlusPlus,
    "wudi": Wudi,
    "iso_c": IsoC,
    "tsv_m": TsvM,
    "layerwise": Layerwise,
    "wemoe": WeMoE,
}
