"""The merges of `transfuse.merging` on opened models: what needs no data, in memory.

Each is the engine's own method with the options of a stage beside its own. The engine does the
same to whole folders on disk, whatever their size; here heads are put together by the names of
their labels, and a coefficient can be searched on validation rows.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from transfuse.fusion.merges.base import Merge, Solution, added, searched
from transfuse.fusion.merges.family import Weights
from transfuse.fusion.merges.work import Work
from transfuse.merging import Method, dare_linear, dare_ties, linear, model_stock, slerp, ties
from transfuse.merging.streamed import Streamed

__all__ = ["DareLinear", "DareTies", "Linear", "ModelStock", "Slerp", "Ties", "combined"]


@dataclass(frozen=True)
class _DataFree(Merge):
    """A merge of the engine as a stage; a subclass is a method of the engine as well."""

    def solve(self, work: Work) -> Solution:
        """See `Merge.solve`."""
        return Solution(combined(self, work))


@dataclass(frozen=True)
class _WithScale(_DataFree):
    """A merge of the engine whose merged change has a factor, `scale`."""

    search: bool = False
    """Whether `scale` is searched on validation rows, from 0 to 1.5. Default: false."""

    def solve(self, work: Work) -> Solution:
        """See `Merge.solve`."""
        if not self.search:
            return super().solve(work)
        plain: Any = self
        base = work.family.base
        whole = combined(replace(plain, scale=1.0), work)
        change = {name: whole[name] - value for name, value in base.items()}
        return searched(work, "scale", lambda scale: added(base, change, scale), 1.5)


@dataclass(frozen=True)
class Linear(_DataFree, linear.Linear):
    """The weighted mean of the models' weights.

    Wortsman et al. (2022), 'Model soups: averaging weights of multiple fine-tuned models improves
    accuracy without increasing inference time' (arXiv:2203.05482).
    """


@dataclass(frozen=True)
class Slerp(_DataFree, slerp.Slerp):
    """Spherical interpolation of two models, tensor by tensor.

    Shoemake (1985), 'Animating rotation with quaternion curves'. Where two tensors point the same
    way, or opposite ways (there is no one arc then), or one is 0, it goes straight.
    """

    search: bool = False
    """Whether `t` is searched on validation rows, from 0 to 1. Default: false."""

    most: ClassVar[int | None] = 2

    def solve(self, work: Work) -> Solution:
        """See `Merge.solve`."""
        if not self.search:
            return super().solve(work)
        return searched(work, "t", lambda t: combined(replace(self, t=t), work), 1.0)


@dataclass(frozen=True)
class Ties(_WithScale, ties.Ties):
    """Keep each model's largest changes, elect a sign for each weight, average what agrees.

    Yadav et al. (2023), 'TIES-merging: resolving interference when merging models'
    (arXiv:2306.01708). Changes as large as the smallest one that is kept are kept as well.
    """


@dataclass(frozen=True)
class DareLinear(_WithScale, dare_linear.DareLinear):
    """Task arithmetic on changes of which a random part is dropped, and the rest made up for.

    Yu et al. (2024), 'Language models are super Mario: absorbing abilities from homologous models
    as a free lunch' (arXiv:2311.03099).
    """


@dataclass(frozen=True)
class DareTies(_WithScale, dare_ties.DareTies):
    """TIES' election on changes of which a random part is dropped, and the rest made up for.

    Yu et al. (2024), 'Language models are super Mario: absorbing abilities from homologous models
    as a free lunch' (arXiv:2311.03099); the election is that of `ties`.
    """


@dataclass(frozen=True)
class ModelStock(_DataFree, model_stock.ModelStock):
    """The mean of a few models, pulled towards the base by as much as they disagree.

    For each tensor t = N cos / (1 + (N - 1) cos), where cos is the mean cosine between two models'
    changes; the merged tensor is t times the mean plus 1 - t times the base. Jang, Yun and Han
    (2024), 'Model Stock: all we need is just a few fine-tuned models' (arXiv:2403.19522).
    """


def combined(method: Any, work: Work) -> Weights:
    """The weights that a method of the engine makes of a family's.

    Args:
        method: The method.
        work: The models.

    Raises:
        ModelError: If the number of models or of weights does not suit it.
    """
    assert isinstance(method, Method)
    family = work.family
    method.check(len(family.members), has_base=True)
    base = {name: value.numpy() for name, value in family.base.items()}
    models = [{name: value.numpy() for name, value in own.items()} for own in family.weights]
    if isinstance(method, Streamed) and method.together:
        # A threshold over the whole model: all tensors as one, which then is cut again.
        flat = [np.concatenate([own[name].ravel() for name in base]) for own in (base, *models)]
        merged = method.combine("", flat[0], flat[1:])
        ends = np.cumsum([value.size for value in base.values()])
        parts = np.split(merged, ends[:-1])
        return {
            name: torch.from_numpy(part.reshape(base[name].shape))
            for name, part in zip(base, parts, strict=True)
        }
    found: Weights = {}
    for done, name in enumerate(base, start=1):
        merged = method.combine(name, base[name], [own[name] for own in models])
        found[name] = torch.from_numpy(merged)
        work.tell("tensors", done, len(base))
    return found
