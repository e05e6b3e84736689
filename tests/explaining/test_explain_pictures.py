"""Explanations of pictures: the corner that decides is found, integrals close, places are right."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from opened_models import LABELS, opened
from PIL import Image
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from picture_models import ancestor, seen_descendant
from tiny_pictures import encoded, photo, tiny_encoder
from transfuse.answering import Answerer, ModelFolder, load_model
from transfuse.cli.app import main
from transfuse.data import Role
from transfuse.data.images import Picture
from transfuse.errors import ModelError
from transfuse.explaining import METHODS, Explanation, Grid, Method, explain
from transfuse.models import LinearHead, Network
from transfuse.models.images import ImageEncoder, Processing
from transfuse.tasks import Classification, Detection, Regression

SIZE = 32
TWO = Classification(labels=("dark", "light"))


class Corner(nn.Module):
    """A backbone whose vector is that of the top right 8 × 8 pixels of what it sees."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 6, 8, stride=8)
        self.mixing = nn.Conv2d(6, 6, 1)

    def forward(self, pixel_values: torch.Tensor, return_dict: bool = True) -> Any:
        found = self.mixing(torch.tanh(self.convolution(pixel_values)))
        corner = found[:, :, 0, -1]
        return BaseModelOutputWithPooling(last_hidden_state=found, pooler_output=corner)


def corner_model(**settings: Any) -> ModelFolder:
    whole = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": SIZE, "width": SIZE},
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }
    config = SimpleNamespace(to_dict=dict)
    encoder = ImageEncoder(Corner().eval(), config, Processing.read(whole | settings))
    return opened(network_of(encoder, 2, gain=100), TWO, temperature=1.5)


def network_of(encoder: ImageEncoder, outputs: int = 3, gain: float = 3) -> Network:
    head = LinearHead(encoder.dim, outputs, seed=1)
    with torch.no_grad():
        head.classifier.weight.mul_(gain)
    return Network({"image": encoder}, {"target": head}).eval()


