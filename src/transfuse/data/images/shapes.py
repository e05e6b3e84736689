"""Pictures with known things at known places, drawn: shapes over backgrounds.

Colours, sizes and places are drawn by chance and say nothing of the class: only the outline does.
Backgrounds are soft gradients with grain and thin lines, which are of no class.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transfuse.data.seeds import seed_for

__all__ = ["SHAPES", "Scene", "draw_scenes", "write_scenes"]

SHAPES = ("circle", "square", "triangle")
"""The classes; in a mask 0 is the background and these are 1, 2 and 3."""

_FINER = 2
"""Outlines are drawn at this multiple of the size and made smaller, so that they are smooth."""

_TRIES = 20


@dataclass(frozen=True)
class Scene:
    """One drawn picture.

    Args:
        picture: PNG.
        boxes: What is to be found: `label`, and `x`, `y`, `w`, `h` as shares of the picture.
        mask: The class of each pixel, PNG in grey.
    """

    picture: bytes
    boxes: list[dict[str, Any]]
    mask: bytes


def draw_scenes(count: int, size: int = 96, seed: int = 0, most: int = 3) -> Iterator[Scene]:
    """Draws pictures of one to a few shapes.

    Args:
        count: How many pictures.
        size: Their side in pixels. Default: 96.
        seed: Decides what is drawn; picture i is the same whatever the count. Default: 0.
        most: Shapes of a picture at the most; they hardly touch. Default: 3.
    """
    for number in range(count):
        yield _scene(np.random.default_rng(seed_for(seed, "shapes", str(number))), size, most)


def write_scenes(folder: Path, count: int, size: int = 96, seed: int = 0, most: int = 3) -> None:
    """Draws pictures into a folder in both layouts: COCO's and that of masks.

    Args:
        folder: Gets `images/`, `masks/` and `annotations.json`; created if need be.
        count: As for `draw_scenes`.
        size: Likewise.
        seed: Likewise.
        most: Likewise.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    pictures: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, scene in enumerate(draw_scenes(count, size, seed, most)):
        name = f"{number:05}.png"
        (folder / "images" / name).write_bytes(scene.picture)
        (folder / "masks" / name).write_bytes(scene.mask)
        pictures.append({"id": number, "file_name": name, "width": size, "height": size})
        for box in scene.boxes:
            corner = [box[side] * size for side in ("x", "y", "w", "h")]
            found.append(
                {
                    "id": len(found),
                    "image_id": number,
                    "category_id": SHAPES.index(box["label"]) + 1,
                    "bbox": corner,
                    "area": corner[2] * corner[3],
                    "iscrowd": 0,
                }
            )
    told = {
        "images": pictures,
        "annotations": found,
        "categories": [{"id": place + 1, "name": name} for place, name in enumerate(SHAPES)],
    }
    (folder / "annotations.json").write_text(json.dumps(told), encoding="utf-8")


def _scene(rng: np.random.Generator, size: int, most: int) -> Scene:
    from PIL import Image

    canvas = _background(rng, size)
    mask = np.zeros((size, size), np.uint8)
    boxes: list[dict[str, Any]] = []
    for _ in range(int(rng.integers(1, most + 1))):
        drawn = _placed(rng, size, mask)
        if drawn is None:
            continue
        kind, cover = drawn
        colour = _unlike(rng, canvas[cover > 0.5].mean(axis=0))
        grain = rng.normal(0, 10, (size, size, 1))
        canvas = canvas * (1 - cover[..., None]) + (colour + grain) * cover[..., None]
        inside = cover >= 0.5
        mask[inside] = kind + 1
        down, across = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        boxes.append(
            {
                "label": SHAPES[kind],
                "x": float(across[0] / size),
                "y": float(down[0] / size),
                "w": float((across[-1] + 1 - across[0]) / size),
                "h": float((down[-1] + 1 - down[0]) / size),
            }
        )
    picture = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
    return Scene(_png(picture), boxes, _png(Image.fromarray(mask)))


def _background(rng: np.random.Generator, size: int) -> Any:
    """A gradient between four colours with grain and a few lines, float [size, size, 3]."""
    from PIL import Image, ImageDraw

    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    canvas = Image.fromarray(corners).resize((size, size), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(2, 7))):
        ends = rng.integers(0, size, 4).tolist()
        pen.line(ends, fill=tuple(rng.integers(0, 256, 3).tolist()), width=1)
    return np.asarray(canvas, np.float64) + rng.normal(0, 10, (size, size, 1))


def _unlike(rng: np.random.Generator, beside: Any) -> Any:
    """A colour that stands out from another."""
    for _ in range(_TRIES):
        colour = rng.integers(0, 256, 3).astype(np.float64)
        if np.abs(colour - beside).sum() > 150:
            break
    return colour


def _placed(rng: np.random.Generator, size: int, taken: Any) -> tuple[int, Any] | None:
    """The class and the cover (0 to 1, [size, size]) of a shape at a free place, if there is."""
    from PIL import Image, ImageDraw

    for _ in range(_TRIES):
        radius = rng.uniform(0.1, 0.22) * size
        middle = rng.uniform(radius, size - radius, 2)
        kind = int(rng.integers(len(SHAPES)))
        wide = Image.new("L", (size * _FINER, size * _FINER))
        pen = ImageDraw.Draw(wide)
        x, y, r = (float(value) * _FINER for value in (*middle, radius))
        if kind == 0:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
        else:
            corners = 4 if kind == 1 else 3
            turn = rng.uniform(0, 2 * np.pi)
            angles = turn + 2 * np.pi * np.arange(corners) / corners
            points = np.stack([x + r * np.cos(angles), y + r * np.sin(angles)], axis=1)
            pen.polygon([tuple(point) for point in points.tolist()], fill=255)
        small = wide.resize((size, size), Image.Resampling.BOX)
        cover = np.asarray(small, np.float64) / 255
        if not (taken[cover > 0] > 0).any():
            return kind, cover
    return None


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
