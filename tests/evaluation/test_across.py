"""The mean over several tasks: its value, its interval, its gains."""

import numpy as np
import pytest

from transfuse.evaluation import METRICS, Bootstrap, mean_replicates

SIZES = (400, 200)


def bootstraps(seeds, replicates=2000):
    parts = [
        Bootstrap(range(rows), seeds, replicates, seed=place + 1)
        for place, rows in enumerate(SIZES)
    ]
    every = [f"{place}/{row}" for place, rows in enumerate(SIZES) for row in range(rows)]
    return parts, Bootstrap(every, seeds, replicates)


def right(shares, seeds, classes, rng):
    """Predictions of which such a share is right, and the labels."""
    labels = [rng.integers(c, size=rows) for c, rows in zip(classes, SIZES, strict=True)]
    made = []
    for place, true in enumerate(labels):
        said = np.tile(true, (seeds, 1))
        wrong = rng.random(said.shape) > shares[place]
        said[wrong] = (said[wrong] + 1) % classes[place]
        made.append(np.eye(classes[place])[said])
    return made, labels


def mean_of(parts, predictions, labels, metric="accuracy"):
    return mean_replicates(
        [
            part.replicates(METRICS[metric], said, true)
            for part, said, true in zip(parts, predictions, labels, strict=True)
        ]
    )


def test_every_task_counts_the_same_however_many_rows_it_has():
    rng = np.random.default_rng(0)
    said, labels = right((0.9, 0.5), 3, (3, 5), rng)
    parts, every = bootstraps(3)
    found = every.interval(mean_of(parts, said, labels, "macro_f1"))
    each = [
        part.interval(part.replicates(METRICS["macro_f1"], s, y)).value
        for part, s, y in zip(parts, said, labels, strict=True)
    ]
    assert found.value == pytest.approx(np.mean(each))
    assert found.low < found.value < found.high


def test_the_interval_is_as_wide_as_independent_test_sets_make_it():
    rng = np.random.default_rng(1)
    said, labels = right((0.8, 0.8), 1, (2, 2), rng)
    parts, every = bootstraps(1, 4000)
    found = every.interval(mean_of(parts, said, labels))
    shares = [np.mean(s[0].argmax(1) == y) for s, y in zip(said, labels, strict=True)]
    variances = [p * (1 - p) / rows for p, rows in zip(shares, SIZES, strict=True)]
    expected = 1.96 * np.sqrt(sum(variances)) / 2
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.1)


def test_a_gain_on_one_task_and_a_loss_on_another_cancel():
    rng = np.random.default_rng(2)
    up, labels = right((0.9, 0.7), 3, (2, 2), rng)
    down = [
        np.eye(2)[np.where(rng.random((3, rows)) < share, true, 1 - true)]
        for share, true, rows in zip((0.7, 0.9), labels, SIZES, strict=True)
    ]
    parts, every = bootstraps(3)
    gain = every.gain(mean_of(parts, up, labels), mean_of(parts, down, labels))
    assert gain.low < 0 < gain.high
    assert abs(gain.value) < 0.05
    first = parts[0].gain(
        *(parts[0].replicates(METRICS["accuracy"], each[0], labels[0]) for each in (up, down))
    )
    assert first.low > 0
    same = mean_of(parts, up, labels)
    assert every.gain(same, same).p == 1


def test_means_of_unlike_things_are_refused():
    rng = np.random.default_rng(3)
    said, labels = right((0.9, 0.9), 2, (2, 2), rng)
    parts, _ = bootstraps(2, 100)
    accuracy = parts[0].replicates(METRICS["accuracy"], said[0], labels[0])
    loss = parts[1].replicates(METRICS["log_loss"], np.clip(said[1], 0.1, 0.9), labels[1])
    fewer = parts[1].replicates(METRICS["accuracy"], said[1][:1], labels[1])
    for other in (loss, fewer):
        with pytest.raises(ValueError, match="one metric and one number of seeds"):
            mean_replicates([accuracy, other])
