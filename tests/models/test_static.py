"""Static encoders: one vector for each token, and the mean of a text's."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tiny_models import CONFIGS, DECODERS, WORDS
from transfuse.errors import ModelError, RecipeError
from transfuse.models import (
    Engine,
    LinearHead,
    Network,
    StaticEncoder,
    Store,
    distil_static,
    encode,
    load_classifier,
    load_encoder,
    load_network,
    read_inputs,
    save_network,
)
from transfuse.models.distil import zipf_weights
from transfuse.models.principal import principal
from transfuse.models.static import StaticBag
from transfuse.models.tokens import tokenise
from transfuse.tuning import TUNINGS

TEXTS = ["the film was good", "bad", "this book is not very fine and the film was poor"]
LABELS = ("negative", "positive")
DIM = 12


@pytest.fixture(scope="module")
def students(tiny, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    made = {}

    def get(kind="bert", **options):
        key = kind, *sorted(options.items())
        if key not in made:
            teacher = load_encoder(tiny(kind), pooling="mean", max_length=16)
            given = {"dim": DIM, "store": store, "engine": Engine(), "max_length": 16, **options}
            made[key] = distil_static(teacher, **given)
        return copy.deepcopy(made[key])

    return get


def vectors(encoder, texts):
    with torch.no_grad():
        return encoder(encoder.collate(encoder.preprocess(texts))).pooled


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_tokens_vector_is_a_projection_of_the_encoders_for_it_alone(kind, students, tiny):
    student = students(kind, weighting="none")
    teacher = load_encoder(tiny(kind), pooling="mean")
    words = ["the", "film", "was", "good"] if kind not in DECODERS else list("abcdefgh")
    ours = vectors(student, words)
    with torch.no_grad():
        theirs = teacher(teacher.collate(teacher.preprocess(words))).pooled
    # Components of the whole are orthogonal: distances can only shrink.
    assert bool((torch.cdist(ours, ours) <= torch.cdist(theirs, theirs) + 1e-4).all())


def test_with_all_dimensions_distances_are_the_encoders(students, tiny):
    student = students(dim=32, weighting="none")
    teacher = load_encoder(tiny("bert"), pooling="mean")
    ours = vectors(student, WORDS[:12])
    with torch.no_grad():
        theirs = teacher(teacher.collate(teacher.preprocess(WORDS[:12]))).pooled
    torch.testing.assert_close(
        torch.cdist(ours, ours), torch.cdist(theirs, theirs), atol=1e-4, rtol=1e-4
    )


def test_a_text_is_the_mean_of_its_tokens_wherever_they_stand(students):
    student = students()
    (whole,) = vectors(student, ["the film was good"])
    parts = vectors(student, ["the", "film", "was", "good"])
    torch.testing.assert_close(whole, parts.mean(dim=0))
    (turned,) = vectors(student, ["good was film the"])
    torch.testing.assert_close(whole, turned)


def test_a_row_alone_and_among_longer_ones_gets_one_vector(students):
    student = students()
    together = vectors(student, TEXTS)
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(together[row], vectors(student, [text])[0])


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_text_without_tokens_is_zero_and_not_nan(kind, students):
    student = students(kind)
    found = vectors(student, ["", "good", "   "])
    assert found.isfinite().all()
    assert not found[0].any()
    assert found[1].any()
    by_encode = encode(student, ["", "good"], Engine(dtype=torch.bfloat16))
    assert not by_encode[0].any()
    # Without the padding token that stands for it, as plain transformers would call.
    bag = student.backbone
    none = torch.zeros(1, 0, dtype=torch.int64)
    assert not bag(none, none)[0].any()


def test_unknown_words_and_long_texts_will_do(students):
    student = students()
    assert vectors(student, ["zzz \u4f60\u597d"]).isfinite().all()
    assert len(student.preprocess(["good " * 100])[0]) == 16


def test_special_tokens_stand_in_no_row_and_have_no_vector(students):
    student = students()
    assert student.preprocess(["good"])[0].tolist() == [student.tokenizer.vocab["good"]]
    assert not student.backbone.embedding.weight[[0, 2, 3]].any()
    assert student.backbone.embedding.weight[1].any()  # for unknown words


def test_frequent_words_count_less(students):
    plain = students(weighting="none").backbone.embedding.weight
    weighted = students().backbone.embedding.weight
    ratio = (weighted[4:24].norm(dim=1) / plain[4:24].norm(dim=1)).detach().numpy()
    # The token for unknown words has the first rank.
    np.testing.assert_allclose(ratio, zipf_weights(len(WORDS) + 1)[1:21], rtol=1e-4)


@given(st.integers(1, 5000), st.floats(1e-6, 1.0))
def test_zipf_weights_rise_and_invert_to_zipfs_law(words, a):
    weights = zipf_weights(words, a).astype(np.float64)
    assert ((weights > 0) & (weights <= 1)).all()
    assert (np.diff(weights) >= 0).all()
    shares = a / weights - a
    ranks = np.arange(1, words + 1)
    np.testing.assert_allclose(shares[0] / ranks[:5], shares[:5], rtol=1e-2)


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 9))
def test_principal_components_are_uncorrelated_and_lose_the_least(rows, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(rows, 6, generator=generator) * torch.tensor([5.0, 4, 3, 2, 1, 0.5])
    found = principal(vectors, dim)
    assert found.shape == (rows, dim)
    scatter = found.T @ found
    off = scatter - torch.diag(scatter.diagonal())
    assert off.abs().max() <= 1e-4 * max(1.0, float(scatter.max()))
    singular = torch.linalg.svdvals(vectors - vectors.mean(dim=0))
    expected = torch.zeros(dim)
    expected[: len(singular)] = singular[:dim].square()
    torch.testing.assert_close(scatter.diagonal(), expected, atol=1e-3, rtol=1e-3)


def test_more_dimensions_than_the_encoder_has_is_an_error(students):
    with pytest.raises(ModelError, match="40, of an encoder with 32; expected 1 to 32"):
        students(dim=40)


def test_only_the_first_student_of_an_encoder_costs_a_pass(tiny, tmp_path):
    store = Store(tmp_path)
    teacher = load_encoder(tiny("bert"), pooling="mean")
    first = distil_static(teacher, dim=DIM, store=store, engine=Engine())
    computed = store.counts().computed
    assert computed == len(teacher.tokenizer) - 3
    again = distil_static(teacher, dim=DIM, store=store, engine=Engine())
    assert store.counts().computed == computed
    assert again.fingerprint(1) == first.fingerprint(1)


def test_the_fingerprint_knows_weights_and_rules(students):
    student = students()
    prints = {student.fingerprint(1), students(weighting="none").fingerprint(1)}
    with torch.no_grad():
        student.backbone.embedding.weight[5, 0] += 1
    prints.add(student.fingerprint(1))
    assert len(prints) == 3


def test_a_prefix_goes_on_as_if_run_at_once(students):
    student = students()
    batch = student.collate(student.preprocess(TEXTS))
    hidden = {"hidden": student.prefix(batch, 1), "attention_mask": batch["attention_mask"]}
    torch.testing.assert_close(student(hidden, from_layer=1).pooled, student(batch).pooled)
    network = Network.for_text(student, {"label": LinearHead(DIM, 2)})
    assert network.can_resume(1)
    with pytest.raises(ValueError, match="from_layer 1"):
        student(batch, from_layer=1)


def test_fresh_weights_come_from_the_seed_alone(students):
    first, second = students(), students(weighting="none")
    first.reset(1)
    second.reset(1)
    first, second = (each.backbone.embedding.weight for each in (first, second))
    assert torch.equal(first, second)
    assert not first[0].any()


@pytest.mark.parametrize("name", TUNINGS)
def test_every_tuning_trains_it_or_says_why_not(name, students):
    network = Network.for_text(students(), {"label": LinearHead(DIM, 2)})
    tuning = TUNINGS[name]()
    if name in ("lora", "dora", "ia3", "vera", "peft"):
        with pytest.raises(RecipeError, match="adds to a backbone"):
            tuning.prepare(network, 1)
        return
    tuning.prepare(network, 1)
    named = frozenset().union(*(stage.names for stage in tuning.stages(network)))
    assert any(key.startswith("heads") for key in named)
    trains = "encoders.text.backbone.embedding.weight" in named
    assert trains == (name not in ("frozen", "bitfit"))


def test_training_moves_token_vectors_but_never_the_padding(students):
    network = Network.for_text(students(), {"label": LinearHead(DIM, 2)}).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    batch = network.encoder.collate(network.encoder.preprocess([*TEXTS, ""]))
    before = network.encoder.backbone.embedding.weight.detach().clone()
    network(batch).logits["label"].square().sum().backward()
    optimizer.step()
    after = network.encoder.backbone.embedding.weight
    assert not after[0].any()
    assert not torch.equal(before[5], after[5])


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "t5"])
def test_a_folder_comes_back_and_plain_transformers_opens_it(kind, students, tmp_path):
    head = LinearHead(DIM, 2, 0.25, seed=3, labels=LABELS)
    network = Network.for_text(students(kind), {"topic": head}, "review").eval()
    batch = network.encoder.collate(network.encoder.preprocess(TEXTS))
    with torch.no_grad():
        expected = network(batch).logits["topic"]
    save_network(network, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".jinja"}
    again = load_network(tmp_path)
    assert isinstance(again.encoder, StaticEncoder)
    assert list(again.encoders) == ["review"]
    assert again.encoder.fingerprint(1) == network.encoder.fingerprint(1)
    assert again.encoder.max_length == 16
    assert again.heads["topic"].dropout.p == 0.25
    with torch.no_grad():
        torch.testing.assert_close(again(batch).logits["topic"], expected)
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        given = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
        torch.testing.assert_close(model(**given).logits, expected)
        assert model(**given, labels=torch.tensor([0, 1, 0])).loss > 0
    answer = pipeline("text-classification", str(tmp_path), top_k=None)(TEXTS[:1])[0]
    found = {each["label"]: each["score"] for each in answer}
    probabilities = expected.softmax(dim=1)[0].tolist()
    assert [found[label] for label in LABELS] == pytest.approx(probabilities, abs=1e-5)


def test_a_trained_static_student_is_a_source_for_the_next(students, tmp_path):
    head = LinearHead(DIM, 2, labels=LABELS, problem_type="single_label_classification")
    save_network(Network.for_text(students(), {"label": head}), tmp_path)
    kept = load_classifier(tmp_path, LABELS).heads["label"]
    assert torch.equal(kept.classifier.weight, head.classifier.weight)
    fresh = load_classifier(tmp_path, ("a", "b", "c"), dropout=0.3).heads["label"]
    assert (fresh.outputs, fresh.dropout.p) == (3, 0.3)
    with pytest.raises(ModelError, match="static student"):
        load_encoder(tmp_path)


def test_a_static_network_of_another_shape_is_refused(students, tmp_path):
    heads = {"a": LinearHead(DIM, 2), "b": LinearHead(DIM, 2)}
    with pytest.raises(ModelError, match="2 heads on a static encoder"):
        save_network(Network.for_text(students(), heads), tmp_path)


def test_a_bag_and_a_tokenizer_that_do_not_belong_together_are_refused(students):
    student = students()
    with pytest.raises(ModelError, match="belong together"):
        StaticEncoder(StaticBag(5, DIM, 0), student.tokenizer)


@pytest.mark.parametrize("kind", CONFIGS)
def test_tokens_are_those_of_the_tokenizers_own_call(kind, tiny):
    encoder = load_encoder(tiny(kind), max_length=8)
    texts = [*TEXTS, "", "caf\u00e9  zzz", "good " * 50]
    expected = encoder.tokenizer(texts, truncation=True, max_length=8)["input_ids"]
    found = [row.tolist() for row in tokenise(encoder.tokenizer, texts, 8)]
    assert [row for row in found if len(row) > 1] == [row for row in expected if len(row) > 1]
    assert len(read_inputs(encoder, texts)) == len(texts)
