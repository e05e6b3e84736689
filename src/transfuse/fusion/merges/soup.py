"""The mean of weights, of all models or of those that help."""

from dataclasses import dataclass
from typing import Literal

import torch

from transfuse.fusion.merges.base import Merge, Solution
from transfuse.fusion.merges.family import Weights
from transfuse.fusion.merges.work import Work

__all__ = ["Soup"]


@dataclass(frozen=True)
class Soup(Merge):
    """The mean of the weights: of all models, or of those that help.

    The greedy soup begins with the model that validates best and takes each further one, best
    first, if the mean validates no worse with it. Wortsman et al. (2022), 'Model soups: averaging
    weights of multiple fine-tuned models improves accuracy without increasing inference time'
    (arXiv:2203.05482).
    """

    kind: Literal["greedy", "uniform"] = "greedy"
    """Whether a model must help to be taken, or all are. Default: greedy."""

    def solve(self, work: Work) -> Solution:
        """See `Merge.solve`."""
        every = work.family.weights
        if self.kind == "uniform":
            return Solution(mean(every))
        count = len(every)
        alone = []
        for number, weights in enumerate(every):
            alone.append(work.worth(weights, _shares([number], count)))
            work.tell("models alone", number + 1, count)
        order = sorted(range(count), key=lambda number: (alone[number], -number), reverse=True)
        taken, best = [order[0]], alone[order[0]]
        for done, number in enumerate(order[1:], start=1):
            tried = [*taken, number]
            found = work.worth(mean([every[each] for each in tried]), _shares(tried, count))
            if found[0] >= best[0]:
                taken, best = tried, found
            work.tell("greedy soup", done, count - 1)
        names = work.family.names
        told = {
            "alone": {name: worth[0] for name, worth in zip(names, alone, strict=True)},
            "taken": [names[number] for number in taken],
            "worth": best[0],
        }
        return Solution(mean([every[each] for each in taken]), _shares(taken, count), told)


def mean(parts: "list[Weights] | tuple[Weights, ...]") -> Weights:
    """The mean of weights by name, added up in float32.

    Args:
        parts: Weights of the same names.
    """
    return {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}


def _shares(taken: list[int], count: int) -> tuple[float, ...]:
    return tuple(float(number in taken) for number in range(count))
