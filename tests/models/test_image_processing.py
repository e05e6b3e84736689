"""The processing of pictures gives the numbers of transformers' own processors."""

import json

import numpy as np
import pytest
import transformers

from tiny_pictures import encoded, photo
from transfuse.data.images import decode
from transfuse.errors import ModelError
from transfuse.models.images.processing import (
    Processing,
    default_settings,
    read_settings,
    resized_settings,
    written_settings,
)

KINDS = {
    "vit": ("ViTImageProcessorPil", {}),
    "convnext": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 64}}),
    "convnext large": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}),
    "bit": ("BitImageProcessorPil", {}),
    "deit": ("DeiTImageProcessorPil", {}),
    "beit": ("BeitImageProcessorPil", {}),
    "mobilenet": ("MobileNetV2ImageProcessorPil", {}),
    "efficientnet": ("EfficientNetImageProcessorPil", {}),
    "efficientnet offset": (
        "EfficientNetImageProcessorPil",
        {"rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False},
    ),
    "nearest": ("ViTImageProcessorPil", {"resample": 0}),
    "clip": ("CLIPImageProcessorPil", {}),
    "siglip": ("SiglipImageProcessorPil", {}),
}
PICTURES = [photo(1, 300, 210), photo(2, 97, 310), photo(3, 33, 33)]


def settings_of(kind: str, fields: dict) -> dict:
    return getattr(transformers, kind)(**fields).to_dict()


def numbers(processing: Processing, picture) -> np.ndarray:
    pixels = processing.pixels(picture) * np.array(processing.factor) + np.array(processing.offset)
    return pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_those_of_the_library(kind):
    name, fields = KINDS[kind]
    library = getattr(transformers, name)(**fields)
    processing = Processing.read(library.to_dict())
    assert processing.library is None
    for picture in PICTURES:
        theirs = np.asarray(library(picture, return_tensors="np")["pixel_values"][0])
        np.testing.assert_allclose(numbers(processing, picture), theirs, atol=2e-6)


@pytest.mark.parametrize("name", ["MobileViTImageProcessorPil", "LevitImageProcessorPil"])
def test_the_library_does_what_is_not_done_here(name):
    library = getattr(transformers, name)()
    processing = Processing.read(library.to_dict())
    assert processing.library is not None
    for picture in PICTURES:
        theirs = np.asarray(library(picture, return_tensors="np")["pixel_values"][0])
        np.testing.assert_allclose(numbers(processing, picture), theirs, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_another_size(kind):
    name, fields = KINDS[kind]
    processing = Processing.read(resized_settings(settings_of(name, fields), 40))
    assert processing.size == 40
    assert numbers(processing, PICTURES[0]).shape == (3, 40, 40)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_by_the_library(kind, tmp_path):
    name, fields = KINDS[kind]
    processing = Processing.read(resized_settings(settings_of(name, fields), 48))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(written_settings(processing)))
    library = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    theirs = np.asarray(library(PICTURES[1], return_tensors="np")["pixel_values"][0])
    np.testing.assert_allclose(numbers(processing, PICTURES[1]), theirs, atol=2e-6)
    again = Processing.read(read_settings(tmp_path))
    assert again.name == processing.name


def test_a_processor_that_the_library_has_only_for_torchvision():
    said = {
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "size": {"height": 64, "width": 64},
        "resample": 2,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    processing = Processing.read(said)
    assert (processing.size, processing.resize, processing.resample) == (64, (64, 64), 2)
    assert written_settings(processing)["image_processor_type"] == "ViTImageProcessor"


def test_the_short_ways_of_older_files():
    said = {"feature_extractor_type": "ViTFeatureExtractor", "size": 48, "resample": 2}
    assert Processing.read(said).resize == (48, 48)
    said = {"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 0.875}
    assert (Processing.read(said).resize, Processing.read(said).crop) == (256, True)


def test_pictures_of_one_size_come_out_even_where_the_folder_only_names_an_edge():
    said = {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 40},
        "do_center_crop": False,
    }
    assert numbers(Processing.read(said), PICTURES[0]).shape == (3, 40, 40)


def test_other_shapes_are_refused():
    with pytest.raises(ModelError, match="gives no square"):
        Processing.read(
            {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 9}}
        )


def test_a_folder_without_settings(tmp_path):
    assert read_settings(tmp_path) is None
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        read_settings(tmp_path)
    assert Processing.read(default_settings(96)).size == 96


def test_a_large_jpeg_is_decoded_small_without_being_seen():
    processing = Processing.read(default_settings(64))
    large = encoded(photo(4, 1200, 900), "JPEG")
    whole = processing.pixels(decode(large)).astype(float)
    small = processing.pixels(decode(large, 2 * processing.needed)).astype(float)
    assert decode(large, 2 * processing.needed).size == (300, 225)
    assert np.abs(whole - small).mean() < 1.0
