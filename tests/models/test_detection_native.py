"""Detectors and segmenters of transformers as an encoder and their own head."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from transfuse.errors import ModelError
from transfuse.models import load_network, save_network
from transfuse.models.scenes import NativePlacesHead, native_scenes
from transfuse.tasks import Detection, Segmentation

LABELS = {0: "cat", 1: "dog", 2: "bird"}
_RESNET = transformers.ResNetConfig(
    embedding_size=8,
    hidden_sizes=[8, 8, 16, 16],
    depths=[1, 1, 1, 1],
    layer_type="basic",
    out_features=["stage4"],
)
_SMALL = {
    "yolos": (
        "YolosForObjectDetection",
        "YolosConfig",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "image_size": [64, 64],
            "num_detection_tokens": 7,
        },
    ),
    "detr": (
        "DetrForObjectDetection",
        "DetrConfig",
        {
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "backbone": None,
            "backbone_config": _RESNET,
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "num_queries": 7,
        },
    ),
    "segformer": (
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {
            "depths": [1, 1, 1, 1],
            "hidden_sizes": [8, 16, 24, 32],
            "num_attention_heads": [1, 1, 2, 2],
            "decoder_hidden_size": 16,
        },
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model of each kind with random weights."""
    made = {}
    for name, (model, config, options) in _SMALL.items():
        torch.manual_seed(0)
        given = getattr(transformers, config)(
            **options, id2label=LABELS, label2id={v: k for k, v in LABELS.items()}
        )
        made[name] = tmp_path_factory.mktemp(name)
        getattr(transformers, model)(given).eval().save_pretrained(made[name])
        processor = {
            "image_processor_type": "ViTImageProcessor",
            "size": {"height": 64, "width": 64},
        }
        (made[name] / "preprocessor_config.json").write_text(json.dumps(processor))
    return made


def kind_of(name: str) -> Any:
    return "segmentation" if name == "segformer" else "detection"


def whole(folder: Path, name: str) -> Any:
    return getattr(transformers, _SMALL[name][0]).from_pretrained(folder).eval()


@pytest.mark.parametrize("name", list(_SMALL))
def test_the_parts_answer_as_the_whole(folders: dict[str, Path], name: str) -> None:
    network = native_scenes(folders[name], kind_of(name), grid=16, size=64)
    assert network is not None
    head = network.heads["target"]
    assert head.labels == tuple(LABELS.values())
    batch = network.encoder.probe_batch()
    with torch.no_grad():
        ours = network(batch).logits["target"]
        pixels = network.encoder.inner if kind_of(name) == "segmentation" else network.encoder
        theirs = whole(folders[name], name)(pixels._ready(batch["pixels"]))
    assert ours.shape == (3, head.outputs)
    if name == "segformer":
        assert torch.allclose(theirs.logits.flatten(1), ours, atol=1e-4)
        return
    task = Detection(labels=tuple(LABELS.values()))
    scores = task.scores(ours)
    assert torch.allclose(theirs.pred_boxes, scores[..., -4:], atol=1e-4)
    assert torch.allclose(theirs.logits.softmax(-1), scores[..., :-4], atol=1e-4)


@pytest.mark.parametrize("name", list(_SMALL))
def test_a_saved_folder_opens_in_plain_transformers(
    folders: dict[str, Path], name: str, tmp_path: Path
) -> None:
    network = native_scenes(folders[name], kind_of(name), ("one", "two"), grid=16, size=64)
    assert network is not None
    batch = network.encoder.probe_batch()
    save_network(network, tmp_path)
    again = load_network(tmp_path)
    with torch.no_grad():
        first, second = (each(batch).logits["target"] for each in (network, again))
    assert torch.allclose(first, second, atol=1e-5)
    assert whole(tmp_path, name).config.id2label == {0: "one", 1: "two"}


@pytest.mark.parametrize("name", list(_SMALL))
def test_all_of_it_learns_and_starts_anew(folders: dict[str, Path], name: str) -> None:
    network = native_scenes(folders[name], kind_of(name), ("one", "two"), grid=8, size=64)
    assert network is not None
    batch = network.encoder.probe_batch()
    logits = network(batch).logits["target"]
    task: Any
    if name == "segformer":
        task = Segmentation(labels=("one", "two"), grid=8)
        targets = torch.randint(0, 2, (3, 64), dtype=torch.uint8)
    else:
        task = Detection(labels=("one", "two"))
        targets = torch.tensor([[[0, 0.5, 0.5, 0.2, 0.3]]] * 3)
    task.loss(logits, targets).backward()
    moved = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert sum(bool(each.any()) for each in moved) > 0.8 * len(list(network.parameters()))
    head = network.heads["target"]
    assert isinstance(head, NativePlacesHead)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head.reset(1)
    changed = {name: value.clone() for name, value in head.state_dict().items()}
    assert any(not torch.equal(before[name], changed[name]) for name in before)
    head.reset(1)
    assert all(torch.equal(value, changed[name]) for name, value in head.state_dict().items())


def test_models_without_such_a_head_are_left_to_others(tmp_path: Path) -> None:
    transformers.ResNetModel(_RESNET).save_pretrained(tmp_path)
    assert native_scenes(tmp_path, "detection") is None
    assert native_scenes("efficientnet-lite0", "segmentation") is None


def test_heads_of_other_kinds_are_refused(tmp_path: Path) -> None:
    config = transformers.MobileViTConfig(
        image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16]
    )
    transformers.MobileViTForSemanticSegmentation(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no decode_head"):
        native_scenes(tmp_path, "segmentation", size=64)
