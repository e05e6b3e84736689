"""Merging folders: numbers, types, shards, threads, resuming, and what does not go together."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import transfuse.merging.layout as layout
import transfuse.merging.making as making
import transfuse.merging.streamed as streamed
from merging import merging_models as tiny
from merging.merging_models import CONFIG, family, read_model, tuned, write_model
from transfuse.errors import ModelError
from transfuse.merging import METHODS, Method, merge_folders
from transfuse.merging.linear import Linear
from transfuse.merging.weights import open_weights

OPTIONS: dict[str, dict[str, Any]] = {
    "ties": {"density": 0.3},
    "dare_linear": {"density": 0.3, "rescale": "l1"},
    "dare_ties": {"density": 0.3},
}
NAMES = list(METHODS)


def method(name: str) -> Method:
    return METHODS[name](**OPTIONS.get(name, {}))


def merged(name: str, folders: Sequence[Path], output: Path, **options: Any) -> Path:
    base, *models = folders
    made = method(name)
    models = models[: made.most]
    merge_folders(made, models, output, base=base if made.needs_base else None, **options)
    return output


@pytest.fixture(autouse=True)
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a few thousand weights are several runs and groups."""
    for module in (streamed, making):
        for name, value in (("BLOCK", 1024), ("_GROUP", 4096)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return family(tmp_path_factory.mktemp("family"), 3)


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_does_what_combine_does(name, folders, tmp_path) -> None:
    made = method(name)
    base, *models = tuned(3)
    models = models[: made.most]
    found = read_model(merged(name, folders, tmp_path / "out"))
    assert set(found) == set(base)
    for tensor, weights in found.items():
        start = base[tensor] if made.needs_base else None
        wanted = made.combine(tensor, start, [model[tensor] for model in models])
        np.testing.assert_allclose(weights, wanted, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_are_the_same_whatever_the_way(name, folders, tmp_path) -> None:
    first = read_model(merged(name, folders, tmp_path / "out", threads=1))
    sharded = family(tmp_path / "sharded", 3, shards=3)
    ways = {
        "threads": merged(name, folders, tmp_path / "threads", threads=3),
        "shards": merged(name, sharded, tmp_path / "shards"),
        "output": merged(name, folders, tmp_path / "output", shard_bytes=4000),
    }
    if name != "slerp":
        turned = [folders[0], *folders[:0:-1]]
        ways["order"] = merged(name, turned, tmp_path / "order")
    for way, folder in ways.items():
        found = read_model(folder)
        for tensor, weights in first.items():
            assert weights.tobytes() == found[tensor].tobytes(), (way, tensor)
    whole = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert (tmp_path / "threads" / "model.safetensors").read_bytes() == whole
    assert (tmp_path / "shards" / "model.safetensors").read_bytes() == whole


def test_weights_go_with_their_models(folders, tmp_path) -> None:
    base, *models = folders
    one = METHODS["ties"](weights=(1.0, 2.0, 3.0))
    other = METHODS["ties"](weights=(3.0, 2.0, 1.0))
    merge_folders(one, models, tmp_path / "one", base=base)
    merge_folders(other, models[::-1], tmp_path / "other", base=base)
    first, second = read_model(tmp_path / "one"), read_model(tmp_path / "other")
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_runs_of_another_size_change_no_weight(folders, tmp_path, monkeypatch) -> None:
    first = read_model(merged("dare_ties", folders, tmp_path / "one"))
    monkeypatch.setattr(streamed, "BLOCK", 512)
    second = read_model(merged("dare_ties", folders, tmp_path / "other"))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_ties_can_trim_over_the_whole_model(folders, tmp_path) -> None:
    base, *models = tuned(2)
    # One tensor changes so much that it alone is kept.
    for model in models:
        model["model.embed.weight"] += 10
    homes = [write_model(tmp_path / str(i), w) for i, w in enumerate([base, *models])]
    share = base["model.embed.weight"].size / sum(weights.size for weights in base.values())
    ties = METHODS["ties"](density=share, trim="model")
    merge_folders(ties, homes[1:], tmp_path / "out", base=homes[0])
    found = read_model(tmp_path / "out")
    mean = (models[0]["model.embed.weight"] + models[1]["model.embed.weight"]) / 2
    np.testing.assert_allclose(found["model.embed.weight"], mean, atol=1e-5)
    for name in set(base) - {"model.embed.weight"}:
        np.testing.assert_array_equal(found[name], base[name])


def test_shards_have_an_index_that_transformers_reads(folders, tmp_path) -> None:
    merged("linear", folders, tmp_path / "out", shard_bytes=4000)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    names = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert len(names) > 1
    assert sorted(set(index["weight_map"].values())) == names
    found = read_model(tmp_path / "out")
    assert index["metadata"]["total_size"] == sum(weights.nbytes for weights in found.values())
    assert set(open_weights(tmp_path / "out").tensors) == set(found)


def test_what_lies_beside_the_weights_comes_along(folders, tmp_path) -> None:
    (folders[1] / "transfuse.json").write_text("{}", encoding="utf-8")
    merged("linear", folders, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "merge.json", "model.safetensors", "tokenizer.json"}
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == CONFIG


# Types


def stored(folder: Path, dtype: str, seed: int) -> tuple[Path, np.ndarray]:
    values = np.random.default_rng(seed).standard_normal((40, 9)).astype(np.float32)
    held = {"BF16": tiny.bfloat16, "F16": np.float16, "F64": np.float64, "F32": np.float32}
    raw = held[dtype](values)
    folder.mkdir()
    tiny.write_file(folder / "model.safetensors", {"model.w": (dtype, raw)})
    seen = tiny.from_bfloat16(raw) if dtype == "BF16" else raw.astype(np.float32)
    return folder, seen


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64"])
def test_sums_are_float32_whatever_is_stored(dtype, tmp_path) -> None:
    models = [stored(tmp_path / str(seed), dtype, seed) for seed in range(3)]
    merge_folders(Linear(), [folder for folder, _ in models], tmp_path / "same")
    merge_folders(
        Linear(), [folder for folder, _ in models], tmp_path / "wide", out_dtype="float32"
    )
    wanted = Linear().combine("model.w", None, [values for _, values in models])
    wide = read_model(tmp_path / "wide")["model.w"]
    np.testing.assert_allclose(wide, wanted, atol=1e-6)
    place = open_weights(tmp_path / "same").tensors["model.w"]
    assert place.dtype == dtype
    raw = np.fromfile(
        place.file,
        dtype={"BF16": "<u2", "F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype],
        offset=place.start,
    )
    narrow = tiny.bfloat16(wide) if dtype == "BF16" else wide.astype(raw.dtype)
    np.testing.assert_array_equal(raw, narrow.reshape(-1))


def test_bfloat16_rounds_to_even_and_keeps_what_is_not_finite(tmp_path) -> None:
    odd = [0x3F808000, 0x3F818000, 0x3F808001, 0x3F817FFF, 0x7F7FFFFF, 0x80000000]
    special = [0x7F800000, 0xFF800000, 0x7F800001, 0xFFFFFFFF]
    bits = np.array(odd + special, np.uint32)
    (tmp_path / "in").mkdir()
    values = {"w": ("F32", bits.view(np.float32))}
    tiny.write_file(tmp_path / "in" / "model.safetensors", values)
    report = merge_folders(Linear(), [tmp_path / "in"], tmp_path / "out", out_dtype="bfloat16")
    place = open_weights(tmp_path / "out").tensors["w"]
    found = np.fromfile(place.file, "<u2", offset=place.start)
    assert found[:8].tolist() == [0x3F80, 0x3F82, 0x3F81, 0x3F81, 0x7F80, 0x8000, 0x7F80, 0xFF80]
    assert np.isnan(tiny.from_bfloat16(found[8:])).all()
    assert any("not all weights are finite in w" in note for note in report.notes)


def test_too_large_for_float16_is_an_error(tmp_path) -> None:
    write_model(tmp_path / "in", {"w": np.full((3, 3), 1e5, np.float32)})
    with pytest.raises(ModelError, match="too large for float16"):
        merge_folders(Linear(), [tmp_path / "in"], tmp_path / "out", out_dtype="float16")


def test_the_config_says_the_new_type(tmp_path) -> None:
    home = write_model(tmp_path / "in", tuned(0)[0], config={**CONFIG, "dtype": "float32"})
    merge_folders(Linear(), [home], tmp_path / "out", out_dtype="bfloat16")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


# Buffers, ties and heads


def test_statistics_and_integers_come_from_the_base(tmp_path) -> None:
    homes = []
    for place in range(3):
        weights = {
            "model.w": np.full((4, 4), float(place), np.float32),
            "model.bn.running_var": np.full(4, 1.0 + place, np.float32),
            "model.bn.num_batches_tracked": np.array(place),
            "model.mask": np.array([place % 2 == 0, True]),
            "model.position_ids": np.arange(4),
        }
        homes.append(write_model(tmp_path / str(place), weights))
    method = METHODS["task_arithmetic"](scale=-3.0)
    report = merge_folders(method, homes[1:], tmp_path / "out", base=homes[0])
    found = read_model(tmp_path / "out")
    np.testing.assert_array_equal(found["model.bn.running_var"], np.ones(4))
    assert found["model.bn.num_batches_tracked"] == 0
    assert found["model.mask"].tolist() == [True, True]
    told = " ".join(report.notes)
    assert "running_var" in told
    assert "position_ids" not in told
    assert "estimate them anew" in told


@pytest.mark.parametrize("name", ["linear", "dare_ties"])
def test_tied_weights_stay_tied(name, tmp_path) -> None:
    homes = []
    for place, weights in enumerate(tuned(3)):
        weights["head.weight"] = weights["model.embed.weight"].copy()
        homes.append(write_model(tmp_path / str(place), weights))
    found = read_model(merged(name, homes, tmp_path / "out"))
    np.testing.assert_array_equal(found["head.weight"], found["model.embed.weight"])


def test_a_copy_of_a_tied_weight_may_be_missing(tmp_path) -> None:
    _, first, second = tuned(2)
    first["head.weight"] = first["model.embed.weight"].copy()
    homes = [write_model(tmp_path / "1", first), write_model(tmp_path / "2", second)]
    report = merge_folders(Linear(), homes, tmp_path / "out")
    assert set(read_model(tmp_path / "out")) == set(second)
    assert any("repeats a tied weight" in note for note in report.notes)


def labelled(folder: Path, labels: Sequence[str], weights: dict[str, np.ndarray]) -> Path:
    config = {**CONFIG, "id2label": {str(place): label for place, label in enumerate(labels)}}
    return write_model(folder, weights, config=config)


def test_heads_are_matched_by_the_names_of_their_labels(tmp_path) -> None:
    _, first, second = tuned(2)
    first |= {
        "classifier.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "classifier.bias": np.array([1, 2], np.float32),
    }
    second |= {
        "classifier.weight": -np.arange(9, dtype=np.float32).reshape(3, 3),
        "classifier.bias": np.array([10, 20, 30], np.float32),
    }
    homes = [
        labelled(tmp_path / "1", ["bad", "good"], first),
        labelled(tmp_path / "2", ["good", "odd", "fine"], second),
    ]
    report = merge_folders(Linear(), homes, tmp_path / "out")
    found = read_model(tmp_path / "out")
    np.testing.assert_array_equal(found["classifier.bias"], [1, 6, 20, 30])
    np.testing.assert_array_equal(
        found["classifier.weight"], [[0, 1, 2], [1.5, 1.5, 1.5], [-3, -4, -5], [-6, -7, -8]]
    )
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good", "2": "odd", "3": "fine"}
    assert config["label2id"]["fine"] == 3
    assert any("other labels" in note for note in report.notes)
    trunk = (first["model.embed.weight"] + second["model.embed.weight"]) / 2
    np.testing.assert_allclose(found["model.embed.weight"], trunk, atol=1e-6)


def test_the_same_labels_in_another_order_are_not_averaged_by_position(tmp_path) -> None:
    _, first, _ = tuned(2)
    turned = {**first, "classifier.weight": first["classifier.weight"][::-1].copy()}
    turned["classifier.bias"] = first["classifier.bias"][::-1].copy()
    homes = [
        labelled(tmp_path / "1", ["bad", "good"], first),
        labelled(tmp_path / "2", ["good", "bad"], turned),
    ]
    merge_folders(Linear(), homes, tmp_path / "out")
    found = read_model(tmp_path / "out")
    np.testing.assert_array_equal(found["classifier.weight"], first["classifier.weight"])


def test_a_base_without_head_and_prefix_is_understood(tmp_path) -> None:
    base, first, second = tuned(2)
    plain = {
        name.removeprefix("model."): weights
        for name, weights in base.items()
        if name.startswith("model.")
    }
    plain["lm.weight"] = np.ones((2, 2), np.float32)
    start = write_model(tmp_path / "base", plain, config={"model_type": "tiny"})
    homes = [write_model(tmp_path / "1", first), write_model(tmp_path / "2", second)]
    method = METHODS["task_arithmetic"](scale=0.5)
    report = merge_folders(method, homes, tmp_path / "out", base=start)
    found = read_model(tmp_path / "out")
    assert set(found) == set(first)
    for name in found:
        np.testing.assert_allclose(found[name], (first[name] + second[name]) / 2, atol=1e-6)
    told = " ".join(report.notes)
    assert "the base lacks classifier.bias, classifier.weight: averaged" in told
    assert "lm.weight of the base is in no model" in told


# What does not go together


def test_other_shapes_and_names_are_all_said_at_once(tmp_path) -> None:
    _, first, second = tuned(2)
    second["model.norm.weight"] = np.ones(8, np.float32)
    del second["model.layer.0.bias"]
    homes = [write_model(tmp_path / "1", first), write_model(tmp_path / "2", second)]
    with pytest.raises(ModelError) as caught:
        merge_folders(Linear(), homes, tmp_path / "out")
    text = str(caught.value)
    assert "model.layer.0.bias" in text
    assert "model.norm.weight has the shape [8]" in text
    assert not (tmp_path / "out").exists()


def test_another_architecture_is_an_error(tmp_path) -> None:
    _, first, second = tuned(2)
    homes = [
        write_model(tmp_path / "1", first),
        write_model(tmp_path / "2", second, config={**CONFIG, "model_type": "other"}),
    ]
    with pytest.raises(ModelError, match="its model_type is 'other'"):
        merge_folders(Linear(), homes, tmp_path / "out")


def test_a_base_of_something_else_is_an_error(folders, tmp_path) -> None:
    other = write_model(tmp_path / "other", {"model.norm.weight": np.ones(7, np.float32)})
    with pytest.raises(ModelError, match="of the weights"):
        merge_folders(method("ties"), folders[1:], tmp_path / "out", base=other)


def test_pickled_and_damaged_folders_are_told(folders, tmp_path) -> None:
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="no safetensors weights"):
        open_weights(tmp_path / "pickled")
    (tmp_path / "cut").mkdir()
    whole = (folders[0] / "model.safetensors").read_bytes()
    for content in (b"", whole[:100], whole[:-10], b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"):
        (tmp_path / "cut" / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.safetensors"):
            open_weights(tmp_path / "cut")


def test_a_disk_without_room_is_told(folders, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ModelError, match="has room for 1,000 bytes"):
        merged("linear", folders, tmp_path / "out")


def test_a_folder_with_another_model_is_left_alone(folders, tmp_path) -> None:
    merged("linear", folders, tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="holds another model"):
        merged("ties", folders, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


# Going on


def test_what_was_done_before_is_not_done_again(folders, tmp_path) -> None:
    merged("linear", folders, tmp_path / "out")
    time = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    report = merge_folders(method("linear"), folders[1:], tmp_path / "out")
    assert report.resumed
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == time


def test_models_with_other_settings_are_another_merge(folders, tmp_path) -> None:
    models = [shutil.copytree(folder, tmp_path / folder.name) for folder in folders[1:]]
    merge_folders(method("linear"), models, tmp_path / "out")
    config = json.loads((models[0] / "config.json").read_text(encoding="utf-8"))
    (models[0] / "config.json").write_text(json.dumps(config | {"note": "new"}), encoding="utf-8")
    with pytest.raises(ModelError, match="holds another model"):
        merge_folders(method("linear"), models, tmp_path / "out")


@pytest.mark.parametrize("name", ["ties", "dare_ties"])
def test_a_merge_goes_on_where_it_was_stopped(name, folders, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(making, "_SYNCED_EVERY", 0.0)
    whole = merged(name, folders, tmp_path / "whole")

    def stop(what: str, done: int, total: int) -> None:
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merged(name, folders, tmp_path / "out", tell=stop)
    assert not (tmp_path / "out" / "model.safetensors").exists()
    seen = []
    report = merge_folders(
        method(name),
        folders[1:],
        tmp_path / "out",
        base=folders[0],
        tell=lambda what, done, total: seen.append(done),
    )
    assert report.resumed
    assert min(seen) > 3
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "out" / file).read_bytes() == (whole / file).read_bytes()
    assert not list((tmp_path / "out").glob("*.partial"))


KILLED = """
import os, sys
from pathlib import Path
import transfuse.merging.making as making
from transfuse.merging import METHODS, merge_folders

making._GROUP, making._SYNCED_EVERY = 4096, 0.0
base, first, second, out = map(Path, sys.argv[1:])
die = lambda what, done, total: os.kill(os.getpid(), 9) if done >= 3 else None
merge_folders(METHODS["ties"](density=0.3), [first, second], out, base=base, tell=die)
"""


def test_a_killed_merge_goes_on(folders, tmp_path) -> None:
    words = [sys.executable, "-c", KILLED, *map(str, folders[:3]), str(tmp_path / "out")]
    assert subprocess.run(words, check=False).returncode == -9
    assert list((tmp_path / "out").glob("*.partial"))
    merged("ties", folders[:3], tmp_path / "out")
    found = read_model(tmp_path / "out")
    wanted = read_model(merged("ties", folders[:3], tmp_path / "wanted"))
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)
    assert not list((tmp_path / "out").glob("*.partial"))


@pytest.mark.parametrize(
    ("shard_bytes", "where", "name"),
    [(5_000_000_000, making.Journal, "end"), (2_000, layout, "write_whole")],
)
def test_a_merge_that_was_stopped_while_it_named_its_files_goes_on(
    shard_bytes, where, name, folders, tmp_path, monkeypatch
) -> None:
    whole = merged("ties", folders, tmp_path / "whole", shard_bytes=shard_bytes)

    def stop(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, name, stop)
        with pytest.raises(KeyboardInterrupt):
            merged("ties", folders, tmp_path / "out", shard_bytes=shard_bytes)
    assert list((tmp_path / "out").glob("*.safetensors"))
    merged("ties", folders, tmp_path / "out", shard_bytes=shard_bytes)
    found, wanted = read_model(tmp_path / "out"), read_model(whole)
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)
    assert not list((tmp_path / "out").glob("*.partial"))


def test_half_of_another_merge_is_not_gone_on_with(folders, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(making, "_SYNCED_EVERY", 0.0)

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merged("ties", folders, tmp_path / "out", tell=stop)
    report = merge_folders(Linear(), folders[1:], tmp_path / "out")
    assert not report.resumed
    wanted = read_model(merged("linear", folders, tmp_path / "wanted"))
    found = read_model(tmp_path / "out")
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)


def test_an_error_in_a_thread_ends_the_merge(folders, tmp_path) -> None:
    @dataclass(frozen=True)
    class Broken(Linear):
        def mix(self, piece, found, out) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        merge_folders(Broken(), folders[1:], tmp_path / "out", threads=2)


# Methods that see whole tensors


@dataclass(frozen=True)
class Largest(Method):
    """The largest row norm wins: nothing that a run could tell."""

    needs_base: ClassVar[bool] = True

    def combine(self, name, base, models):
        norms = [np.linalg.norm(model - base) for model in models]
        return models[int(np.argmax(norms))]


def test_a_method_may_see_whole_tensors(folders, tmp_path) -> None:
    base, *models = tuned(3)
    merge_folders(Largest(), folders[1:], tmp_path / "out", base=folders[0])
    for name, weights in read_model(tmp_path / "out").items():
        wanted = Largest().combine(name, base[name], [model[name] for model in models])
        np.testing.assert_array_equal(weights, wanted)


def test_importing_the_engine_costs_little() -> None:
    heavy = ("torch", "transformers", "pandas", "datasets", "sklearn", "scipy", "pydantic")
    code = f"""
import sys, transfuse.merging
print(*[name for name in {heavy} if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
