"""Image networks to folders and back, and into plain transformers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tiny_pictures import CONFIGS, photo, photos, tiny_backbone, tiny_lite
from transfuse.errors import ModelError
from transfuse.models.encoder import close
from transfuse.models.heads import LinearHead
from transfuse.models.images import (
    image_classifier,
    image_encoder,
    is_image_model,
    load_image_network,
    save_image_network,
)
from transfuse.models.images.processing import default_settings
from transfuse.models.images.timm import is_timm, timm_settings
from transfuse.models.network import Network

LABELS = ["cat", "dog", "owl"]
OURS = ("dinov3", "clip")
"""Architectures that transformers has no classification model for."""


@pytest.fixture(scope="module", params=[*CONFIGS, "lite"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone that transformers saved."""
    place = tmp_path_factory.mktemp(request.param)
    backbone = tiny_lite() if request.param == "lite" else tiny_backbone(request.param)
    backbone.save_pretrained(place)
    return place


def logits(network: Network, count: int = 3) -> torch.Tensor:
    encoder = network.encoder
    with torch.no_grad():
        (found,) = network(encoder.collate(encoder.preprocess(photos(count)))).logits.values()
    return found


def test_back_and_forth_and_in_plain_transformers(folder, tmp_path):
    network = image_classifier(folder, LABELS, task="animal", size=32, seed=3)
    save_image_network(network, tmp_path)
    expected = logits(network)
    assert expected.std() > 1e-3

    again = load_image_network(tmp_path)
    assert list(again.heads) == ["animal"]
    assert again.heads["animal"].labels == tuple(LABELS)
    assert close(expected, logits(again))

    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    pixels = processor([photo(seed) for seed in range(3)], return_tensors="pt")
    with torch.no_grad():
        assert close(expected, model(**pixels).logits)
        targets = torch.tensor([0, 1, 2])
        assert model(**pixels, labels=targets).loss.isfinite()
    assert model.config.id2label == dict(enumerate(LABELS))
    assert is_image_model(tmp_path)
    assert not list(tmp_path.glob("*.bin"))


def test_the_architectures_own_class_is_used_where_it_has_one(tmp_path):
    for kind in CONFIGS:
        tiny_backbone(kind).save_pretrained(tmp_path / kind)
        save_image_network(image_classifier(tmp_path / kind, LABELS, size=32), tmp_path / "out")
        (name,) = json.loads((tmp_path / "out" / "config.json").read_text())["architectures"]
        assert name.startswith("Transfuse") == (kind in OURS), kind


def test_a_trained_head_stays_where_the_labels_are_the_same(tmp_path):
    tiny_backbone("resnet").save_pretrained(tmp_path / "source")
    network = image_classifier(tmp_path / "source", LABELS, size=32, seed=1)
    save_image_network(network, tmp_path / "trained")
    same = image_classifier(tmp_path / "trained", LABELS, seed=2)
    assert close(logits(network), logits(same))
    other = image_classifier(tmp_path / "trained", LABELS[::-1], seed=2)
    assert not close(logits(network), logits(other))
    several = image_classifier(
        tmp_path / "trained", LABELS, problem_type="multi_label_classification"
    )
    assert not close(logits(network), logits(several))


def test_a_model_that_transformers_wrote_keeps_its_head(tmp_path):
    torch.manual_seed(0)
    for kind in ("ViT", "Dinov2", "ResNet"):
        config = tiny_backbone(kind.lower()).config
        config.id2label = dict(enumerate(LABELS))
        config.label2id = {name: place for place, name in config.id2label.items()}
        model = getattr(transformers, f"{kind}ForImageClassification")(config).eval()
        model.save_pretrained(tmp_path)
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(default_settings(32)))
        network = load_image_network(tmp_path)
        batch = network.encoder.probe_batch()
        with torch.no_grad():
            pixels = network.encoder.normalised(batch["pixels"])
            expected = model(pixel_values=pixels).logits
            assert close(expected, network(batch).logits["label"])
        assert isinstance(network.heads["label"], LinearHead)


def test_another_size_is_kept(tmp_path):
    tiny_backbone("vit").save_pretrained(tmp_path / "source")
    network = image_classifier(tmp_path / "source", LABELS, size=48)
    assert network.encoder.anatomy.options == {"interpolate_pos_encoding": True}
    save_image_network(network, tmp_path / "out")
    again = load_image_network(tmp_path / "out")
    assert again.encoder.size == 48
    assert close(logits(network), logits(again))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out", backend="pil")
    model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out").eval()
    pixels = processor([photo(seed) for seed in range(3)], return_tensors="pt")
    with torch.no_grad():
        assert close(logits(network), model(**pixels).logits)


