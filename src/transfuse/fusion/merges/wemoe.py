"""A merge whose weights depend on the text: a small router mixes the deltas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.answering.dynamic import DynamicModel, mixable_names
from transfuse.answering.members import aligned_scores
from transfuse.data import Role
from transfuse.errors import ModelError, Problem
from transfuse.fusion.merges.base import facts
from transfuse.fusion.merges.family import Weights, backbone_of, relate
from transfuse.fusion.merges.soup import mean
from transfuse.fusion.merges.work import Work
from transfuse.tasks import Task

__all__ = ["WeMoE", "fit_router"]

_LEAST = 1e-6


@dataclass(frozen=True)
class WeMoE(Stage):
    """Every text gets weights of its own: those of all models, mixed by a small router.

    The router reads the mean of a text's token vectors and is fitted on training rows so that the
    mixture of the models' answers is right. In the manner of Tang et al. (2024), 'Merging
    multi-task models via weight-ensembling mixture of experts' (arXiv:2402.00433), whose routers
    stand in every layer and learn without labels.
    """

    base: str | None = None
    """The model that all were tuned from: a folder, an installed package or a hub id. Default: the
    one that their recipes name."""

    rows: int = 2000
    """Training rows that the router is fitted on, at the most. Default: 2000."""

    decay: float = 0.001
    """Penalty on the router's squared weights. Default: 0.001."""

    least: ClassVar[int] = 2
    most: ClassVar[int | None] = None
    must_read: ClassVar[tuple[Role, ...] | None] = (Role.TEXT,)

    def __post_init__(self) -> None:
        if self.rows < 1 or self.decay < 0:
            raise ValueError("rows is at least 1 and decay at least 0")

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        for folder in models:
            if folder.reads != self.must_read:
                raise ModelError(
                    Problem(
                        str(folder.path),
                        f"reads {' and '.join(folder.reads)}, and weights are mixed text by text",
                        "a text encoder",
                        "Take a merge that gives one network, such as layerwise or regmean.",
                    )
                )
        work = Work(relate(models, self.base), evidence, seed, tell)
        model = self._apart(work)
        table = evidence.train.take(work.rows(self.rows))
        texts = table.texts()
        targets = work.family.task.targets(table)
        chances = []
        for number, member in enumerate(models):
            chances.append(_chances(member, texts, targets, work.family.task))
            tell("answers of the models", number + 1, len(models))
        vectors = model.vectors(model.network.encoder.preprocess(texts))
        router = fit_router(vectors, torch.from_numpy(np.stack(chances, 1)), self.decay)
        fitted = DynamicModel(model.network, model.deltas, router)
        shares = fitted.gates(evidence.validation.texts() or texts).mean(0).tolist()
        told = {
            **facts(work.family),
            "mean_gates": dict(zip(work.family.names, shares, strict=True)),
            "rows": len(texts),
        }
        return Made(fitted, work.family.task, told)

    def _apart(self, work: Work) -> DynamicModel:
        """The first model and deltas to the others, with a router that knows nothing yet."""
        family, count = work.family, len(work.family.members)
        merged = mean(family.weights)
        (column,) = work.network.encoders
        within = f"encoders.{column}.backbone."
        mixed = sorted(mixable_names(work.network))
        # What cannot be mixed row by row has the mean weights for every text.
        fixed = {name: value for name, value in merged.items() if within + name not in mixed}
        deltas = []
        kept: Weights = {}
        for number in (*range(1, count), 0):
            work.put(family.weights[number] | fixed, [float(n == number) for n in range(count)])
            own = {name: value.detach() for name, value in work.network.named_parameters()}
            if number:
                deltas.append({name: own[name].clone() for name in mixed})
            else:
                kept = own
        for delta in deltas:
            for name, value in delta.items():
                value -= kept[name]
        backbone: Any = backbone_of(work.network.encoder)
        size = backbone.get_input_embeddings().embedding_dim
        router = (torch.zeros(count, size), torch.zeros(count))
        model = DynamicModel(work.network, tuple(deltas), router)
        _check(model, work)
        return model


def fit_router(
    vectors: torch.Tensor, chances: torch.Tensor, decay: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The router under which the mixture of answers is most likely right.

    It is the least of -mean log Σ_t g_t(x) p_t(y | x) + decay ‖W‖², with g = softmax(W z + b) and
    z the standardised vectors; the scale is folded into the weights that are given back.

    Args:
        vectors: What the router reads, [n, d].
        chances: The probability that each model gives to what is true, [n, models].
        decay: Penalty on the squared weights.

    Returns:
        Weights [models, d] and bias [models] for vectors as they are.
    """
    centre, spread = vectors.mean(0), vectors.std(0, correction=0)
    spread = torch.where(spread > 1e-8, spread, 1.0)
    inputs = ((vectors - centre) / spread).float().clone()
    logs = chances.clamp(min=_LEAST).log().float()
    weight = torch.zeros(chances.shape[1], vectors.shape[1], requires_grad=True)
    bias = torch.zeros(chances.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        gates = (inputs @ weight.T + bias).log_softmax(1)
        value = decay * weight.square().sum() - (gates + logs).logsumexp(1).mean()
        value.backward()
        return value

    solver.step(loss)
    found = weight.detach() / spread
    return found, bias.detach() - found @ centre


def _chances(
    member: ModelFolder, texts: list[str], targets: NDArray[np.float64], task: Task
) -> NDArray[np.float64]:
    """The probability that a model gives to what is true, [n]."""
    scores = aligned_scores(member.scores(texts), member.task.label_names, task.label_names)
    match task.kind:
        case "classification":
            found: NDArray[np.float64] = scores[np.arange(len(targets)), targets.astype(np.int64)]
            return found
        case "multilabel":
            right: NDArray[np.float64] = np.where(targets > 0, scores, 1 - scores)
            likely: NDArray[np.float64] = np.exp(np.log(np.clip(right, _LEAST, 1)).mean(1))
            return likely
        case _:
            errors = np.square(scores[:, 0] - targets)
            near: NDArray[np.float64] = np.exp(-0.5 * errors / max(float(np.var(targets)), 1e-12))
            return near


def _check(model: DynamicModel, work: Work) -> None:
    """Refuse architectures where adding outputs is not adding weights."""
    batch = model.network.encoder.probe_batch()
    delta, count = model.deltas[0], len(model.deltas) + 1
    gates = torch.tensor([[0.0, 1.0] + [0.0] * (count - 2)] * len(batch["input_ids"]))
    with torch.inference_mode():
        with model.mixing(gates):
            (mixed,) = model.network(batch).logits.values()
        summed = {
            name: value + delta.get(name, 0) for name, value in model.network.named_parameters()
        }
        (plain,) = torch.func.functional_call(model.network, summed, (batch,)).logits.values()
    if not torch.allclose(mixed, plain, rtol=1e-3, atol=1e-4):
        raise ModelError(
            Problem(
                "wemoe",
                f"the layers of {type(backbone_of(work.family.encoder)).__name__} cannot be mixed "
                "text by text",
                fix="Use another merge, or a fusion of answers.",
            )
        )
