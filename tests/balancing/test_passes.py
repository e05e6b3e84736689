"""A whole step, from losses to `.grad`: parts, weights of 0, losses alone, processes."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from transfuse.balancing import BALANCERS, Balancer, Fixed, Jacobian
from transfuse.errors import TrainingError
from transfuse.training.passes import StepPasses
from transfuse.training.runtime import Runtime

NAMES = ("one", "two", "three")
every_rule = pytest.mark.parametrize("name", BALANCERS)


class Model(nn.Module):
    """A shared layer, a head for each of three losses, and what a loss needs of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 5)
        self.heads = nn.ModuleList(nn.Linear(5, 1) for _ in NAMES)

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        features = torch.tanh(self.body(rows))
        goals = (rows[:, 0], rows[:, 1] * rows[:, 2], -rows[:, 0] + 3)
        return {
            name: (head(features)[:, 0] - goal).square().mean()
            for name, head, goal in zip(NAMES, self.heads, goals, strict=True)
        }


def passes_of(
    model: nn.Module,
    parts: Sequence[torch.Tensor],
    weights: Mapping[str, float] | None = None,
    wrapped: nn.Module | None = None,
    runtime: Runtime | None = None,
    *,
    apart: bool = False,
) -> StepPasses:
    wrapped = wrapped or model
    return StepPasses(
        [partial(wrapped, part) for part in parts],
        weights or dict.fromkeys(NAMES, 1.0),
        wrapped,
        Jacobian(list(model.parameters())),
        runtime or Runtime(),
        apart=apart,
    )


def gradients(model: nn.Module) -> dict[str, torch.Tensor | None]:
    return {name: each.grad for name, each in model.named_parameters()}


@every_rule
def test_heads_get_their_own_gradient_under_rules_on_gradients(name: str) -> None:
    rule, model, rows = BALANCERS[name](), Model(), torch.randn(16, 6)
    weights = {"one": 1.0, "two": 0.5, "three": 2.0}
    passes = passes_of(model, [rows], weights)
    factors = rule.backward(passes, rule.module(NAMES))
    found = gradients(model)
    for index, each in enumerate(NAMES):
        model.zero_grad()
        model(rows)[each].backward()
        factor = weights[each] * (1.0 if rule.apart else float(factors[index]))
        own = model.heads[index].weight.grad
        assert own is not None
        torch.testing.assert_close(found[f"heads.{index}.weight"], factor * own)
    total = sum(
        float(factor) * weights[each] * model(rows)[each]
        for factor, each in zip(factors, NAMES, strict=True)
    )
    model.zero_grad()
    total.backward()  # type: ignore[union-attr]
    torch.testing.assert_close(found["body.weight"], model.body.weight.grad, atol=1e-5, rtol=1e-3)


@every_rule
@pytest.mark.parametrize("rows", [torch.randn(16, 6, generator=torch.Generator().manual_seed(1))])
def test_a_weight_of_0_takes_the_loss_out_and_never_gives_nan(
    name: str, rows: torch.Tensor
) -> None:
    class Sharp(Model):
        def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
            losses = super().forward(rows)
            # The root has no finite slope where it is 0.
            return losses | {"two": (0 * self.body(rows)).square().sum().sqrt()}

    rule, model = BALANCERS[name](), Sharp()
    weights = {"one": 1.0, "two": 0.0, "three": 1.0}
    passes = passes_of(model, [rows], weights)
    factors = rule.backward(passes, rule.module(NAMES))
    assert passes.names == ("one", "three")
    assert np.isfinite(factors).all()
    found = gradients(model)
    assert found["heads.1.weight"] is None
    assert all(each.isfinite().all() for each in found.values() if each is not None)
    assert set(passes.losses) == set(NAMES)