def test_choices_are_kept(tmp_path):
    tiny_backbone("resnet").save_pretrained(tmp_path / "source")
    network = image_classifier(
        tmp_path / "source", LABELS, size=32, dropout=0.3, batch_norm="adapted"
    )
    save_image_network(network, tmp_path / "out")
    again = load_image_network(tmp_path / "out")
    assert again.encoder.batch_norm == "adapted"
    assert again.heads["label"].dropout.p == 0.3
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()


def test_a_new_process_opens_it_after_import_transfuse(tmp_path):
    tiny_lite().save_pretrained(tmp_path / "source")
    save_image_network(image_classifier(tmp_path / "source", LABELS, size=32), tmp_path / "out")
    script = (
        "import transfuse, transformers\n"
        "kind = transformers.AutoModelForImageClassification\n"
        f"model = kind.from_pretrained({str(tmp_path / 'out')!r})\n"
        "print(type(model).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "EfficientNetLiteForImageClassification"


def test_encoders_have_no_use_for_a_head(tmp_path):
    tiny_backbone("convnext").save_pretrained(tmp_path)
    encoder = image_encoder(tmp_path, size=32, batch_norm="recomputed")
    assert encoder.pooling == "native"
    assert encoder.batch_norm == "recomputed"
    with pytest.raises(ModelError, match="holds no classification head"):
        load_image_network(tmp_path)


def test_other_models_are_told_apart(tmp_path):
    for name, said in {
        "text": {"model_type": "bert"},
        "none": {},
        "odd": {"model_type": "x"},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(said))
        assert not is_image_model(tmp_path / name)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    assert not is_image_model(tmp_path / "broken")


def test_what_cannot_be_is_said(tmp_path):
    tiny_backbone("vit").save_pretrained(tmp_path / "vit")
    with pytest.raises(ModelError, match="there are none"):
        image_classifier(tmp_path / "vit", [])
    with pytest.raises(ModelError, match="size"):
        image_classifier(tmp_path / "vit", LABELS, size=0)
    with pytest.raises(ModelError, match="cannot read pictures of 4 pixels"):
        image_classifier(tmp_path / "vit", LABELS, size=4)
    network = image_classifier(tmp_path / "vit", LABELS, size=32)
    network.heads["more"] = LinearHead(network.encoder.dim, 2)
    with pytest.raises(ModelError, match="one image encoder with one linear head"):
        save_image_network(network, tmp_path / "out")


def test_adapters_have_to_be_merged_first(tmp_path):
    peft: Any = pytest.importorskip("peft")
    tiny_backbone("vit").save_pretrained(tmp_path / "vit")
    network = image_classifier(tmp_path / "vit", LABELS, size=32)
    config = peft.LoraConfig(target_modules="all-linear", r=2)
    network.encoder.backbone = peft.get_peft_model(network.encoder.backbone, config)
    with pytest.raises(ModelError, match="Merge adapters"):
        save_image_network(network, tmp_path / "out")


def test_the_processing_of_timm_is_read_from_its_config():
    said = {
        "architecture": "resnet18",
        "pretrained_cfg": {
            "input_size": [3, 288, 288],
            "crop_pct": 0.95,
            "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5],
        },
    }
    settings = timm_settings(said)
    assert is_timm(said)
    assert is_timm({"model_type": "timm_wrapper"})
    assert not is_timm({"model_type": "resnet", "architectures": ["ResNetModel"]})
    assert settings["size"] == {"shortest_edge": 303}
    assert settings["crop_size"] == {"height": 288, "width": 288}
    assert settings["resample"] == 2


def test_timm_models_open_where_timm_is(tmp_path):
    pytest.importorskip("torchvision", reason="timm needs torchvision, which is not installed here")
    pytest.importorskip("timm", reason="timm is not installed here")
    model = transformers.AutoModel.from_config(
        transformers.TimmWrapperConfig(architecture="resnet18")
    )
    model.save_pretrained(tmp_path)
    network = image_classifier(tmp_path, LABELS, size=64)
    assert network.encoder.depth > 3
    save_image_network(network, tmp_path / "out")
    assert close(logits(network), logits(load_image_network(tmp_path / "out")))


def test_without_timm_its_models_say_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("transfuse.models.images.timm.find_spec", lambda name: None)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    with pytest.raises(ModelError, match="timm and torchvision is not installed"):
        image_classifier(tmp_path, LABELS)
