"""MAML, its first-order form, ANIL and Reptile; see `inner_steps.py` for what they share."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call

from transfuse.data import Episodes
from transfuse.errors import ModelError, Problem
from transfuse.models import Encoded, Encoder, Network
from transfuse.objectives.base import Facts, Step
from transfuse.objectives.inner_steps import (
    InnerSteps,
    Queried,
    Weights,
    adapt,
    pick,
    trained_weights,
)

__all__ = ["Anil", "Fomaml", "Maml", "Reptile"]


@dataclass(frozen=True)
class Maml(Queried):
    """The queries' loss after inner steps on the support rows, differentiated through them.

    Model-agnostic meta-learning: Finn, Abbeel and Levine (2017), 'Model-agnostic meta-learning for
    fast adaptation of deep networks' (arXiv:1703.03400). The gradient goes through the inner
    steps, second derivatives included, which needs attention that can be differentiated twice:
    training uses eager attention.
    """

    name = "maml"

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and switches attention.

        Raises:
            ModelError: If the architecture has no eager attention.
        """
        super().module(network, facts)
        for encoder in network.encoders.values():
            assert isinstance(encoder, Encoder)
            if not encoder.set_attention("eager"):
                raise ModelError(
                    Problem(
                        "learn",
                        "maml differentiates twice, and this model's attention may not",
                        "an architecture with eager attention",
                        "fomaml, anil and reptile differentiate the encoder once.",
                    )
                )

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The queries' loss as a function of the weights before the inner steps."""
        support, queries = self.parts(step)
        inner = [lambda weights: self.loss_of(step, support, weights)] * self.steps
        adapted = adapt(inner, trained_weights(step.network), self.inner_rate, second_order=True)
        return {self.name: self.loss_of(step, queries, adapted)}


@dataclass(frozen=True)
class Fomaml(Queried):
    """MAML without second derivatives: the queries' gradient at the adapted weights.

    First-order MAML of Finn, Abbeel and Levine (2017, arXiv:1703.03400), section 5.2.
    """

    name = "fomaml"

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The queries' loss; the way to the adapted weights counts as a constant."""
        support, queries = self.parts(step)
        inner = [lambda weights: self.loss_of(step, support, weights)] * self.steps
        start = trained_weights(step.network)
        adapted = adapt(inner, start, self.inner_rate, second_order=False)
        moved = {name: weight + (adapted[name] - weight).detach() for name, weight in start.items()}
        return {self.name: self.loss_of(step, queries, moved)}


@dataclass(frozen=True)
class Anil(Queried):
    """MAML whose inner steps move the head alone ('almost no inner loop').

    Raghu et al. (2020), 'Rapid learning or feature reuse? Towards understanding the effectiveness
    of MAML' (arXiv:1909.09157). The encoder runs once for each episode and is differentiated once,
    so this costs little more than plain training; second derivatives are of the head only.
    """

    inner_rate: float = 0.1
    """Learning rate of the inner steps. Default: 0.1."""

    name = "anil"

    @property
    def reads_outputs(self) -> bool:
        """The encoder runs once, as for other objectives."""
        return True

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The queries' loss as a function of features and head before the inner steps."""
        (name,) = self.streams
        known, batch = step.tasks[name], step.batches[name]
        encoded, support = step.outputs[name].encoded, batch["support"]
        head = step.network.heads[known.head]

        def loss(weights: Weights, chosen: torch.Tensor) -> torch.Tensor:
            part = pick(batch, chosen)
            logits = functional_call(head, weights, (_encoded_rows(encoded, chosen), part))
            return known.task.loss(
                logits,
                part["targets"],
                weights=known.weights,
                row_weights=part.get("weights"),
            )

        inner = [lambda weights: loss(weights, support)] * self.steps
        adapted = adapt(inner, trained_weights(head), self.inner_rate, second_order=True)
        return {self.name: loss(adapted, ~support)}


@dataclass(frozen=True)
class Reptile(InnerSteps):
    """The way from the weights to where inner steps lead is the direction to go.

    Nichol, Achiam and Schulman (2018), 'On first-order meta-learning algorithms'
    (arXiv:1803.02999). The loss is half the squared distance to the adapted weights, which count
    as a constant, divided by the inner rate: its gradient is (start - adapted) / rate, the sum of
    the inner gradients. Each inner step learns from its own share of the episode's rows;
    `train.accumulate` averages over episodes.
    """

    shots: int = 8
    """Rows of each class in an episode, all of them to learn from. Default: 8."""

    steps: int = 4
    """Inner steps. Default: 4."""

    name = "reptile"

    @property
    def episodes(self) -> Episodes:
        """As the options say; nothing is asked apart."""
        return Episodes(self.ways, self.shots, 0)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Half the squared distance that the inner steps go, by the inner rate."""
        batch = step.batches[self.streams[0]]
        count = len(batch["targets"])
        order = torch.randperm(count).to(batch["targets"].device)
        parts = [pick(batch, share) for share in order.tensor_split(min(self.steps, count))]
        inner = [lambda weights, part=part: self.loss_of(step, part, weights) for part in parts]
        start = trained_weights(step.network)
        adapted = adapt(inner, start, self.inner_rate, second_order=False)
        ways = [(weight - adapted[name]).square().sum() for name, weight in start.items()]
        return {self.name: torch.stack(ways).sum() / (2 * self.inner_rate)}


def _encoded_rows(encoded: Encoded, rows: torch.Tensor) -> Encoded:
    tokens = None if encoded.tokens is None else encoded.tokens[rows]
    mask = None if encoded.mask is None else encoded.mask[rows]
    return Encoded(encoded.pooled[rows], tokens, mask)
