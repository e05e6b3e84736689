"""What is told before a merge."""

import json

import numpy as np
import pytest

from merging.merging_models import family, tuned, write_model
from transfuse.errors import ModelError
from transfuse.merging import METHODS, check


def big(count: int, seed: int = 0, apart: float = 0.1, shape=(200, 200)):
    rng = np.random.default_rng(seed)
    base = {f"model.{i}.w": rng.standard_normal(shape).astype(np.float32) for i in range(3)}
    return [base] + [
        {
            name: (weights + apart * rng.standard_normal(shape)).astype(np.float32)
            for name, weights in base.items()
        }
        for _ in range(count)
    ]


def test_tuned_models_look_alike(tmp_path) -> None:
    base, *models = family(tmp_path, 2)
    found = check(models, base)
    assert found.warnings == ()
    assert len(found.likeness) == 3
    between = found.likeness[0]
    assert between.cosine > 0.9
    assert between.agreement == pytest.approx(0.5, abs=0.15)
    json.dumps(found.to_dict())


def test_models_trained_apart_are_told(tmp_path) -> None:
    first, second = big(0, seed=1)[0], big(0, seed=2)[0]
    # What both have in common to begin with says nothing of an ancestor.
    homes = [
        write_model(tmp_path / str(place), {name: w + 5 for name, w in weights.items()})
        for place, weights in enumerate((first, second))
    ]
    (warning,) = check(homes).warnings
    assert "do not look like models of one ancestor" in warning
    assert str(homes[0]) in warning
    assert str(homes[1]) in warning


def test_a_base_that_is_not_the_ancestor_is_told(tmp_path) -> None:
    base, other = big(1, apart=0.8)
    rng = np.random.default_rng(5)
    homes = [write_model(tmp_path / "base", base)]
    for place in range(2):
        moved = {
            name: (w + 0.05 * rng.standard_normal(w.shape)).astype(np.float32)
            for name, w in other.items()
        }
        homes.append(write_model(tmp_path / str(place), moved))
    (warning,) = check(homes[1:], homes[0]).warnings
    assert "may not be what they were tuned from" in warning


@pytest.mark.parametrize(
    ("size", "least", "most"), [(1e-4, 0.9, 1.0), (1e-3, 0.4, 0.8), (1, 0, 0.01)]
)
def test_changes_that_bfloat16_would_swallow_are_told(size, least, most, tmp_path) -> None:
    base, *models = big(2, apart=size)
    homes = [write_model(tmp_path / str(i), weights) for i, weights in enumerate([base, *models])]
    found = check(homes[1:], homes[0], out_dtype="bfloat16")
    assert least <= found.lost_in_bfloat16 <= most
    told = [warning for warning in found.warnings if "swallow" in warning]
    assert len(told) == (found.lost_in_bfloat16 > 0.1)
    assert not any("swallow" in w for w in check(homes[1:], homes[0]).warnings)


def test_other_vocabularies_are_told(tmp_path) -> None:
    homes = family(tmp_path, 2)
    for place, home in enumerate(homes[1:]):
        vocab = {"model": {"vocab": {"a": 0, "b": place}}, "truncation": place}
        (home / "tokenizer.json").write_text(json.dumps(vocab), encoding="utf-8")
    assert any("another vocabulary" in warning for warning in check(homes[1:]).warnings)
    for home in homes[1:]:
        vocab = {"model": {"vocab": {"a": 0}}, "truncation": str(home)}
        (home / "tokenizer.json").write_text(json.dumps(vocab), encoding="utf-8")
    assert check(homes[1:]).warnings == ()


def test_what_cannot_be_merged_is_an_error(tmp_path) -> None:
    _, first, second = tuned(2)
    second["model.norm.weight"] = np.ones(9, np.float32)
    homes = [write_model(tmp_path / "1", first), write_model(tmp_path / "2", second)]
    with pytest.raises(ModelError, match="has the shape"):
        check(homes)


@pytest.mark.parametrize("name", METHODS)
def test_memory_and_time_are_told(name, tmp_path) -> None:
    base, *models = family(tmp_path, 2)
    method = METHODS[name]()
    found = check(models, base if method.needs_base else None, method=method, threads=2)
    assert 40 << 20 < found.memory < 400 << 20
    assert 0 < found.seconds < 5
