"""Tiny encoders of several columns, and tables that only two columns together explain."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from transfuse.data import FieldTable, Records
from transfuse.models import Encoder, FieldEncoder, JoinedEncoder, TextEncoder, load_encoder
from transfuse.models.images import ImageEncoder, Processing
from transfuse.models.images.processing import default_settings

SIZE = 16

RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 12],
    "depths": [1, 1],
    "layer_type": "basic",
    "downsample_in_first_stage": False,
}

VIT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": SIZE,
    "patch_size": 8,
}

Tiny = Callable[..., Path]


def tiny_text(tiny: Tiny) -> TextEncoder:
    """An encoder of texts with 4 layers and vectors of 32."""
    return load_encoder(tiny("bert"), pooling="mean", max_length=16)


def tiny_image(seed: int = 0) -> ImageEncoder:
    """An encoder of pictures with vectors of 12."""
    config = transformers.ResNetConfig(**RESNET)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = transformers.AutoModel.from_config(config)
    return ImageEncoder(backbone, config, Processing.read(default_settings(SIZE))).eval()


def tiny_fields() -> FieldEncoder:
    """An encoder of two numbers and a category."""
    rows = [{"price": float(n), "weight": 0.1 * n, "colour": "red" if n % 2 else "blue"}
            for n in range(8)]  # fmt: skip
    return FieldEncoder(FieldTable.fit(rows))


def joined(tiny: Tiny, *names: str) -> JoinedEncoder:
    """An encoder of these columns. Default: text, picture and fields."""
    made: dict[str, Callable[[], Encoder]] = {
        "text": lambda: tiny_text(tiny),
        "image": tiny_image,
        "fields": tiny_fields,
    }
    return JoinedEncoder({name: made[name]() for name in names or made}).eval()


def picture(red: int, green: int = 0, blue: int = 0) -> bytes:
    """A small picture of one colour, as the bytes of a file."""
    kept = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), (red, green, blue)).save(kept, "PNG")
    return kept.getvalue()


def some_records() -> Records:
    """Four rows; the second lacks its picture, the third its fields, the last its text."""
    return Records(
        {
            "text": ["a good film", "bad", "the book was not very good", None],
            "image": [picture(255), None, picture(0, 255), picture(9, 9, 200)],
            "fields": [
                {"price": 3.0, "weight": None, "colour": "red"},
                {"price": 1.0, "weight": 0.3, "colour": "green"},
                None,
                {"price": 1e9, "weight": 0.1, "colour": None},
            ],
        }
    )


def write_patches(path: Path, rows: int = 64, seed: int = 0, missing: float = 0.0) -> Path:
    """A table whose label is whether word and colour agree: neither alone says anything."""
    rng = np.random.default_rng(seed)
    folder = path.parent / f"{path.stem}-pictures"
    folder.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            good, red = row % 2 == 0, row // 2 % 2 == 0
            place = folder / f"{row}.png"
            shade = int(rng.integers(120, 256))
            place.write_bytes(picture(shade, 0, row % 100) if red else picture(0, row % 100, shade))
            noun = ("film", "book")[rng.integers(2)]
            line: dict[str, Any] = {
                "text": f"the {noun} was {'good' if good else 'bad'} {row}",
                "image": str(place),
                "price": float(rng.normal()),
                "colour": ["blue", "red"][int(rng.integers(2))],
                "label": "agree" if good == red else "differ",
            }
            for name in ("text", "image"):
                if rng.random() < missing / 2:
                    line[name] = None
                    break
            file.write(json.dumps(line) + "\n")
    return path


def save_tiny_image(folder: Path, seed: int = 0) -> Path:
    """A tiny ViT as a folder of plain transformers: it has linear layers for adapters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.ViTModel(transformers.ViTConfig(**VIT), add_pooling_layer=False)
    model.save_pretrained(folder)
    settings = json.dumps(default_settings(SIZE))
    (folder / "preprocessor_config.json").write_text(settings, encoding="utf-8")
    return folder


def patch_recipe(folder: Path, text: Path, image: Path, **more: Any) -> dict[str, Any]:
    """A recipe on `write_patches` that tiny encoders finish in a second or two."""
    path = folder / "patches.jsonl"
    if not path.exists():
        write_patches(path)
    recipe: dict[str, Any] = {
        "name": "patches",
        "model": {
            "columns": {
                "text": {"name": str(text), "pooling": "mean", "max_length": 16},
                "image": str(image),
                "fields": {"width": 8},
            },
            "fusion": {"gated": {"width": 16}},
        },
        "data": {"target": {"path": str(path), "text": "text", "image": "image", "label": "label",
                            "fields": ["price", "colour"]}},
        "split": {"test": 0.3, "validation": 0.1},
        "tune": "frozen",
        "train": {"epochs": 1, "batch_size": 16, "precision": "fp32"},
    }  # fmt: skip
    return recipe | more
