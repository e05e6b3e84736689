"""The loop: what it promises beside being resumable."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transfuse.balancing import Fixed
from transfuse.errors import TrainingError
from transfuse.models import Engine, Store, load_classifier, read_inputs
from transfuse.objectives import Objective, Ramp, Step, StreamTask, Target
from transfuse.tasks import Classification
from transfuse.training import Callback, Fitted, Job, StepReport, StreamData, Training, fit
from transfuse.training.optimizer import Schedule
from transfuse.tuning import Frozen, Full, Gradual

_TEXTS = [f"{'good' if row % 2 else 'bad'} film number {row}" for row in range(40)]
_TASK = Classification(labels=("bad", "good"))


@pytest.fixture
def job(tiny: Callable[..., Path], tmp_path: Path) -> Callable[..., Job]:
    def make(tuning: Any = None, objectives: Any = None, **options: Any) -> Job:
        network = load_classifier(tiny("bert"), _TASK.labels, task="target", pooling="mean")
        tuning = tuning or Full(learning_rate=1e-3)
        tuning.prepare(network, 0)
        inputs = read_inputs(network.encoder, _TEXTS)
        data = StreamData(inputs, np.arange(40) % 2)
        task = StreamTask(_TASK, "target")
        given = {"epochs": 2, "batch_size": 8} | options
        return Job(
            network=network,
            stages=tuning.stages(network),
            objectives=objectives or (Target(),),
            balancer=Fixed(),
            options=Training(**given),
            streams={"target": data},
            tasks={"target": task},
            seed=0,
            engine=Engine(),
            encode_engine=Engine(),
            store=Store(tmp_path / "store"),
            fingerprint="a",
            validation=data,
            validation_task=task,
        )

    return make


class _Seen(Callback):
    def __init__(self) -> None:
        self.steps: list[StepReport] = []
        self.stages: list[str] = []
        self.scores: list[float] = []
        self.closed = 0

    def on_stage(self, stage: Any, index: int, stages: int, steps: int) -> None:
        self.stages.append(stage.name)

    def on_step(self, report: StepReport) -> None:
        self.steps.append(report)

    def on_evaluation(self, step: int, scores: Any) -> None:
        self.scores.append(scores["accuracy"])

    def close(self) -> None:
        self.closed += 1


@dataclass(frozen=True)
class _Broken(Objective):
    """Gives a loss that stops being finite at the fourth step."""

    weight: float | Ramp = 1.0

    @property
    def streams(self) -> tuple[str, ...]:
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        return ("broken",)

    def losses(self, step: Step, module: Any) -> dict[str, torch.Tensor]:
        value = step.outputs["target"].logits["target"].mean()
        return {"broken": value * (float("nan") if step.progress >= 0.3 else 1.0)}


def test_a_loss_that_is_not_finite_stops_with_step_and_objective(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    made = job(objectives=(Target(), _Broken()))
    seen = _Seen()
    with pytest.raises(TrainingError, match=r"step 4, objective 'broken'.*nan"):
        fit(made, tmp_path / "run", [seen])
    assert len(seen.steps) == 3
    assert seen.closed == 1
    assert all(torch.isfinite(weight).all() for weight in made.network.parameters())


def test_steps_stages_and_rates_are_as_planned(job: Callable[..., Job]) -> None:
    seen = _Seen()
    fitted = fit(job(Gradual(stages_count=2), epochs=4, warmup=0.0), None, [seen])
    assert isinstance(fitted, Fitted)
    assert seen.stages == ["head", "top-4"]
    assert fitted.steps == len(seen.steps) == 20
    assert [report.step for report in seen.steps] == list(range(1, 21))
    rates = [report.learning_rate for report in seen.steps]
    assert rates[0] == pytest.approx(5e-5)
    assert rates == sorted(rates, reverse=True)


def test_accumulated_small_batches_are_one_large_batch(job: Callable[..., Job]) -> None:
    ends = []
    for size, parts in ((40, 1), (8, 5)):
        made = job(epochs=1, batch_size=size, accumulate=parts, warmup=0.0, clip=0)
        for module in made.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        fitted = fit(replace(made, options=replace(made.options, optimizer="sgd")))
        assert fitted.steps == 1
        ends.append([weight.detach().clone() for weight in made.network.parameters()])
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_patience_stops_and_keeps_the_best_weights(job: Callable[..., Job]) -> None:
    seen = _Seen()
    made = job(Full(learning_rate=3e-2), epochs=30, patience=2)
    fitted = fit(made, None, [seen])
    assert len(seen.steps) < 150, "it never stopped"
    assert max(seen.scores) == max(entry["accuracy"] for entry in fitted.history)
    best = max(seen.scores)
    from transfuse.models import Feeds
    from transfuse.training.selection import scores_now

    scores, _ = scores_now(made, Feeds(made.network))
    assert scores["accuracy"] == best


def test_a_probe_is_solved_and_beats_any_other_head(job: Callable[..., Job]) -> None:
    seen = _Seen()
    made = job(Frozen(), penalty=1e-6)
    fitted = fit(made, None, [seen])
    assert fitted.steps == 0
    assert seen.steps == []
    trained = job(Frozen(solve=False), epochs=5)
    fit(trained)

    def loss(each: Job) -> float:
        network = each.network.eval()
        batch = network.encoder.collate(each.streams["target"].inputs.tokens)
        logits = network(batch).logits["target"]
        return _TASK.loss(logits, torch.arange(40) % 2).item()

    with torch.no_grad():
        assert loss(made) < loss(trained)


def test_a_checkpoint_of_another_job_is_refused(job: Callable[..., Job], tmp_path: Path) -> None:
    made = job(objectives=(Target(), _Broken()), checkpoint_steps=1)
    with pytest.raises(TrainingError):
        fit(made, tmp_path / "run")
    other = replace(job(), fingerprint="b")
    with pytest.raises(TrainingError, match="another recipe, data or version"):
        fit(other, tmp_path / "run")


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
def test_schedules_rise_then_fall_to_nothing(shape: Any) -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 0.5}])
    schedule = Schedule(optimizer, Training(schedule=shape, warmup=0.2), 100)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[:20] == sorted(factors[:20])
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert schedule.factor(100) == pytest.approx(1.0 if shape == "constant" else 0.0)
    schedule.apply(50)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * factors[50])


def test_a_ramp_is_linear_cosine_or_sigmoid() -> None:
    for shape in ("linear", "cosine", "sigmoid"):
        ramp = Ramp(1.0, 0.0, shape)  # type: ignore[arg-type]
        values = [ramp.at(progress / 10) for progress in range(11)]
        assert values[0] == pytest.approx(1.0)
        assert values[-1] == pytest.approx(0.0, abs=1e-4)
        assert values == sorted(values, reverse=True)
    # Ganin et al. (2016): 2 / (1 + exp(-10 p)) - 1 at p = 0.25.
    assert Ramp(0.0, 1.0, "sigmoid").at(0.25) == pytest.approx(0.848284, abs=1e-6)