@pytest.mark.parametrize("name", [name for name in BALANCERS if name not in ("gls", "famo")])
def test_parts_of_a_step_are_one_step(name: str) -> None:
    rows = torch.randn(24, 6)
    torch.manual_seed(3)
    start = Model().state_dict()
    ends = []
    for parts in ([rows], list(rows.split(8))):
        rule, model = BALANCERS[name](), Model()
        module = rule.module(NAMES)
        model.load_state_dict(start)
        torch.manual_seed(4)
        for _ in range(2):
            passes = passes_of(model, parts)
            factors = rule.backward(passes, module)
            found = gradients(model)
            model.zero_grad()
        ends.append((factors, found, passes.losses))
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-3)
    for key, each in ends[0][1].items():
        torch.testing.assert_close(each, ends[1][1][key], atol=1e-5, rtol=1e-3, msg=key)
    assert ends[0][2] == pytest.approx(ends[1][2], rel=1e-5)


def test_a_gradient_that_is_not_finite_is_named() -> None:
    class Broken(Model):
        def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
            losses = super().forward(rows)
            return losses | {"two": (0 * self.body(rows)).square().sum().sqrt()}

    with pytest.raises(TrainingError, match="objective 'two': its gradient is not finite"):
        BALANCERS["mgda"]().backward(passes_of(Broken(), [torch.randn(4, 6)]), None)


@every_rule
def test_losses_without_anything_shared_are_each_descended(name: str) -> None:
    class Apart(Model):
        def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
            with torch.no_grad():
                features = self.body(rows)
            return {
                each: 1 + head(features).square().mean()
                for each, head in zip(NAMES, self.heads, strict=True)
            } | {"three": torch.zeros(())}

    rule, model = BALANCERS[name](), Apart()
    passes = passes_of(model, [torch.randn(4, 6)])
    factors = rule.backward(passes, rule.module(NAMES))
    assert np.isfinite(factors).all()
    # The third loss is a constant, and not even the logarithm of what it is can matter.
    assert passes.names == ("one", "two")
    assert model.body.weight.grad is None
    assert model.heads[0].weight.grad is not None
    assert model.heads[2].weight.grad is None


# Processes


def steps(rule: Balancer, runtime: Runtime, *, ramp: bool) -> dict[str, torch.Tensor]:
    """The weights after four steps of two parts each, this process on its share of the rows."""
    torch.manual_seed(11)
    rows = torch.randn(4, 2, 16, 6)
    model = Model()
    module = rule.module(NAMES)
    wrapped, optimizer = runtime.prepare(model, torch.optim.SGD(model.parameters(), lr=0.05))
    # What is drawn at random has to be agreed on.
    torch.manual_seed(100 + runtime.rank)
    for number, step in enumerate(rows):
        mine = [part[runtime.rank :: runtime.world] for part in step]
        weights = {"one": 1.0, "two": 0.7, "three": number / 4 if ramp else 2.0}
        passes = passes_of(model, mine, weights, wrapped, runtime, apart=rule.apart)
        (rule if len(passes.names) > 1 else Fixed()).backward(passes, module)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    learnt = module.state_dict() if module is not None else {}
    return {name: value.detach().clone() for name, value in (model.state_dict() | learnt).items()}


def run_all(folder: Path) -> None:
    runtime = Runtime()
    ends = {
        f"{name}/{ramp}/{key}": value
        for name, kind in BALANCERS.items()
        for ramp in (False, True)
        for key, value in steps(kind(), runtime, ramp=ramp).items()
    }
    # Every process writes: they have to agree among themselves too.
    save_file(ends, folder / f"{runtime.world}-{runtime.rank}.safetensors")


_RUN = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
torch.set_num_threads(1)
from test_passes import run_all
run_all(Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one_under_every_rule(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(_RUN, encoding="utf-8")
    arguments = [str(script), str(Path(__file__).parent), str(tmp_path)]
    start = [sys.executable, "-W", "ignore"]
    start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    subprocess.run([*start, *arguments], check=True, timeout=150, env=environment)
    run_all(tmp_path)
    alone, first, second = (
        load_file(tmp_path / f"{place}.safetensors") for place in ("1-0", "2-0", "2-1")
    )
    for name, weights in alone.items():
        torch.testing.assert_close(
            first[name], second[name], atol=0, rtol=0, equal_nan=True, msg=name
        )
        torch.testing.assert_close(
            first[name], weights, atol=1e-5, rtol=1e-3, msg=name, equal_nan=True
        )
