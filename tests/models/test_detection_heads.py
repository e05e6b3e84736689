"""Feature maps side by side, heads for boxes and masks over them, and their folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from transfuse.data.images import Pictures
from transfuse.data.images.shapes import draw_scenes
from transfuse.models import (
    Feeds,
    Inference,
    Network,
    Store,
    load_network,
    read_inputs,
    save_network,
)
from transfuse.models.encoder import Encoded
from transfuse.models.engine import Engine
from transfuse.models.images import ImageEncoder, Processing
from transfuse.models.scenes import (
    DetectionHead,
    Level,
    PlacesHead,
    Pyramid,
    SegmentationHead,
    levels_of,
    seeing_all,
    unpacked,
)

SIZE = 64
LABELS = ("circle", "square")


def settings(**more: Any) -> dict[str, Any]:
    return {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": SIZE, "width": SIZE},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.25],
        **more,
    }


def resnet(side: int = SIZE, **more: Any) -> ImageEncoder:
    """A tiny ResNet with maps of 16, 8, 4 and 2 places a side at 64 pixels."""
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1], layer_type="basic"
    )
    given = settings(size={"height": side, "width": side}) | more
    model = transformers.AutoModel.from_config(config)
    return ImageEncoder(model, config, Processing.read(given)).eval()


def vit() -> ImageEncoder:
    """A tiny ViT: one class token and 4 x 4 places."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIZE,
    )
    model = transformers.AutoModel.from_config(config)
    return ImageEncoder(model, config, Processing.read(settings())).eval()


def head_of(kind: str, encoder: Pyramid | ImageEncoder, **more: Any) -> PlacesHead:
    if kind == "detection":
        return DetectionHead(levels_of(encoder), LABELS, 3, width=16, **more)
    return SegmentationHead(levels_of(encoder), LABELS, 8, width=16, **more)


def test_the_last_map_of_each_resolution_is_found() -> None:
    found = Pyramid(resnet(), 9).levels
    assert [(level.channels, level.factor) for level in found] == [
        (24, 1),
        (16, 2),
        (12, 4),
        (8, 8),
    ]
    assert [level.layer for level in found] == sorted((each.layer for each in found), reverse=True)
    assert Pyramid(resnet(), 2).levels == found[:2]
    assert [level.channels for level in Pyramid(vit(), 3).levels] == [16]


def test_packed_maps_are_the_maps() -> None:
    inner = resnet()
    pyramid = Pyramid(inner, 3)
    batch = inner.probe_batch()
    with torch.no_grad():
        tokens = pyramid(batch).tokens
        assert tokens is not None
        maps = unpacked(tokens, pyramid.levels)
        for level, found in zip(pyramid.levels, maps, strict=True):
            plain = (
                inner(batch).tokens
                if level.layer == inner.depth
                else inner.prefix(batch, level.layer)
            )
            assert plain is not None
            even = torch.nn.functional.layer_norm(plain, plain.shape[-1:])
            assert torch.allclose(found.flatten(2).transpose(1, 2), even, atol=1e-5)


def test_sides_that_do_not_divide_are_evened() -> None:
    pyramid = Pyramid(resnet(72), 4)  # 18, 9, 5 and 3 places
    tokens = pyramid(pyramid.probe_batch()).tokens
    assert tokens is not None
    sides = [each.shape[-1] for each in unpacked(tokens, pyramid.levels)]
    assert sides == [3 * level.factor for level in pyramid.levels]


def test_class_tokens_are_no_place() -> None:
    tokens = torch.arange(5.0)[None, :, None]
    (places,) = unpacked(tokens, [Level(1, 1, 3)])
    assert places.flatten().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("make", [resnet, vit])
def test_kept_tokens_give_the_same_answer(make: Any) -> None:
    pyramid = Pyramid(make(), 3)
    network = Network({"image": pyramid}, {"target": head_of("detection", pyramid)}).eval()
    batch = pyramid.probe_batch()
    with torch.no_grad():
        plain = network(batch).logits["target"]
        for layers in range(pyramid.depth + 1):
            if network.can_resume(layers) and layers:
                kept = {"hidden": pyramid.prefix(batch, layers)}
                again = network(kept, layers).logits["target"]
                assert torch.allclose(plain, again, atol=1e-4)
    assert network.can_resume(pyramid.depth)


