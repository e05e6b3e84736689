"""From a decoded picture to the numbers a model reads, on Pillow and numpy alone.

A model folder's `preprocessor_config.json` says how; transformers' own image processors read the
same file. What a folder asks for is done here in one pass over bytes, and the arithmetic that is
left, one factor and one offset for each colour, is done by the encoder on whole batches. Where
that would give other numbers than transformers' processor (it is tried), that processor is used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import transformers
from PIL import Image

from transfuse.errors import ModelError, Problem

__all__ = [
    "PROCESSOR_FILE",
    "Processing",
    "default_settings",
    "read_settings",
    "resized_settings",
    "written_settings",
]

PROCESSOR_FILE = "preprocessor_config.json"
_WARPS_FROM = 384  # ConvNeXt's processor crops smaller pictures and warps larger ones
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Processing:
    """How a picture becomes pixels.

    Args:
        settings: What a `preprocessor_config.json` says.
        size: Side of the square that comes out, in pixels.
        resize: Height and width to resize to, or the shorter side; None to leave it.
        crop: Whether the middle square of `size` is cut out afterwards.
        resample: Pillow's number of the filter.
        factor: What each colour is multiplied by, from 0-255, [3].
        offset: What is then added, [3].
        library: transformers' own processor, where it has to do the work; it gives the final
            numbers.
    """

    settings: Mapping[str, Any]
    size: int
    resize: int | tuple[int, int] | None
    crop: bool
    resample: int
    factor: tuple[float, float, float]
    offset: tuple[float, float, float]
    library: Any = None

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> "Processing":
        """The processing that settings ask for.

        Args:
            settings: What a `preprocessor_config.json` says.

        Raises:
            ModelError: If it leads to no square of one size.
        """
        library = _library(settings)
        if library is not None:
            # It knows what the file leaves out, and the short ways of older files.
            settings = library.to_dict()
        own = _own(settings)
        if library is None or own.agrees_with(library):
            return own
        return cls(
            own.settings, own.size, None, False, own.resample, (1.0,) * 3, (0.0,) * 3, library
        )

    @property
    def needed(self) -> int:
        """The shorter side that a picture is resized to: more of it is not looked at, in pixels."""
        if self.library is not None or self.resize is None:
            return 0
        return self.resize if isinstance(self.resize, int) else max(self.resize)

    @property
    def name(self) -> str:
        """Says all that it does, for telling two apart."""
        said = [self.size, self.resize, self.crop, self.resample, self.factor, self.offset]
        whole = json.dumps(dict(self.settings), sort_keys=True, default=str)
        return json.dumps(said) + (whole if self.library is not None else "")

    def pixels(self, image: Image.Image) -> Pixels:
        """The pixels of a picture.

        Args:
            image: An RGB picture.

        Returns:
            uint8 [size, size, 3], still to be multiplied by `factor` and shifted by `offset`; or
            float32, final, where transformers' own processor did the work.
        """
        if self.library is not None:
            found = np.asarray(self.library(image, return_tensors="np")["pixel_values"][0])
            return np.ascontiguousarray(found.transpose(1, 2, 0), dtype=np.float32)
        if self.resize is not None:
            wanted = _sides(image, self.resize)
            if wanted != image.size:
                image = image.resize(wanted, Image.Resampling(self.resample))
        if image.size != (self.size, self.size):
            if not self.crop:
                raise ValueError(f"expected {self.size} pixels a side, got {image.size}")
            left, top = ((side - self.size) // 2 for side in image.size)
            image = image.crop((left, top, left + self.size, top + self.size))
        return np.asarray(image)

    def agrees_with(self, library: Any) -> bool:
        """Whether it gives the numbers of transformers' own processor, tried on two pictures."""
        noise = np.random.default_rng(0).integers(0, 256, (57, 43, 3), dtype=np.uint8)
        for shape in (noise, noise.transpose(1, 0, 2)):
            image = Image.fromarray(np.ascontiguousarray(shape))
            theirs = np.asarray(library(image, return_tensors="np")["pixel_values"][0])
            ours = self.pixels(image) * np.array(self.factor) + np.array(self.offset)
            if theirs.shape != (3, self.size, self.size):
                return False
            if not np.allclose(ours.transpose(2, 0, 1), theirs, atol=1e-4, rtol=1e-4):
                return False
        return True


def default_settings(size: int) -> dict[str, Any]:
    """ImageNet's usual processing, for a folder that does not say how: resize, crop, normalise.

    Args:
        size: Side of the pictures in pixels.
    """
    return {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": size},
        "crop_pct": 224 / 256,
        "resample": int(Image.Resampling.BICUBIC),
        "image_mean": list(_MEAN),
        "image_std": list(_STD),
    }


def read_settings(folder: Path) -> dict[str, Any] | None:
    """What a model folder says of its pictures; None where it says nothing.

    Args:
        folder: The folder.

    Raises:
        ModelError: If its `preprocessor_config.json` cannot be read.
    """
    path = folder / PROCESSOR_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(Problem(str(path), f"cannot be read: {error}", "JSON")) from error
    if not isinstance(found, dict):
        raise ModelError(Problem(str(path), f"holds a {type(found).__name__}", "an object"))
    return found


