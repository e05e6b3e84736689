"""Fusions of several tasks: their mathematics, the network around them, their folders."""

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from transfuse.errors import ModelError
from transfuse.models import (
    FUSIONS,
    Encoded,
    Engine,
    Inference,
    LinearHead,
    Network,
    load_classifier,
    load_encoder,
    load_network,
    read_inputs,
    save_network,
)
from transfuse.models.feed import Feeds
from transfuse.models.fusion import PLE, CrossStitch, MMoE
from transfuse.recipe import build, describe, spec_of

TASKS = ("mood", "irony", "age")
LABELS = {"mood": ("sad", "fine", "glad"), "irony": ("no", "yes"), "age": ("years",)}
KINDS = {
    "mood": "single_label_classification",
    "irony": "multi_label_classification",
    "age": "regression",
}
TEXTS = ["the film was good", "bad", "this book is not very fine and the film was poor"]


def fused(fusion, tasks=TASKS, dim=6, seed=0):
    """A fusion with every weight away from where it begins."""
    module = fusion.build(dim, tasks, seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
    return module


def vectors(module, pooled):
    made = module({"text": Encoded(pooled)})
    return {task: encoded.pooled for task, encoded in made.by_task.items()}


def network_of(tiny, fusion, tasks=TASKS, kind="bert"):
    encoder = load_encoder(tiny(kind), pooling="mean", max_length=16)
    module = None if fusion is None else fused(fusion, tasks, encoder.dim)
    width = encoder.dim if module is None else module.dim
    heads = {
        task: LinearHead(
            width,
            len(LABELS[task]),
            dropout=0.1 * place,
            seed=place,
            labels=LABELS[task],
            problem_type=KINDS[task],
        )
        for place, task in enumerate(tasks)
    }
    with torch.no_grad():
        for head in heads.values():
            head.classifier.weight.mul_(20)
    return Network({"text": encoder}, heads, module).eval()


def logits_of(network, **options):
    with torch.no_grad():
        batch = network.encoder.collate(network.encoder.preprocess(TEXTS))
        return network(batch, **options).logits


@pytest.mark.parametrize("name", FUSIONS)
def test_a_fusion_is_drawn_from_its_seed_alone(name):
    fusion = FUSIONS[name]()
    state = torch.get_rng_state()
    one, same, other = (fusion.build(8, TASKS, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", FUSIONS)
def test_every_task_has_a_vector_of_the_asked_width(name):
    for width, tasks in ((None, TASKS), (5, TASKS), (5, ("only",))):
        made = vectors(fused(FUSIONS[name](width=width), tasks), torch.randn(4, 6))
        assert {task: value.shape for task, value in made.items()} == dict.fromkeys(
            tasks, (4, width or 6)
        )


@pytest.mark.parametrize("name", FUSIONS)
def test_rows_do_not_see_each_other(name):
    module, pooled = fused(FUSIONS[name]()), torch.randn(5, 6)
    whole = vectors(module, pooled)
    for task, alone in vectors(module, pooled[2:3]).items():
        torch.testing.assert_close(whole[task][2:3], alone)


def test_a_mixture_is_the_experts_in_the_shares_of_the_gate():
    module, pooled = fused(MMoE(experts=3, width=4)), torch.randn(7, 6)
    experts = [each(pooled) for each in module.body.experts]
    for task, vector in vectors(module, pooled).items():
        shares = module.body.gates[task](pooled).softmax(1)
        expected = sum(shares[:, [place]] * each for place, each in enumerate(experts))
        torch.testing.assert_close(vector, expected)


def test_gates_begin_with_equal_shares_so_that_all_tasks_begin_alike():
    made = vectors(MMoE().build(6, TASKS, 0), torch.randn(4, 6))
    torch.testing.assert_close(made["mood"], made["age"])


def moved_by(module, task):
    """The parameters that a loss of one task moves."""
    module.zero_grad()
    vectors(module, torch.randn(16, 6))[task].square().sum().backward()
    return {
        name
        for name, weight in module.named_parameters()
        if weight.grad is not None and weight.grad.any()
    }


def test_experts_of_a_task_are_left_alone_by_the_others_where_the_paper_says_so():
    moved = moved_by(fused(PLE(layers=1)), "mood")
    assert not [name for name in moved if ".own.irony" in name or ".gates.irony" in name]
    assert [name for name in moved if ".own.mood" in name]
    assert [name for name in moved if ".shared." in name]
    # Through the shared gate of a lower layer a task reads the others' experts, but not their
    # gates.
    moved = moved_by(fused(PLE(layers=2)), "mood")
    assert [name for name in moved if ".layers.0.own.irony" in name]
    assert not [name for name in moved if ".layers.1.own.irony" in name]
    assert not [name for name in moved if ".gates.irony" in name]
    assert not [name for name in moved_by(fused(MMoE()), "mood") if ".gates.irony" in name]


def test_nothing_of_an_extraction_goes_unused():
    module = fused(PLE(experts=2, shared=1, layers=3))
    moved = set().union(*(moved_by(module, task) for task in TASKS))
    assert moved == {name for name, _ in module.named_parameters()}


def test_stitches_go_from_columns_apart_to_one_vector_for_all():
    pooled = torch.randn(4, 6)
    apart = CrossStitch(own=1.0).build(6, TASKS, 0)
    for task, vector in vectors(apart, pooled).items():
        torch.testing.assert_close(vector, apart.body.columns[task][0](pooled))
    alike = vectors(CrossStitch(own=1 / 3).build(6, TASKS, 0), pooled)
    torch.testing.assert_close(alike["mood"], alike["irony"])
    (shares,) = CrossStitch(own=0.6).build(6, TASKS, 0).body.units
    torch.testing.assert_close(shares.sum(1), torch.ones(3, 6))
    torch.testing.assert_close(shares[0, :, 0], torch.tensor([0.6, 0.2, 0.2]))


@pytest.mark.parametrize(
    ("fusion", "option", "value"),
    [
        (MMoE, "experts", 0),
        (MMoE, "width", 0),
        (PLE, "shared", 0),
        (PLE, "layers", 0),
        (CrossStitch, "own", 1.5),
        (CrossStitch, "layers", 0),
    ],
)
def test_impossible_options_are_refused(fusion, option, value):
    with pytest.raises(ValueError, match=option):
        fusion(**{option: value})


# The network around it


@pytest.mark.parametrize("name", [None, *FUSIONS])
def test_each_head_reads_its_own_vector(name, tiny):
    network = network_of(tiny, FUSIONS[name](width=7) if name else None)
    every = logits_of(network)
    batch = network.encoder.collate(network.encoder.preprocess(TEXTS))
    for task in TASKS:
        one = network(batch, tasks=[task])
        torch.testing.assert_close(one.logits[task], every[task])
        # What the features of a single task's pass promise to objectives.
        torch.testing.assert_close(network.heads[task](Encoded(one.features), {}), one.logits[task])


@pytest.mark.parametrize("name", FUSIONS)
def test_kept_vectors_go_through_the_fusion(name, tiny):
    network = network_of(tiny, FUSIONS[name]())
    batch = network.encoder.collate(network.encoder.preprocess(TEXTS))
    plain = logits_of(network)
    depth = network.encoder.depth
    assert all(network.can_resume(layers) for layers in range(depth + 1))
    with torch.no_grad():
        pooled = network.encoder(batch).pooled
        kept = network({"pooled": pooled}, depth).logits
        hidden = {
            "hidden": network.encoder.prefix(batch, 2),
            "attention_mask": batch["attention_mask"],
        }
        resumed = network(hidden, 2).logits
    for task in TASKS:
        torch.testing.assert_close(kept[task], plain[task], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(resumed[task], plain[task], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", FUSIONS)
def test_answers_in_16_bits_are_nearly_those_in_32(name, tiny):
    network = network_of(tiny, FUSIONS[name]())
    feed = Feeds(network).feed(read_inputs(network.encoder, TEXTS))
    for task in TASKS:
        exact = Inference(network).logits(feed, task)
        short = Inference(network, Engine(dtype=torch.bfloat16)).logits(feed, task)
        assert (exact - short).abs().max() <= 0.05 * exact.abs().max()


# Folders


@pytest.mark.parametrize("name", [None, *FUSIONS])
def test_a_folder_of_several_tasks_comes_back_with_every_answer(name, tiny, tmp_path):
    fusion = FUSIONS[name](width=9) if name else None
    network = network_of(tiny, fusion)
    save_network(network, tmp_path)
    again = load_network(tmp_path)
    assert tuple(again.heads) == TASKS, "the order says which task is the first"
    expected, found = logits_of(network), logits_of(again)
    for place, task in enumerate(TASKS):
        torch.testing.assert_close(found[task], expected[task], atol=1e-6, rtol=1e-5)
        head = again.heads[task]
        assert (head.labels, head.problem_type) == (LABELS[task], KINDS[task])
        assert head.dropout.p == pytest.approx(0.1 * place)
    assert getattr(again.fusion, "options", None) == fusion
    assert again.encoder.max_length == 16
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]
    save_network(again, tmp_path / "twice")
    twice = logits_of(load_network(tmp_path / "twice"))
    torch.testing.assert_close(twice["age"], expected["age"], atol=1e-6, rtol=1e-5)


def test_plain_transformers_opens_such_a_folder_as_the_first_task(tiny, tmp_path):
    network = network_of(tiny, MMoE())
    save_network(network, tmp_path)
    expected = logits_of(network)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokens = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(model(**tokens).logits, expected["mood"], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            model(**tokens, task="irony").logits, expected["irony"], atol=1e-5, rtol=1e-4
        )
    (answer,) = pipeline("text-classification", str(tmp_path), top_k=None)(TEXTS[:1])
    shares = {each["label"]: each["score"] for each in answer}
    assert [shares[label] for label in LABELS["mood"]] == pytest.approx(
        expected["mood"][0].softmax(0).tolist(), abs=1e-5
    )


def test_one_task_behind_a_fusion_is_saved_too(tiny, tmp_path):
    network = network_of(tiny, PLE(layers=1), ("irony",))
    save_network(network, tmp_path)
    found = logits_of(load_network(tmp_path))["irony"]
    torch.testing.assert_close(found, logits_of(network)["irony"], atol=1e-6, rtol=1e-5)


def test_what_several_tasks_learnt_is_a_source_for_others(tiny, tmp_path):
    network = network_of(tiny, CrossStitch())
    save_network(network, tmp_path)
    depth = network.encoder.depth
    encoder = load_encoder(tmp_path, max_length=16)
    assert encoder.fingerprint(depth) == network.encoder.fingerprint(depth)
    fresh = load_classifier(tmp_path, LABELS["mood"], max_length=16)
    assert fresh.encoder.fingerprint(depth) == network.encoder.fingerprint(depth)
    assert tuple(fresh.heads) == ("label",)


def test_weights_without_a_head_are_refused(tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    save_network(network_of(tiny, None), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    left = {name: value for name, value in weights.items() if "classifiers.irony" not in name}
    assert len(left) == len(weights) - 2
    save_file(left, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="heads or fusion"):
        load_network(tmp_path)


def test_a_native_head_is_not_one_of_several(tiny, tmp_path):
    network = load_classifier(tiny("bert"), LABELS["mood"])
    network.heads["second"] = LinearHead(network.encoder.dim, 2)
    with pytest.raises(ModelError, match="linear head for each task"):
        save_network(network, tmp_path)


def test_every_fusion_explains_itself_and_survives_its_recipe():
    for told in describe(FUSIONS):
        assert told.summary.endswith("."), told.name
        assert all(option.text.endswith(".") for option in told.options), told
        fusion = build(FUSIONS, {told.name: {"width": 12}}, "fusion")
        assert build(FUSIONS, spec_of(FUSIONS, fusion), "fusion") == fusion