def test_frozen_maps_are_read_from_the_store(tmp_path: Path) -> None:
    pyramid = Pyramid(resnet(), 2)
    network = Network({"image": pyramid}, {"target": head_of("segmentation", pyramid)}).eval()
    pictures = Pictures.of([scene.picture for scene in draw_scenes(5, 48)])
    inputs = read_inputs(pyramid, pictures)
    store, engine = Store(tmp_path), Engine()
    kept = Feeds(network, pyramid.depth, store, engine).feed(inputs)
    assert set(kept.batch(np.arange(2))) == {"hidden", "attention_mask"}
    plain = Inference(network).logits(Feeds(network).feed(inputs), "target")
    assert torch.allclose(plain, Inference(network).logits(kept, "target"), atol=1e-4)


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_heads_answer_in_one_row_and_start_as_their_seed_says(kind: str) -> None:
    pyramid = Pyramid(resnet(), 2)
    head, other = head_of(kind, pyramid, seed=1), head_of(kind, pyramid, seed=2)
    encoded = pyramid(pyramid.probe_batch())
    first = head(encoded, {})
    assert first.shape == (3, head.outputs)
    assert not torch.allclose(first, other(encoded, {}))
    other.reset(1)
    assert torch.equal(first, other(encoded, {}))
    first.sum().backward()
    assert all(weight.grad is not None for weight in head.parameters())


def test_a_vector_alone_is_no_answer() -> None:
    head = head_of("detection", Pyramid(resnet(), 2))
    assert head(Encoded(torch.zeros(2, 24)), {}).isnan().all()


def test_boxes_begin_where_their_query_stands() -> None:
    head = head_of("detection", Pyramid(resnet(), 2), layers=0)
    with torch.no_grad():
        for weight in head.boxes[-1].parameters():  # type: ignore[index]
            weight.zero_()
        said = head(Encoded(torch.zeros(1, 24), torch.zeros(1, 4, 24 + 64)), {})
    boxes = said.reshape(9, -1)[:, -4:].sigmoid()
    third = [1 / 6, 3 / 6, 5 / 6]
    wanted = [[x, y, 0.2, 0.2] for y in third for x in third]
    assert torch.allclose(boxes, torch.tensor(wanted), atol=1e-5)


def test_nothing_of_a_picture_is_cut_away() -> None:
    cropping = resnet(
        do_center_crop=True,
        crop_size={"height": SIZE, "width": SIZE},
        size={"shortest_edge": 80},
        image_processor_type="ConvNextImageProcessor",
    )
    whole = seeing_all(cropping)
    assert isinstance(whole, ImageEncoder)
    assert cropping.processing.crop
    assert (whole.processing.crop, whole.processing.resize) == (False, (whole.size, whole.size))
    assert whole.processing.factor == pytest.approx(cropping.processing.factor)
    assert whole.processing.offset == pytest.approx(cropping.processing.offset)


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_a_folder_gives_the_same_network(kind: str, tmp_path: Path) -> None:
    pyramid = Pyramid(seeing_all(resnet()), 2)
    network = Network({"image": pyramid}, {"target": head_of(kind, pyramid, seed=3)}).eval()
    save_network(network, tmp_path / "model")
    again = load_network(tmp_path / "model")
    inputs = Pictures.of([scene.picture for scene in draw_scenes(3, 48)])
    first, second = (
        Inference(each).logits(Feeds(each).feed(read_inputs(each.encoder, inputs)), "target")
        for each in (network, again)
    )
    assert torch.allclose(first, second, atol=1e-5)
    assert again.heads["target"].labels == LABELS


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_plain_transformers_opens_the_folder(kind: str, tmp_path: Path) -> None:
    pyramid = Pyramid(seeing_all(resnet()), 2)
    network = Network({"image": pyramid}, {"target": head_of(kind, pyramid, seed=3)}).eval()
    save_network(network, tmp_path)
    auto = (
        transformers.AutoModelForObjectDetection
        if kind == "detection"
        else transformers.AutoModelForSemanticSegmentation
    )
    model = auto.from_pretrained(tmp_path).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    batch = pyramid.probe_batch()
    with torch.no_grad():
        ours = network(batch).logits["target"]
        pixels = processor(list(batch["pixels"].numpy()), return_tensors="pt")["pixel_values"]
        told = model(pixels)
    if kind == "segmentation":
        assert torch.allclose(told.logits.flatten(1), ours, atol=1e-4)
    else:
        assert torch.allclose(
            told.pred_boxes, ours.reshape(3, 9, -1)[..., -4:].sigmoid(), atol=1e-4
        )