def resized_settings(settings: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The same processing for pictures of another size: what is cropped stays in proportion.

    Args:
        settings: What a `preprocessor_config.json` says.
        size: The new side in pixels.
    """
    library = _library(settings)
    full = dict(settings if library is None else library.to_dict())
    now = Processing.read(settings)
    if _is_convnext(full):
        return {**full, "size": {"shortest_edge": size}}
    if now.crop and isinstance(now.resize, int):
        full["size"] = {"shortest_edge": max(size, round(now.resize * size / now.size))}
    elif now.crop and now.resize is not None:
        sides = (now.resize, now.resize) if isinstance(now.resize, int) else now.resize
        height, width = (max(size, round(side * size / now.size)) for side in sides)
        full["size"] = {"height": height, "width": width}
    else:
        full["size"] = {"height": size, "width": size}
    if now.crop:
        full["crop_size"] = {"height": size, "width": size}
    return full


def written_settings(processing: Processing) -> dict[str, Any]:
    """What to write as `preprocessor_config.json`, so that `AutoImageProcessor` reads it.

    Args:
        processing: The processing.
    """
    settings = dict(processing.settings)
    if _library(settings) is None:
        # The same on Pillow, under the name of a processor that transformers has for it.
        kind = "ViTImageProcessor" if isinstance(processing.resize, tuple) else "BitImageProcessor"
        settings |= {"image_processor_type": kind}
        settings.pop("feature_extractor_type", None)
        if processing.crop:
            side = processing.size
            settings |= {"do_center_crop": True, "crop_size": {"height": side, "width": side}}
    return settings


def _own(settings: Mapping[str, Any]) -> Processing:
    size: Mapping[str, Any] = _sizes(settings.get("size"))
    resize: int | tuple[int, int] | None = None
    crop = bool(settings.get("do_center_crop"))
    side: int | None = None
    if settings.get("do_resize", True):
        if size.get("shortest_edge"):
            resize = side = int(size["shortest_edge"])
            if _is_convnext(settings) and side < _WARPS_FROM:
                resize, crop = int(side / float(settings.get("crop_pct") or 224 / 256)), True
            elif _is_convnext(settings):
                resize = (side, side)
        elif size.get("height") and size.get("width"):
            resize = (int(size["height"]), int(size["width"]))
            side = resize[0]
    if settings.get("do_center_crop"):
        cut = _sizes(settings.get("crop_size"))
        side = int(cut.get("height") or cut.get("shortest_edge") or 0)
        if side != int(cut.get("width") or side):
            side = None
    elif isinstance(resize, tuple) and resize[0] != resize[1]:
        side = None
    if not side:
        asked = {name: settings.get(name) for name in ("size", "crop_size", "do_center_crop")}
        raise ModelError(
            Problem(
                PROCESSOR_FILE, f"{asked} gives no square", "pictures of one size, as high as wide"
            )
        )
    factor, offset = _arithmetic(settings)
    # 0 is a filter too: the nearest pixel.
    said = settings.get("resample")
    resample = int(Image.Resampling.BILINEAR if said is None else said)
    crop = crop or isinstance(resize, int) or resize is None
    return Processing(dict(settings), side, resize, crop, resample, factor, offset)


def _arithmetic(
    settings: Mapping[str, Any],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Rescaling and normalising as one factor and one offset for each colour."""
    factor, offset = np.ones(3), np.zeros(3)
    if settings.get("do_rescale", True):
        factor = factor * float(settings.get("rescale_factor") or 1 / 255)
        offset = offset - (1.0 if settings.get("rescale_offset") else 0.0)
    mean = np.broadcast_to(settings.get("image_mean") or _MEAN, 3)
    std = np.broadcast_to(settings.get("image_std") or _STD, 3)
    if settings.get("do_normalize", True):
        factor, offset = factor / std, (offset - mean) / std
    if settings.get("include_top"):
        factor, offset = factor / std, offset / std
    (a, b, c), (x, y, z) = factor.tolist(), offset.tolist()
    return (a, b, c), (x, y, z)


def _library(settings: Mapping[str, Any]) -> Any:
    """Transformers' processor for the settings, on Pillow; None where it has none."""
    name = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    plain = str(name).replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")
    kind = getattr(transformers, f"{plain}Pil", None)
    if kind is None:
        return None
    given = dict(settings)
    if not _is_convnext(given) and not given.get("do_center_crop"):
        size = _sizes(given.get("size"))
        if size.get("shortest_edge") and given.get("do_center_crop") is False:
            # Pictures of one batch have one size.
            edge = int(size["shortest_edge"])
            given |= {"do_center_crop": True, "crop_size": {"height": edge, "width": edge}}
    return kind.from_dict(given)


def _is_convnext(settings: Mapping[str, Any]) -> bool:
    return str(settings.get("image_processor_type", "")).startswith("ConvNext")


def _sizes(value: Any) -> Mapping[str, Any]:
    """A size as a mapping: older files give one number or two."""
    if isinstance(value, int):
        return {"height": value, "width": value}
    if isinstance(value, list | tuple):
        return {"height": value[0], "width": value[1]}
    return dict(value) if value else {}


def _sides(image: Image.Image, resize: int | tuple[int, int]) -> tuple[int, int]:
    """Width and height of the resized picture."""
    if not isinstance(resize, int):
        return resize[1], resize[0]
    width, height = image.size
    short, long = sorted((width, height))
    longer = int(resize * long / short)
    return (resize, longer) if width <= height else (longer, resize)
