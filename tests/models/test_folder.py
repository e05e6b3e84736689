import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tiny_models import CONFIGS, NATIVE
from transfuse.errors import ModelError
from transfuse.models import (
    LinearHead,
    NativeHead,
    Network,
    load_classifier,
    load_encoder,
    load_network,
    save_network,
)

TEXTS = ["the film was good", "bad", "this book is not very fine and the film was poor"]
LABELS = ("negative", "neutral", "positive")


def logits_of(network):
    with torch.no_grad():
        batch = network.encoder.collate(network.encoder.preprocess(TEXTS))
        (logits,) = network(batch).logits.values()
    return logits


def plain_logits(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")).logits


@pytest.mark.parametrize("kind", NATIVE)
def test_plain_transformers_opens_a_native_folder_and_gives_the_same_logits(kind, tiny, tmp_path):
    network = load_classifier(tiny(kind), LABELS, max_length=16)
    expected = logits_of(network)
    save_network(network, tmp_path)
    torch.testing.assert_close(logits_of(network), expected)  # saving changed nothing
    again = load_network(tmp_path)
    assert isinstance(again.heads["label"], NativeHead)
    torch.testing.assert_close(logits_of(again), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(plain_logits(tmp_path), expected, atol=1e-5, rtol=1e-4)
    config = AutoConfig.from_pretrained(tmp_path)
    assert tuple(config.id2label.values()) == LABELS
    assert config.problem_type == "single_label_classification"
    assert again.encoder.max_length == 16
    assert again.encoder.fingerprint(1) == network.encoder.fingerprint(1)


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_folder_with_another_pooling_opens_once_transfuse_is_imported(
    kind, pooling, tiny, tmp_path
):
    network = load_classifier(
        tiny(kind),
        ["a", "b"],
        task="topic",
        pooling=pooling,
        problem_type="multi_label_classification",
        max_length=16,
        dropout=0.25,
    )
    expected = logits_of(network)
    save_network(network, tmp_path)
    again = load_network(tmp_path)
    torch.testing.assert_close(logits_of(again), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(plain_logits(tmp_path), expected, atol=1e-5, rtol=1e-4)
    head = again.heads["topic"]
    assert isinstance(head, LinearHead)
    assert head.labels == ("a", "b")
    assert head.problem_type == "multi_label_classification"
    assert head.dropout.p == 0.25
    assert again.encoder.pooling_used == pooling
    assert again.encoder.max_length == 16
    depth = network.encoder.depth
    assert again.encoder.fingerprint(depth) == network.encoder.fingerprint(depth)
    assert load_encoder(tmp_path, max_length=16).fingerprint(depth) == network.encoder.fingerprint(
        depth
    )


def test_a_linear_head_on_the_architectures_pooler_comes_back(tiny, tmp_path):
    encoder = load_encoder(tiny("bert"))
    network = Network.for_text(encoder, {"label": LinearHead(encoder.dim, 2)}).eval()
    save_network(network, tmp_path)
    assert load_network(tmp_path).encoder.pooling_used == "pooler"
    torch.testing.assert_close(logits_of(load_network(tmp_path)), logits_of(network))
    torch.testing.assert_close(plain_logits(tmp_path), logits_of(network), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "native"])
def test_only_safetensors_are_written_and_no_paths(pooling, tiny, tmp_path):
    save_network(
        load_classifier(tiny("bert"), LABELS, pooling=pooling), tmp_path / "new" / "folder"
    )
    names = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    texts = [path.read_text() for path in (tmp_path / "new" / "folder").glob("*.json")]
    assert not [text for text in texts if str(tiny("bert")) in text]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]


def test_the_weights_are_the_networks_without_doubles(tiny, tmp_path):
    network = load_classifier(tiny("bert"), LABELS)
    save_network(network, tmp_path)
    stored = (tmp_path / "model.safetensors").stat().st_size
    assert stored < 1.2 * sum(p.numel() * p.element_size() for p in network.parameters()) + 20_000


def test_a_regression_keeps_its_one_output(tiny, tmp_path):
    network = load_classifier(tiny("gpt2"), ["rating"], problem_type="regression")
    save_network(network, tmp_path)
    again = load_network(tmp_path).heads["label"]
    assert (again.labels, again.problem_type, again.outputs) == (("rating",), "regression", 1)


def test_a_network_of_another_shape_is_refused(tiny, tmp_path):
    network = load_classifier(tiny("bert"), LABELS)
    network.heads["second"] = LinearHead(network.encoder.dim, 2)
    with pytest.raises(ModelError, match="a linear head for each task"):
        save_network(network, tmp_path)


# peft reads a name that transformers has deprecated.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
@pytest.mark.parametrize("pooling", ["mean", "native"])
def test_adapters_are_saved_merged_or_not_at_all(pooling, tiny, tmp_path):
    from peft import LoraConfig, get_peft_model

    network = load_classifier(tiny("bert"), LABELS, pooling=pooling)
    before = logits_of(network)
    encoder = network.encoder
    encoder.backbone = get_peft_model(encoder.backbone, LoraConfig(target_modules=["query"]))
    for name, parameter in encoder.backbone.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    network.eval()
    moved = logits_of(network)
    assert not torch.allclose(moved, before, atol=1e-3)
    with pytest.raises(ModelError, match="Merge adapters"):
        save_network(network, tmp_path)
    encoder.backbone = encoder.backbone.merge_and_unload()
    save_network(network, tmp_path)
    torch.testing.assert_close(logits_of(load_network(tmp_path)), moved, atol=1e-5, rtol=1e-4)


SCRIPT = """
import sys
import transfuse
heavy = {"torch", "transformers", "pandas", "sklearn"} & set(sys.modules)
assert not heavy, heavy
from transformers import AutoModelForSequenceClassification, pipeline
answer = pipeline("text-classification", sys.argv[1], top_k=None)(["the film was good"])[0]
assert type(AutoModelForSequenceClassification.from_pretrained(sys.argv[1])).__module__ == (
    "transfuse.models.hub"
)
print({each["label"]: each["score"] for each in answer})
"""


def test_importing_transfuse_is_light_and_enough_for_the_pipeline(tiny, tmp_path):
    network = load_classifier(tiny("bert"), LABELS, pooling="mean")
    save_network(network, tmp_path)
    expected = logits_of(network).softmax(dim=1)[0].tolist()
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(source), "HF_HUB_OFFLINE": "1", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout.splitlines()[-1])
    assert [found[label] for label in LABELS] == pytest.approx(expected, abs=1e-5)


def test_the_pipeline_gives_the_probabilities_of_a_native_folder(tiny, tmp_path):
    network = load_classifier(tiny("distilbert"), LABELS)
    save_network(network, tmp_path)
    answers = pipeline("text-classification", str(tmp_path), top_k=None)(TEXTS, batch_size=3)
    expected = logits_of(network).softmax(dim=1)
    for row, answer in enumerate(answers):
        found = {each["label"]: each["score"] for each in answer}
        assert [found[label] for label in LABELS] == pytest.approx(expected[row].tolist(), abs=1e-5)
