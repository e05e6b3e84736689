"""Label names as the classes' places: the closed form, unseen classes, cross-modal teachers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from joined_models import picture, tiny_image
from pair_models import COLOURS
from transfuse.balancing import Fixed
from transfuse.data.images import Pictures
from transfuse.errors import RecipeError
from transfuse.models import Engine, Inference, LinearHead, Network, Store, read_inputs
from transfuse.models.feed import Feeds
from transfuse.objectives import OBJECTIVES, Question, StreamTask
from transfuse.objectives.names import named_head
from transfuse.recipe import build
from transfuse.tasks import Classification
from transfuse.training import Job, StreamData, Training, fit
from transfuse.training.teachers import answer, open_teacher
from transfuse.tuning import TUNINGS

Tiny = Callable[..., Path]
TASK = Classification(labels=tuple(COLOURS))


def test_classes_without_rows_are_known_by_their_names() -> None:
    rng = np.random.default_rng(0)
    places = rng.normal(size=(12, 10))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    mixing = rng.normal(size=(10, 20))
    targets = np.repeat(np.arange(12), 30)
    features = places[targets] @ mixing + 0.1 * rng.normal(size=(len(targets), 20)) + 5
    seen = targets < 9
    weight, bias = named_head(features[seen], targets[seen], places, 0.01)
    answers = (features @ weight.T + bias).argmax(1)
    assert (answers[seen] == targets[seen]).mean() > 0.95
    # At chance it would be one in twelve.
    assert (answers[~seen] == targets[~seen]).mean() > 0.5


def test_the_order_of_rows_and_of_classes_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    features, places = rng.normal(size=(40, 5)), rng.normal(size=(4, 3))
    targets = rng.integers(0, 4, 40)
    weight, bias = named_head(features, targets, places, 1.0)
    rows, classes = rng.permutation(40), rng.permutation(4)
    renamed = np.argsort(classes)
    moved = named_head(features[rows], renamed[targets[rows]], places[classes], 1.0)
    assert np.allclose(moved[0], weight[classes])
    assert np.allclose(moved[1], bias[classes])


def image_network() -> Network:
    encoder = tiny_image()
    head = LinearHead(encoder.dim, len(COLOURS), labels=TASK.labels)
    return Network({"image": encoder}, {"target": head}).eval()


def image_job(network: Network, learn: object, tune: str, store: Path, **data: object) -> Job:
    tuning = build(TUNINGS, tune, "tune")
    tuning.prepare(network, 1)
    inputs = read_inputs(network.encoder, coloured())
    return Job(
        network=network,
        stages=tuning.stages(network),
        objectives=(build(OBJECTIVES, learn, "learn"),),
        balancer=Fixed(),
        options=Training(epochs=30, batch_size=16, checkpoint_seconds=1e9, warmup=0.0),
        streams={"target": StreamData(inputs, np.tile(np.arange(len(COLOURS)), 2), **data)},  # type: ignore[arg-type]
        tasks={"target": StreamTask(TASK, "target")},
        seed=3,
        engine=Engine(),
        encode_engine=Engine(),
        store=Store(store),
        fingerprint="names",
    )


def coloured() -> Pictures:
    return Pictures.of([picture(*colour) for colour in COLOURS.values()] * 2)


@pytest.mark.parametrize("tune", ["frozen", "full"])
def test_pictures_are_classified_by_the_names(tune: str, tiny: Tiny, tmp_path: Path) -> None:
    network = image_network()
    learn = {"names": {"teacher": str(tiny("bert")), "template": "{}", "penalty": 0.001}}
    fit(image_job(network, learn, tune, tmp_path))
    feed = Feeds(network).feed(read_inputs(network.encoder, coloured()))
    answers = Inference(network).logits(feed, "target").argmax(1).numpy()
    assert (answers == np.tile(np.arange(len(COLOURS)), 2)).mean() >= 0.75


def test_a_text_encoder_teaches_a_picture_encoder_by_captions(tiny: Tiny, tmp_path: Path) -> None:
    """The student sees pictures, the teacher the captions of the same rows."""
    network = image_network()
    teacher = open_teacher(str(tiny("bert")))
    question = Question("target", str(tiny("bert")), "features")
    inputs = read_inputs(network.encoder, coloured())
    store = Store(tmp_path / "teacher")

    def rows(roles: object) -> list[str]:
        assert roles == teacher.encoder.reads
        return list(COLOURS) * 2

    task = StreamTask(TASK, "target")
    said = answer(question, teacher, task, (network.encoder, inputs), rows, store, Engine())
    learn = {
        "embed": {"teacher": str(tiny("bert")), "stream": "target", "start": "random"},
    }
    job = image_job(network, learn, "full", tmp_path, answers={question.name: said})
    before = network.encoder.fingerprint(network.encoder.depth)
    fitted = fit(job)
    assert fitted.steps > 0
    assert network.encoder.fingerprint(network.encoder.depth) != before


def test_descriptions_of_no_class_are_refused() -> None:
    names = build(OBJECTIVES, {"names": {"descriptions": {"badd": "x"}}}, "learn")
    with pytest.raises(RecipeError, match="bad"):
        names.texts(("bad", "good"))  # type: ignore[attr-defined]
    for wrong in ({"template": "no place"}, {"scale": 0}, {"penalty": -1.0}):
        with pytest.raises(RecipeError):
            build(OBJECTIVES, {"names": wrong}, "learn")


def test_the_text_of_a_class_is_its_name_or_what_was_said() -> None:
    names = build(OBJECTIVES, {"names": {"descriptions": {"b": ("x", "y")}}}, "learn")
    said = names.texts(("a_b", "b"))  # type: ignore[attr-defined]
    assert said == [("A photo of a b.",), ("x", "y")]