@dataclass
class Linear(Answerer):
    """Log-odds that are the brightness of the bottom left quarter, in sixteenths of it."""

    parameters = 0  # type: ignore[assignment]
    reads: tuple[Role, ...] = (Role.IMAGE,)

    def __post_init__(self) -> None:
        self.asked: list[int] = []

    def scores(self, pictures: Sequence[Image.Image]) -> NDArray[np.float64]:
        self.asked.append(len(pictures))
        values = [np.asarray(each, float) for each in pictures]
        odds = [each[each.shape[0] // 2 :, : each.shape[1] // 2].mean() / 64 for each in values]
        share = 1 / (1 + np.exp(-np.array(odds)))
        return np.stack([1 - share, share], axis=1)

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, open_member: object) -> "Linear":
        raise NotImplementedError


def as_map(found: Explanation) -> NDArray[np.float64]:
    rows, columns = (max(getattr(each, of) for each in found.patches) for of in ("row", "column"))
    return np.array([each.weight for each in found.patches]).reshape(rows, columns)


def check_boxes(found: Explanation) -> None:
    """The patches cover the picture, each pixel once."""
    assert found.size is not None
    width, height = found.size
    covered = np.zeros((height, width), int)
    for each in found.patches:
        left, top, right, bottom = each.box
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


def test_a_linear_model_is_explained_exactly_in_few_calls() -> None:
    answerer = Linear()
    image = photo(3, 80, 80)
    found = explain(opened(answerer, TWO), image, label="light")
    check_boxes(found)
    weights = as_map(found)
    assert weights.shape == (8, 8)
    assert np.abs(weights[:4]).max() < 1e-9
    assert np.abs(weights[:, 4:]).max() < 1e-9
    pixels = np.asarray(image, float)[40:, :40].reshape(4, 10, 4, 10, 3).mean((1, 3, 4))
    mean = np.round(np.asarray(image, float).mean((0, 1))).mean()
    np.testing.assert_allclose(weights[4:, :4], (pixels - mean) / 64 / 16, atol=1e-9)
    assert found.gap < 1e-9
    assert answerer.asked == [16, 16, 16, 16, 2]


@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_both_ways_find_the_corner_that_decides(fill: Any) -> None:
    model = corner_model()
    image = photo(5, SIZE, SIZE)
    image.paste((220, 30, 40), (24, 0, 32, 8))
    grid = Grid(patches=4, fill=fill)
    occluded, followed = (explain(model, image, method=method, grid=grid) for method in METHODS)
    for found in (occluded, followed):
        check_boxes(found)
        (most,) = found.strongest(1)
        assert (most.row, most.column, most.box) == (1, 4, (24, 0, 32, 8))
        assert all(abs(each.weight) < 1e-5 for each in found.patches if each is not most)
        # All that the picture says is said there.
        assert most.weight == pytest.approx(found.score - found.baseline, rel=0.05)
        assert abs(most.weight) > 0.05
    assert followed.score == pytest.approx(occluded.score, abs=1e-4)
    assert followed.baseline == pytest.approx(occluded.baseline, abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_what_the_processing_cuts_off_has_no_weight(method: Method) -> None:
    """The middle square alone is seen, so that the corner lies at three quarters of the width."""
    model = corner_model(
        image_processor_type="BitImageProcessor",
        size={"shortest_edge": SIZE},
        do_center_crop=True,
        crop_size={"height": SIZE, "width": SIZE},
    )
    image = photo(2, 128, 64)
    image.paste((220, 30, 40), (80, 0, 96, 16))
    found = explain(model, Picture(content=encoded(image)), method=method)
    check_boxes(found)
    weights = as_map(found)
    assert weights.shape == (4, 8)
    assert found.strongest(1)[0].box == (80, 0, 96, 16)
    np.testing.assert_array_equal(weights[:, [0, 1, 7]], 0)


@pytest.mark.parametrize("kind", ["vit", "resnet", "lite", "swin"])
def test_integrated_gradients_close(kind: str) -> None:
    model = opened(network_of(tiny_encoder(kind)), temperature=1.7)
    image = photo(1)
    found = explain(model, image, method="integrated_gradients", tolerance=0.02)
    assert found.gap <= 0.02
    assert not found.note
    scale = max(abs(found.score - found.baseline), *(abs(each.weight) for each in found.patches))
    total = sum(each.weight for each in found.patches)
    assert total == pytest.approx(found.score - found.baseline, abs=0.021 * scale)
    # The score is that of the model's own answer, calibration included.
    (share,) = model.scores([image])[:, model.task.label_names.index(found.label)]
    assert found.probability == pytest.approx(share, abs=1e-4)
    assert found.size == image.size
    assert (len(found.patches), found.patches[-1].row) == (48, 6)


def test_numbers_and_small_pictures() -> None:
    model = opened(network_of(tiny_encoder("resnet"), 1), Regression(mean=3.0, deviation=2.0))
    for method in METHODS:
        found = explain(model, Image.new("L", (3, 1), 40), method=method)
        assert found.probability is None
        assert [each.box for each in found.patches] == [
            (0, 0, 1, 1),
            (1, 0, 2, 1),
            (2, 0, 3, 1),
        ]
        # Nothing is left to empty where all has one colour.
        assert not found.note
        assert [each.weight for each in found.patches] == pytest.approx([0, 0, 0], abs=1e-5)


def test_what_cannot_be_explained_is_named() -> None:
    model = opened(Linear(), TWO)
    with pytest.raises(ModelError, match="reads image, and was given a text"):
        explain(model, "photo.jpg")
    with pytest.raises(ModelError, match="occlusion"):
        explain(model, photo(), method="integrated_gradients")
    with pytest.raises(ModelError, match="smaller picture"):
        explain(model, photo(), seconds=1e-9)
    with pytest.raises(ModelError, match="detection"):
        explain(opened(Linear(), Detection(labels=LABELS)), photo())
    for wrong in ({"patches": 0}, {"fill": "grey"}):
        with pytest.raises(ValueError, match=r"at least 1|one of mean, blur"):
            Grid(**wrong)  # type: ignore[arg-type]


def test_the_numbers_are_what_json_holds() -> None:
    told = explain(opened(Linear(), TWO), photo(), grid=Grid(patches=3)).to_dict()
    assert told["size"] == (60, 44)
    assert not {"text", "tokens"} & set(told)
    assert told["patches"][1]["box"] == (20, 0, 40, 22)


def test_the_command_line_names_the_patches_and_draws_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    seen_descendant(folder, ancestor(tmp_path / "small", "small"), seed=1)
    image = photo(4, 64, 48)
    image.save(tmp_path / "one.png")
    asked = ["explain", str(folder), "--image", str(tmp_path / "one.png")]
    assert main(asked) == 0
    said = capsys.readouterr()
    expected = explain(load_model(folder), image)
    (most,) = expected.strongest(1)
    assert said.out.startswith(expected.label)
    first = next(line.split() for line in said.out.splitlines() if "0." in line and "%" not in line)
    assert first == [str(most.row), str(most.column), f"{most.weight:+.3f}"]
    assert "without its patches" in said.err
    page = tmp_path / "why.html"
    assert main([*asked, "--patches", "4", "--fill", "blur", "--html", str(page), "--json"]) == 0
    (told,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(told["patches"]) == 12
    drawn = page.read_text(encoding="utf-8")
    assert drawn.count("<rect") == 12
    assert drawn.count("data:image/jpeg;base64") == 1
    assert "<script" not in drawn
    for wrong, named in (
        (["--text", "a cat"], "one of them"),
        (["--fill", "grey"], "one of mean, blur"),
        (["--image", str(tmp_path / "none.png")], "cannot be read"),
    ):
        assert main([*asked, *wrong]) == 2
        assert named in " ".join(capsys.readouterr().err.split())
