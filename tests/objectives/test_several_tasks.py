"""The losses of several tasks: shares of the batch, weights of the sum."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfuse.models import Encoded, Outputs
from transfuse.objectives import Ramp, Step, StreamTask, Tasks
from transfuse.tasks import Classification

NAMES = ("mood", "irony", "hate")
sizes = st.lists(st.integers(1, 10**6), min_size=3, max_size=3).map(
    lambda counts: dict(zip(NAMES, counts, strict=True))
)
samplings = st.sampled_from(["proportional", "sqrt", "temperature", "uniform"])


@given(sizes, samplings, st.floats(1, 50))
def test_the_shares_are_a_division_of_the_batch(rows, sampling, temperature):
    tasks = Tasks(names=NAMES, sampling=sampling, temperature=temperature)
    shares = [tasks.share_of(name, rows) for name in NAMES]
    assert sum(shares) == pytest.approx(1)
    assert all(share > 0 for share in shares)
    # Larger tasks never get less, and the shares do not depend on the order of the tasks.
    order = sorted(range(3), key=lambda place: rows[NAMES[place]])
    assert [shares[place] for place in order] == sorted(shares)
    turned = Tasks(names=NAMES[::-1], sampling=sampling, temperature=temperature)
    assert [turned.share_of(name, rows) for name in NAMES] == pytest.approx(shares)


@given(sizes, st.floats(1, 20), st.floats(1.01, 3))
def test_a_higher_temperature_never_takes_from_the_smallest_task(rows, temperature, more):
    smallest = min(NAMES, key=lambda name: rows[name])
    cold, warm = (
        Tasks(names=NAMES, sampling="temperature", temperature=t).share_of(smallest, rows)
        for t in (temperature, temperature * more)
    )
    assert warm >= cold * (1 - 1e-12)


def test_the_named_samplings_are_temperatures():
    rows = {"mood": 400, "irony": 100, "hate": 1600}

    def shares(**options):
        return [Tasks(names=NAMES, **options).share_of(name, rows) for name in NAMES]

    assert shares() == pytest.approx([4 / 21, 1 / 21, 16 / 21])
    assert shares(sampling="sqrt") == pytest.approx([2 / 7, 1 / 7, 4 / 7])
    assert shares(sampling="uniform") == pytest.approx([1 / 3] * 3)
    assert shares(sampling="sqrt") == pytest.approx(shares(sampling="temperature", temperature=2))
    assert shares() == pytest.approx(shares(sampling="temperature", temperature=1))


def test_a_stream_of_another_objective_keeps_its_share():
    assert Tasks(names=NAMES).share_of("source", {"source": 5, **dict.fromkeys(NAMES, 1)}) == 1


@given(sizes, samplings, st.sampled_from(["rows", "tasks"]))
def test_weights_add_up_to_one_loss_however_many_tasks_there_are(rows, sampling, count):
    tasks = Tasks(names=NAMES, sampling=sampling, count=count, weight=Ramp(0.0, 2.0))
    weights = {name: tasks.weight_of(name, 0.5, rows) for name in NAMES}
    assert sum(weights.values()) == pytest.approx(1.0)
    if count == "tasks":
        assert weights["mood"] == pytest.approx(1 / 3)
    doubled = Tasks(names=NAMES, sampling=sampling, count=count, weights={"mood": 2.0})
    assert doubled.weight_of("mood", 0.0, rows) == pytest.approx(2 * weights["mood"])
    assert doubled.weight_of("hate", 0.0, rows) == pytest.approx(weights["hate"])


def step_of(counts):
    generator = torch.Generator().manual_seed(0)
    batches, outputs, tasks = {}, {}, {}
    for outputs_count, (name, rows) in enumerate(counts.items(), start=2):
        labels = tuple(f"l{place}" for place in range(outputs_count))
        features = torch.randn(rows, 4, generator=generator)
        # Every head answers for every row; only the task's own may count.
        logits = {
            other: torch.randn(rows, size, generator=generator)
            for size, other in enumerate(counts, start=2)
        }
        batches[name] = {"targets": torch.arange(rows) % outputs_count}
        outputs[name] = Outputs(features, logits, Encoded(features))
        tasks[name] = StreamTask(Classification(labels=labels), name)
    return Step(torch.nn.Identity(), batches, outputs, tasks, 0.0)


def test_the_losses_are_those_of_the_tasks_and_sum_to_the_mean_over_the_batch():
    rows = {"mood": 30, "irony": 10, "hate": 60}
    step = step_of({"mood": 6, "irony": 2, "hate": 12})
    tasks = Tasks(names=NAMES)
    losses = tasks.losses(step, None)
    assert tuple(losses) == NAMES
    each = []
    for name in NAMES:
        logits, targets = step.outputs[name].logits[name], step.batches[name]["targets"]
        each.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
        torch.testing.assert_close(losses[name], each[-1].mean())
    summed = sum(tasks.weight_of(name, 0.0, rows) * loss for name, loss in losses.items())
    torch.testing.assert_close(summed, torch.cat(each).mean())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"weights": {"mood": -1.0}}, "weights"),
        ({"weight": -1.0}, "weight"),
    ],
)
def test_impossible_options_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        Tasks(**options)
