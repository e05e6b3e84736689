"""Several merges in one call, of which one is taken only if it beats every parent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.answering.members import aligned_scores, names_of
from transfuse.data import Role, Table, seed_for
from transfuse.errors import DataError, ModelError, Problem, RecipeError
from transfuse.fusion.answers import ANSWERS
from transfuse.fusion.merges.acceptance import Verdict, accept, row_scores
from transfuse.fusion.merges.candidates import CANDIDATES
from transfuse.fusion.merges.frontier import Point, frontier
from transfuse.fusion.merges.heads import union_of
from transfuse.models import Feeds, Inference, Network, probe_engine, read_inputs
from transfuse.recipe import build
from transfuse.tasks import Task

__all__ = ["Best"]

_ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Best(Stage):
    """Tries several merges and takes the best one, if it beats every model that it is made of.

    Coefficients are chosen on one part of the validation rows and merges are judged on the other,
    by a paired bootstrap with Holm's correction over all merges and models. Where no merge is
    better beyond chance, the ensemble or the best single model is taken, and the report says so.
    """

    candidates: tuple[str | dict[str, dict[str, Any] | None], ...] = (
        "soup",
        "task_arithmetic",
        "regmean",
        "ties",
    )
    """The merges to try, each a name or a name with options. Default: soup, task_arithmetic,
    regmean, ties."""

    fall_back: Literal["ensemble", "model"] = "ensemble"
    """What is taken where no merge is accepted: the mean of all answers where it scores no less
    than the best model, or always the best model. Default: ensemble."""

    judge: float = 0.5
    """Share of the validation rows that merges are judged by. Default: 0.5."""

    confidence: float = 0.95
    """The chance that no merge is accepted where none is better. Default: 0.95."""

    base: str | None = None
    """The model that all were tuned from. Default: the one that their recipes name."""

    least: ClassVar[int] = 2
    most: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        if not self.candidates:
            raise ValueError("candidates names at least one merge")
        if not (0 < self.judge < 1 and 0 < self.confidence < 1):
            raise ValueError("judge and confidence lie between 0 and 1")
        try:
            self.stages()
        except RecipeError as error:
            raise ValueError(str(error)) from None

    def stages(self) -> dict[str, Stage]:
        """The merges to try, by a name of their own."""
        found: dict[str, Stage] = {}
        for place, spec in enumerate(self.candidates):
            stage = build(CANDIDATES, self._with_base(spec), f"candidates[{place}]")
            name = next(name for name, kind in CANDIDATES.items() if type(stage) is kind)
            found[f"{name} {place + 1}" if name in found else name] = stage
        return found

    def _with_base(self, spec: str | dict[str, dict[str, Any] | None]) -> Any:
        """A candidate with the ancestor that is named for all."""
        if self.base is None:
            return spec
        if isinstance(spec, str):
            return {spec: {"base": self.base}}
        return {name: {"base": self.base, **(options or {})} for name, options in spec.items()}

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        choose, judge = _parts(evidence.validation, self.judge, seed)
        rows = Evidence(evidence.train, choose)
        scored = _Scored(union_of(models), judge)
        made, refused = _tried(self.stages(), models, rows, seed, tell)
        if not made:
            raise ModelError(
                Problem(f"best.candidates.{name}", reason) for name, reason in refused.items()
            )
        parents = [
            f"model {name}" if name in {*made, _ENSEMBLE} else name for name in names_of(models)
        ]
        for name, model in zip(parents, models, strict=True):
            scored.member(name, model)
        for name, each in made.items():
            scored.made(name, "merge", each)
        ensemble: dict[str, Made] = {}
        if self.fall_back == "ensemble":
            average = {_ENSEMBLE: ANSWERS["average"]()}
            ensemble, more = _tried(average, models, rows, seed, tell)
            refused |= more
            for each in ensemble.values():
                scored.made(_ENSEMBLE, "ensemble", each)
        verdict = accept(
            {name: scored.rows[name] for name in made},
            {name: scored.rows[name] for name in parents},
            seed_for(seed, "accept merges"),
            ensemble=scored.rows.get(_ENSEMBLE),
            documents=judge.groups(),
            confidence=self.confidence,
        )
        told = self._told(verdict, scored, made, refused)
        taken = (made | ensemble).get(verdict.chosen)
        if taken is not None:
            return Made(taken.model, taken.task, told)
        parent = models[parents.index(verdict.chosen)]
        return Made(parent.model, parent.task, told)

    def _told(
        self,
        verdict: Verdict,
        scored: "_Scored",
        made: dict[str, Made],
        refused: dict[str, str],
    ) -> dict[str, Any]:
        return {
            **verdict.to_dict(),
            "rows": {"judged": len(scored.targets)},
            "tried": {name: dict(each.told) for name, each in made.items()},
            **({"refused": refused} if refused else {}),
            "frontier": frontier(scored.points).to_dict(),
        }


class _Scored:
    """Models on the rows that they are judged by: how right each row is, and what a row costs."""

    def __init__(self, task: Task, table: Table) -> None:
        self._task, self._table = task, table
        self.targets = task.targets(table)
        self.rows: dict[str, NDArray[np.float64]] = {}
        self.points: list[Point] = []

    def member(self, name: str, model: ModelFolder) -> None:
        """Score one of the models that are merged."""
        own, wanted = model.task.label_names, self._task.label_names
        self._score(
            name,
            "single",
            model.reads,
            lambda rows: aligned_scores(model.scores(rows), own, wanted),
        )

    def made(self, name: str, kind: Literal["merge", "ensemble"], each: Made) -> None:
        """Score a model that no folder holds yet."""
        model, task = each.model, each.task
        known, wanted = task.label_names, self._task.label_names
        order = [known.index(label) for label in wanted]
        run: Callable[[Sequence[Any]], NDArray[np.float64]]
        if isinstance(model, Network):
            inference = Inference(model, probe_engine())
            network, (head,) = model, model.heads
            reads = network.encoder.reads

            def answer(rows: Sequence[Any]) -> NDArray[np.float64]:
                feed = Feeds(network).feed(read_inputs(network.encoder, rows))
                logits = inference.logits(feed, head)
                found: NDArray[np.float64] = task.scores(logits).double().numpy()
                return found

            run = answer
        else:
            run, reads = model.scores, model.reads
        self._score(name, kind, reads, lambda rows: run(rows)[:, order])

    def _score(
        self,
        name: str,
        kind: Literal["single", "merge", "ensemble"],
        reads: tuple[Role, ...],
        run: Callable[[Sequence[Any]], NDArray[np.float64]],
    ) -> None:
        """Score what answers rows over all labels."""
        rows = self._table.inputs(reads)
        run(self._table.take([0, 1]).inputs(reads))  # what is set up once is no part of the cost
        start = perf_counter()
        scores = run(rows)
        cost = 1000 * (perf_counter() - start) / len(rows)
        self.rows[name] = row_scores(self._task.kind, scores, self.targets)
        self.points.append(Point(name, kind, float(self.rows[name].mean()), cost))


def _tried(
    stages: Mapping[str, Stage],
    models: Sequence[ModelFolder],
    evidence: Evidence,
    seed: int,
    tell: Tell,
) -> tuple[dict[str, Made], dict[str, str]]:
    """What stages make of the models, and why some refuse to."""
    made: dict[str, Made] = {}
    refused: dict[str, str] = {}
    for name, stage in stages.items():
        try:
            made[name] = stage.make(models, evidence, seed, tell)
        except ModelError as error:
            refused[name] = str(error)
    return made, refused


def _parts(table: Table, share: float, seed: int) -> tuple[Table, Table]:
    """Rows to choose by and rows to judge by; rows of one group stay together."""
    groups = [str(group) for group in (table.groups() or range(len(table)))]
    names = sorted(set(groups))
    if len(names) < 4:
        raise DataError(
            Problem(
                "validation",
                f"{len(names)} rows or groups",
                "some to choose coefficients by and others to judge merges by",
                "Raise `split.validation`.",
            )
        )
    order = np.random.default_rng(seed_for(seed, "judge merges")).permutation(len(names))
    count = min(len(names) - 2, max(2, round(share * len(names))))
    judging = {names[place] for place in order[:count]}
    mask = np.array([group in judging for group in groups])
    return table.filter(~mask), table.filter(mask)
