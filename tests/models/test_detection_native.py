"""Detectors and segmenters of transformers as an encoder and their own head."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from transfuse.errors import ModelError
from transfuse.models import Network, load_network, save_network
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
_HYBRID = {
    "backbone_config": transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    ),
    "use_pretrained_backbone": False,
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [8, 16, 16],
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "hidden_expansion": 0.5,
    "d_model": 32,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 2,
    "decoder_layers": 2,
    "num_queries": 7,
    "num_denoising": 0,
}
_SMALL: dict[str, tuple[str, str, dict[str, Any]]] = {
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
    "rt-detr": ("RTDetrForObjectDetection", "RTDetrConfig", _HYBRID),
    "rt-detr-v2": (
        "RTDetrV2ForObjectDetection",
        "RTDetrV2Config",
        # What other sizes are computed from in advance must not stand in the way.
        _HYBRID | {"num_denoising": 5, "anchor_image_size": [32, 32]},
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
    "mask2former": (
        "Mask2FormerForUniversalSegmentation",
        "Mask2FormerConfig",
        {
            "backbone_config": transformers.SwinConfig(
                embed_dim=8,
                depths=[1, 1, 1, 1],
                num_heads=[1, 1, 2, 2],
                window_size=4,
                image_size=64,
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            "feature_size": 32,
            "mask_feature_size": 32,
            "hidden_dim": 32,
            "encoder_feedforward_dim": 32,
            "dim_feedforward": 32,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "num_attention_heads": 2,
            "num_queries": 7,
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
    return "segmentation" if name in ("segformer", "mask2former") else "detection"


def opened(folder: Path, name: str, *labels: str, grid: int = 16) -> Network:
    network = native_scenes(folder, kind_of(name), labels or None, grid=grid, size=64)
    assert network is not None
    return network


def whole(folder: Path, name: str) -> Any:
    return getattr(transformers, _SMALL[name][0]).from_pretrained(folder).eval()


@pytest.mark.parametrize("name", list(_SMALL))
def test_the_parts_answer_as_the_whole(folders: dict[str, Path], name: str) -> None:
    network = opened(folders[name], name)
    head = network.heads["target"]
    assert head.labels == tuple(LABELS.values())
    batch = network.encoder.probe_batch()
    plain = whole(folders[name], name)
    plain.config.anchor_image_size = None
    with torch.no_grad():
        ours = network(batch).logits["target"]
        pixels = network.encoder.inner if name == "segformer" else network.encoder
        theirs = plain(pixels.normalised(batch["pixels"]))
    assert ours.shape == (3, head.outputs)
    if name == "segformer":
        assert torch.allclose(theirs.logits.flatten(1), ours, atol=1e-4)
        return
    if name == "mask2former":
        masks = theirs.masks_queries_logits.sigmoid()
        shares = theirs.class_queries_logits.softmax(-1)[..., :-1]
        scores = torch.einsum("nqc,nqyx->ncyx", shares, masks)
        assert torch.allclose(scores.flatten(1), ours.exp(), atol=1e-4)
        return
    said = ours.unflatten(1, (-1, len(LABELS) + 5))
    assert torch.allclose(theirs.pred_boxes, said[..., -4:].sigmoid(), atol=1e-4)
    classes = theirs.logits.shape[-1]
    assert torch.allclose(theirs.logits, said[..., :classes], atol=1e-4)
    # RT-DETR has no class for nothing: none stands against its classes at 0.
    assert not said[..., classes:-4].any()


@pytest.mark.parametrize("name", list(_SMALL))
def test_a_saved_folder_opens_in_plain_transformers(
    folders: dict[str, Path], name: str, tmp_path: Path
) -> None:
    network = opened(folders[name], name, "one", "two")
    batch = network.encoder.probe_batch()
    save_network(network, tmp_path)
    again = load_network(tmp_path)
    with torch.no_grad():
        first, second = (each(batch).logits["target"] for each in (network, again))
    assert torch.allclose(first, second, atol=1e-5)
    assert whole(tmp_path, name).config.id2label == {0: "one", 1: "two"}
    # In 16 bits whatever needs 32 keeps them.
    with torch.no_grad():
        rounded = again.copied_as(torch.bfloat16)(batch).logits["target"]
    assert torch.allclose(first.exp(), rounded.float().exp(), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", list(_SMALL))
def test_all_of_it_learns_and_starts_anew(folders: dict[str, Path], name: str) -> None:
    network = opened(folders[name], name, "one", "two", grid=8).train()
    batch = network.encoder.probe_batch()
    task: Any
    if kind_of(name) == "segmentation":
        task = Segmentation(labels=("one", "two"), grid=8)
        targets = torch.arange(3 * 64).reshape(3, 64) // 4 % 2
    else:
        task = Detection(labels=("one", "two"))
        targets = torch.tensor([[[0, 0.5, 0.5, 0.2, 0.3]]] * 3)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses, moved = [], set()
    for _ in range(8):
        optimizer.zero_grad()
        loss = task.loss(network(batch).logits["target"], targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        known = network.named_parameters()
        moved |= {each for each, weight in known if weight.grad is not None and weight.grad.any()}
    assert losses[-1] < 0.95 * losses[0]
    assert len(moved) > 0.8 * len(list(network.parameters()))
    head = network.heads["target"]
    assert isinstance(head, NativePlacesHead)
    for part, again in ((head, head.reset), (network.encoder, network.encoder.reset)):
        before = {name: value.clone() for name, value in part.state_dict().items()}
        again(1)
        changed = {name: value.clone() for name, value in part.state_dict().items()}
        assert any(not torch.equal(before[name], changed[name]) for name in before)
        again(1)
        assert all(torch.equal(value, changed[name]) for name, value in part.state_dict().items())


def test_too_few_places_for_the_queries_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["rt-detr"], tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_queries": 85}))
    with pytest.raises(ModelError, match="have 84 places"):
        native_scenes(tmp_path, "detection", size=64)


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
