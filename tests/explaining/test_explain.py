"""Explanations: planted words are found, integrals close, places are those of the text."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from opened_models import LABELS, linear, opened, tiny_network

from transfuse.answering import Answerer, ClassicalModel, Tfidf
from transfuse.errors import ModelError
from transfuse.explaining import Explanation, explain, explain_many
from transfuse.explaining.explain import METHODS, Method
from transfuse.tasks import Classification, MultiLabel, Regression
from transfuse.transfer.classical import fit_classical

WEIGHTS = {"charm": 2.0, "broke": -3.0, "👍🏽": 1.0, "很好": 1.5}
TEXT = "the film was good and very fine but so poor"


class Linear(Answerer):
    """Answers whose log-odds are sums over words."""

    parameters = 0  # type: ignore[assignment]

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.asked.append(list(texts))
        return linear(texts, WEIGHTS)

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, open_member: object) -> "Linear":
        raise NotImplementedError


@pytest.fixture(scope="module")
def words() -> ClassicalModel:
    """TF-IDF on rows in which one word decides and the others are noise."""
    rng = np.random.default_rng(0)
    noise = [f"noise{number}" for number in range(12)]
    labels = rng.integers(0, 2, 200)
    texts = [
        " ".join([*rng.choice(noise, 6), ("charm" if label else "broke"), *rng.choice(noise, 3)])
        for label in labels
    ]
    options = Tfidf(words=1, strength=1.0)
    return fit_classical(
        options, Classification(labels=("bad", "good")), texts, labels, np.ones(200), None, 0
    )


def two() -> Classification:
    return Classification(labels=("bad", "good"))


def check_places(found: Explanation) -> None:
    for token in found.tokens:
        assert found.text[token.start : token.end] == token.text
    edges = [edge for token in found.tokens for edge in (token.start, token.end)]
    assert edges == sorted(edges)


def test_occlusion_finds_the_planted_word(words: ClassicalModel) -> None:
    model = opened(words, two())
    for word, label in (("charm", "good"), ("broke", "bad")):
        found = explain(model, f"noise1 noise5, noise3 {word}! noise2")
        assert found.label == label
        assert found.strongest(1)[0].text == word
        assert found.strongest(1)[0].weight > 3 * abs(found.strongest(2)[1].weight)
        check_places(found)
    against = explain(model, "noise1 charm", label="bad")
    assert against.strongest(1)[0].weight < 0
    assert against.probability is not None
    assert against.probability < 0.5


def test_occlusion_of_a_linear_model_gives_its_weights() -> None:
    answerer = Linear()
    found = explain(opened(answerer, two()), "it broke 👍🏽  such charm", label="good")
    assert {token.text: round(token.weight, 6) for token in found.tokens} == {
        "it": 0.0,
        "broke": -3.0,
        "👍🏽": 1.0,
        "such": 0.0,
        "charm": 2.0,
    }
    assert found.gap < 1e-9
    assert found.score == pytest.approx(0.0)
    assert found.baseline == pytest.approx(0.0)
    # One call, whatever the number of words.
    assert len(answerer.asked) == 1


def test_places_round_trip_with_emoji_and_chinese(tiny: Callable[..., Path]) -> None:
    text = " 屏幕很好👍🏽,  it’s a charm\u200b…\n不 喜欢\u3000very good"
    for model, method in (
        (opened(Linear(), two()), "occlusion"),
        (opened(tiny_network(tiny, "bert")), "integrated_gradients"),
        (opened(tiny_network(tiny, "gpt2")), "integrated_gradients"),
    ):
        found = explain(model, text, method=method)  # type: ignore[arg-type]
        check_places(found)
        assert "".join(token.text for token in found.tokens) == "".join(text.split())
        assert "👍🏽" in [token.text for token in found.tokens]


def test_words_that_a_word_held_apart_are_not_run_together() -> None:
    answerer = Linear()
    explain(opened(answerer, two()), "good!bad 屏幕很好")
    (asked,) = answerer.asked
    assert "good bad 屏幕很好" in asked
    assert "good!bad 很好" in asked
    assert "good!bad 屏幕好" in asked


def test_long_texts_are_explained_in_parts() -> None:
    answerer = Linear()
    text = " ".join(["word"] * 700 + ["charm"] + ["word"] * 300)
    found = explain(opened(answerer, two()), text, label="good")
    assert len(found.tokens) == 256
    assert "charm" in found.strongest(1)[0].text
    assert len(answerer.asked[0]) == 258
    check_places(found)


KINDS = ("bert", "roberta", "albert", "distilbert", "deberta-v2", "modernbert", "gpt2", "static",
         "bert own head", "gpt2 own head")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_gradients_close(tiny: Callable[..., Path], kind: str) -> None:
    model = opened(tiny_network(tiny, kind), temperature=1.7)
    found = explain(model, TEXT, method="integrated_gradients", tolerance=0.02)
    assert found.gap <= 0.02
    assert not found.note
    assert sum(token.weight for token in found.tokens) == pytest.approx(
        found.score - found.baseline,
        abs=0.02 * max(abs(found.score - found.baseline), *(abs(t.weight) for t in found.tokens)),
    )
    # The score is that of the model's own answer, calibration included.
    (share,) = model.scores([TEXT])[:, model.task.label_names.index(found.label)]
    assert found.probability == pytest.approx(share, abs=1e-5)
    assert found.score == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
    assert [token.text for token in found.tokens] == TEXT.split()


def test_a_bag_of_vectors_is_explained_exactly(tiny: Callable[..., Path]) -> None:
    """Its two-class log-odds are linear in the vectors, so every way must agree."""
    network = tiny_network(tiny, "static", outputs=2)
    model = opened(network, two())
    found = explain(model, "good film bad", label="good", method="integrated_gradients")
    head, bag = network.heads["target"].classifier, network.encoder.backbone
    ids = network.encoder.tokenizer(["good", "film", "bad"], add_special_tokens=False)["input_ids"]
    vectors = bag.embedding.weight[torch.tensor(ids)[:, 0]]
    expected = (vectors @ (head.weight[1] - head.weight[0])) / 3
    assert [token.weight for token in found.tokens] == pytest.approx(expected.tolist(), abs=1e-5)
    assert found.gap < 1e-5


def test_points_are_doubled_and_an_open_integral_is_told(tiny: Callable[..., Path]) -> None:
    model = opened(tiny_network(tiny, "bert"))
    few = explain(model, TEXT, method="integrated_gradients", steps=1, tolerance=0.02)
    assert few.steps in (2, 4, 8, 16, 32)
    assert few.gap <= 0.02 or few.note
    none = explain(model, TEXT, method="integrated_gradients", steps=1, tolerance=1e-12)
    assert none.steps == 32
    assert "did not close" in none.note


def test_the_network_is_left_as_it_was(tiny: Callable[..., Path]) -> None:
    network = tiny_network(tiny, "bert")
    model = opened(network)
    before = model.scores([TEXT])
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        explain(model, TEXT, method="integrated_gradients", steps=4)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert np.array_equal(model.scores([TEXT]), before)


def test_numbers_and_several_labels(tiny: Callable[..., Path]) -> None:
    number = opened(tiny_network(tiny, "bert", 1), Regression(mean=3.0, deviation=2.0))
    several = opened(tiny_network(tiny, "bert"), MultiLabel(labels=LABELS))
    for method in ("occlusion", "integrated_gradients"):
        found = explain(number, TEXT, method=method)  # type: ignore[arg-type]
        assert found.label == "value"
        assert found.probability is None
        assert found.score == pytest.approx(number.scores([TEXT])[0, 0], abs=1e-4)
        one = explain(several, TEXT, label="neutral", method=method)  # type: ignore[arg-type]
        assert one.probability == pytest.approx(several.scores([TEXT])[0, 2], abs=1e-4)


def test_what_is_surely_not_so_has_a_probability_of_0(tiny: Callable[..., Path]) -> None:
    model = opened(tiny_network(tiny, "bert"), temperature=1e-5)
    least = LABELS[int(model.scores([TEXT])[0].argmin())]
    found = explain(model, TEXT, label=least, method="integrated_gradients", steps=4)
    assert found.score < -800
    assert found.probability == 0


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients"])
def test_texts_without_words(tiny: Callable[..., Path], method: str) -> None:
    for kind in ("bert", "gpt2", "static"):
        for text in ("", "  \n"):
            found = explain(opened(tiny_network(tiny, kind)), text, method=method)  # type: ignore[arg-type]
            assert found.tokens == ()
            assert found.gap == 0.0


def test_what_cannot_be_explained_is_named(words: ClassicalModel) -> None:
    model = opened(words, two())
    with pytest.raises(ModelError, match=r"no label 'god'.*Did you mean 'good'"):
        explain(model, "a", label="god")
    with pytest.raises(ModelError, match="occlusion"):
        explain(model, "a", method="integrated_gradients")
    with pytest.raises(ValueError, match="one of occlusion"):
        explain(model, "a", method="lime")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps"):
        explain(model, "a", steps=0)


def test_many_texts_tell_of_their_progress(words: ClassicalModel) -> None:
    told: list[tuple[str, int, int]] = []
    found = explain_many(
        opened(words, two()),
        ["charm", "broke"],
        tell=lambda what, done, total: told.append((what, done, total)),
    )
    assert [one.label for one in found] == ["good", "bad"]
    assert told == [("explaining", 1, 2), ("explaining", 2, 2)]
    assert found[0].to_dict()["tokens"][0]["text"] == "charm"


@pytest.mark.parametrize("method", METHODS)
def test_an_explanation_ends_with_its_time(method: Method, tiny: Callable[..., Path]) -> None:
    model = opened(tiny_network(tiny, "bert"))
    with pytest.raises(ModelError, match="takes more than 1e-09 seconds"):
        explain(model, "so fine and good a film", method=method, seconds=1e-9)
    slow = explain(model, "so fine and good a film", method=method, seconds=100)
    plain = explain(model, "so fine and good a film", method=method)
    assert [each.text for each in slow.tokens] == [each.text for each in plain.tokens]
    np.testing.assert_allclose(
        [each.weight for each in slow.tokens], [each.weight for each in plain.tokens], atol=1e-4
    )
