"""What every registered tuning, objective and balancer promises, tried on a tiny encoder."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiny_pictures import photos, tiny_encoder
from transfuse.balancing import BALANCERS
from transfuse.data import Role
from transfuse.errors import RecipeError
from transfuse.fusion.merges import has_batch_norm
from transfuse.models import (
    Answers,
    Engine,
    Head,
    Inputs,
    LinearHead,
    Network,
    Store,
    load_classifier,
    prefix_features,
    read_inputs,
)
from transfuse.objectives import OBJECTIVES, Question, StreamTask, rows_of
from transfuse.recipe import build, describe, spec_of
from transfuse.tasks import Classification
from transfuse.training import Job, StreamData, Training, fit
from transfuse.training.step import streams_of
from transfuse.tuning import TUNINGS, Scratch, Tuning

_OPTIONS: dict[str, dict[str, Any]] = {"vera": {"rank": 4}, "peft": {"method": "lora"}}
_TAUGHT = ("co_tuning", "distil", "dkd", "hidden", "relations", "rkd", "embed")
_LEARN: dict[str, dict[str, Any]] = {name: {"teacher": "somebody"} for name in _TAUGHT}
"""Options of objectives that cannot do without."""

_OF_PAIRS = ("clip", "siglip", "vse", "cca")
"""They compare two columns, and are tried in `objectives/test_pairing.py`."""

_ALONE = [name for name in OBJECTIVES if name not in _OF_PAIRS]

_BALANCE = {"gls": {"shift": 2.0}, "famo": {"shift": 2.0}}
"""Both take logarithms, and some losses may be 0 or less."""

_ENCODERS = ("bert", "distilbert", "gpt2")
_TEXTS = ["this is a good film", "a bad book", "it was fine", "so poor", "very good", "the bad"] * 3
_TASK = Classification(labels=("bad", "good"))


def _network(tiny: Callable[..., Path], kind: str) -> Network:
    network = load_classifier(tiny(kind), _TASK.labels, task="target", pooling="mean")
    network.encoder.set_attention("eager")
    return network


def _job(
    network: Network, tuning: Tuning, learn: list[Any], balance: str, store: Path, **more: Any
) -> Job:
    objectives = tuple(build(OBJECTIVES, spec, "learn") for spec in learn)
    tuning.prepare(network, 1)
    rows = _TEXTS if network.encoder.reads == (Role.TEXT,) else photos(len(_TEXTS))
    inputs = read_inputs(network.encoder, rows)
    targets = np.arange(len(_TEXTS)) % 2
    names = {rows_of(name) for name in streams_of(objectives)}
    asked = [question for objective in objectives for question in objective.questions]
    answers = {question.name: _answers(question, network, inputs, store) for question in asked}
    streams = {
        name: StreamData(
            inputs,
            None if name == "unlabelled" else targets,
            variants=(inputs,),
            answers={q.name: answers[q.name] for q in asked if rows_of(q.stream) == name},
        )
        for name in names
    }
    options = Training(
        **({"epochs": 1, "batch_size": 6, "checkpoint_seconds": 1e9, "warmup": 0.0} | more)
    )
    return Job(
        network=network,
        stages=tuning.stages(network),
        objectives=objectives,
        balancer=build(BALANCERS, {balance: _BALANCE.get(balance)}, "balance"),
        options=options,
        streams=streams,
        tasks={name: StreamTask(_TASK, "target") for name in names},
        seed=3,
        engine=Engine(),
        encode_engine=Engine(),
        store=Store(store),
        fingerprint="contract",
    )


def _answers(question: Question, network: Network, inputs: Inputs, store: Path) -> Answers:
    """What a teacher might have said."""
    encoder, rng = network.encoder, np.random.default_rng(0)
    if question.what == "tokens":
        engine, layer = Engine(), question.layer or encoder.depth
        kept = Store(store / "teacher")
        return Answers(
            prefix_features(encoder, inputs.tokens, inputs.keys, layer, store=kept, engine=engine)
        )
    own = encoder.dim if question.teacher is None else 20
    width = 2 if question.what == "logits" else own
    return Answers(rng.normal(size=(len(inputs), width)).astype(np.float32))


def _tuning(name: str) -> Tuning:
    return build(TUNINGS, {name: _OPTIONS.get(name)}, "tune")


@pytest.mark.parametrize("kind", _ENCODERS)
@pytest.mark.parametrize("name", TUNINGS)
def test_exactly_what_a_tuning_names_moves(
    name: str, kind: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    network = _network(tiny, kind)
    tuning = _tuning(name)
    job = _job(network, tuning, ["target"], "fixed", tmp_path)
    before = {key: each.detach().clone() for key, each in network.named_parameters()}
    fit(job)
    named = frozenset().union(*(stage.names for stage in job.stages))
    assert named <= before.keys()
    assert any(key.startswith("heads") for key in named)
    moved = {key for key, each in network.named_parameters() if not torch.equal(before[key], each)}
    assert moved <= named, f"moved without being named: {sorted(moved - named)}"
    # A new adapter's second factor is 0 at first, so its first factor gets no gradient yet, and
    # biases of keys cancel in the softmax: most, not all, must have moved.
    assert len(moved) >= 0.5 * len(named), f"never moved: {sorted(named - moved)}"


@pytest.mark.parametrize("name", TUNINGS)
def test_stages_share_out_the_whole_run(name: str, tiny: Callable[..., Path]) -> None:
    network = _network(tiny, "bert")
    tuning = _tuning(name)
    tuning.prepare(network, 1)
    stages = tuning.stages(network)
    assert sum(stage.share for stage in stages) == pytest.approx(1.0)
    for stage in stages:
        counts = [key for group in stage.groups for key in group.names]
        assert len(counts) == len(set(counts)), "a parameter is in two groups"
        assert all(group.learning_rate > 0 for group in stage.groups)


@pytest.mark.parametrize(
    ("kind", "pooling"), [("bert", "mean"), ("bert", "native"), ("roberta", "native")]
)
def test_nothing_that_a_stored_head_knows_survives_scratch(
    kind: str, pooling: Any, tiny: Callable[..., Path]
) -> None:
    ends = []
    for learnt in (0.0, 1.0):
        network = load_classifier(tiny(kind), _TASK.labels, task="target", pooling=pooling)
        head = network.heads["target"]
        assert isinstance(head, Head)
        with torch.no_grad():
            for weight in head.parameters():
                weight.add_(learnt)
        Scratch().prepare(network, 1)
        ends.append(network.state_dict())
    for key, each in ends[0].items():
        torch.testing.assert_close(each, ends[1][key], atol=0, rtol=0, msg=key)


@pytest.mark.parametrize("name", ["lora", "dora", "ia3", "vera", "peft"])
def test_a_new_adapter_changes_nothing_and_merging_keeps_the_answer(
    name: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    network = _network(tiny, "bert").eval()
    batch = network.encoder.probe_batch()
    with torch.no_grad():
        plain = network(batch).logits["target"]
        tuning = _tuning(name)
        tuning.prepare(network, 1)
        torch.testing.assert_close(network.eval()(batch).logits["target"], plain)
    network.train()
    fit(_job_again(network, tuning, tmp_path))
    with torch.no_grad():
        trained = network.eval()(batch).logits["target"]
        assert not torch.allclose(trained, plain, atol=1e-5)
        tuning.finish(network)
        merged = network.eval()(batch).logits["target"]
    torch.testing.assert_close(merged, trained, atol=1e-4, rtol=1e-4)
    assert not [key for key, _ in network.named_parameters() if "lora" in key or "vera" in key]


def _job_again(network: Network, tuning: Tuning, store: Path) -> Job:
    class Prepared(type(tuning)):  # type: ignore[misc]
        def prepare(self, network: Network, seed: int) -> None:
            return

    kept = {item.name: getattr(tuning, item.name) for item in fields(tuning)}
    return _job(network, Prepared(**kept), ["target"], "fixed", store, epochs=4)


_TUNES = ("full", "frozen", "top", "lp_ft", "lora")
_PAIRS = dict.fromkeys(
    [
        *((objective, "fixed", tune) for objective in _ALONE for tune in _TUNES),
        *((objective, balance, "full") for objective in _ALONE for balance in BALANCERS),
        *(("source", balance, tune) for balance in BALANCERS for tune in _TUNES),
    ]
)
"""Every two of the three choices together."""


@pytest.mark.parametrize(("objective", "balance", "tune"), _PAIRS)
def test_every_objective_goes_with_every_tuning_and_balancer(
    objective: str, balance: str, tune: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    _check_that_it_learns(_network(tiny, "bert"), objective, balance, tune, tmp_path)


_SEEN = dict.fromkeys(
    [
        *((objective, "fixed", "full") for objective in _ALONE),
        *(("source", balance, "full") for balance in BALANCERS),
        *(("source", "fixed", tune) for tune in _TUNES),
    ]
)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@pytest.mark.parametrize(("objective", "balance", "tune"), _SEEN)
def test_none_of_them_knows_what_an_encoder_reads(
    objective: str, balance: str, tune: str, kind: str, tmp_path: Path
) -> None:
    encoder = tiny_encoder(kind)
    network = Network(
        {"image": encoder}, {"target": LinearHead(encoder.dim, 2, labels=_TASK.labels)}
    )
    _check_that_it_learns(network, objective, balance, tune, tmp_path)


def _check_that_it_learns(
    network: Network, objective: str, balance: str, tune: str, store: Path
) -> None:
    """A run with two losses ends with other weights than it began with, all of them finite."""
    learn = ["target"] if objective == "target" else ["target", {objective: _LEARN.get(objective)}]
    job = _job(network, _tuning(tune), learn, balance, store)
    before = {key: each.detach().clone() for key, each in network.named_parameters()}
    if objective == "ada_bn" and not has_batch_norm(network):
        with pytest.raises(RecipeError, match="BatchNorm"):
            fit(job)
        return
    fitted = fit(job)
    assert fitted.trained_parameters > 0
    assert any(not torch.equal(before[k], w) for k, w in network.named_parameters())
    assert all(torch.isfinite(weight).all() for weight in network.parameters())


@pytest.mark.parametrize("tune", ["full", "top", "lora", "lp_ft"])
def test_the_same_seed_gives_the_same_weights(
    tune: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    runs = []
    for number in range(2):
        network = _network(tiny, "bert")
        fit(_job(network, _tuning(tune), ["target", "source"], "fixed", tmp_path / str(number)))
        runs.append({key: each.detach() for key, each in network.named_parameters()})
    for key, each in runs[0].items():
        assert torch.equal(each, runs[1][key]), key


def test_training_from_a_kept_prefix_is_training_from_the_beginning(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    ends = []
    for cached in (True, False):
        network = _network(tiny, "bert")
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        tuning = build(TUNINGS, {"top": {"layers": 1}}, "tune")
        store = tmp_path / str(cached)
        fit(_job(network, tuning, ["target"], "fixed", store, prefix_cache=cached, epochs=2))
        ends.append({key: each.detach() for key, each in network.named_parameters()})
        assert (Store(store).counts().computed > 0) == cached
    for key, each in ends[0].items():
        torch.testing.assert_close(each, ends[1][key], atol=1e-5, rtol=1e-4, msg=key)


@pytest.mark.parametrize("methods", [TUNINGS, OBJECTIVES, BALANCERS], ids=["tune", "learn", "bal"])
def test_every_method_explains_itself_and_survives_its_recipe(
    methods: dict[str, type[Any]],
) -> None:
    for told in describe(methods):
        assert told.summary.endswith("."), told.name
        assert all(option.text.endswith(".") for option in told.options), told
        method = build(methods, {told.name: _LEARN.get(told.name)}, "x")
        assert build(methods, spec_of(methods, method), "x") == method
