"""Small model folders for the tests of merging."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

SHAPES = {
    "model.embed.weight": (50, 16),
    "model.layer.0.weight": (300, 257),
    "model.layer.0.bias": (300,),
    "model.norm.weight": (7,),
    "classifier.weight": (2, 16),
    "classifier.bias": (2,),
}
CONFIG = {
    "architectures": ["TinyForSequenceClassification"],
    "model_type": "tiny",
    "id2label": {"0": "bad", "1": "good"},
    "label2id": {"bad": 0, "good": 1},
}


def bfloat16(values: np.ndarray) -> np.ndarray:
    """The bits of the nearest bfloat16, one by one and in exact arithmetic."""
    found = np.empty(values.shape, np.uint16)
    for place, value in np.ndenumerate(np.asarray(values, np.float32)):
        below = int(value.view(np.uint32)) >> 16
        near = [below, below + 1]
        numbers = [float(np.uint32(bits << 16).view(np.float32)) for bits in near]
        apart = [abs(float(value) - number) for number in numbers]
        even = below & 1
        found[place] = near[0 if apart[0] < apart[1] else 1 if apart[1] < apart[0] else even]
    return found


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def write_file(path: Path, tensors: Mapping[str, tuple[str, np.ndarray]]) -> None:
    """A safetensors file of any types, bfloat16 as its bits."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, values) in tensors.items():
        end = start + values.nbytes
        header[name] = {
            "dtype": dtype,
            "shape": list(values.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header).encode()
    blob = b"".join(values.tobytes() for _, values in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + blob)


def write_model(
    folder: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    shards: int = 1,
    config: Mapping[str, Any] = CONFIG,
) -> Path:
    """A model folder with these weights, whole or in shards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    if shards == 1:
        save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    parts = np.array_split(np.array(list(tensors)), shards)
    names = [f"model-{place + 1:05d}-of-{shards:05d}.safetensors" for place in range(shards)]
    for file, part in zip(names, parts, strict=True):
        save_file({str(name): tensors[str(name)] for name in part}, folder / file)
    weight_map = {str(name): file for file, part in zip(names, parts, strict=True) for name in part}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def tuned(count: int, seed: int = 0, apart: float = 0.1) -> list[dict[str, np.ndarray]]:
    """The weights of a base and of models tuned from it."""
    rng = np.random.default_rng(seed)
    base = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    models = [
        {
            name: (weights + apart * rng.standard_normal(weights.shape)).astype(np.float32)
            for name, weights in base.items()
        }
        for _ in range(count)
    ]
    return [base, *models]


def family(folder: Path, count: int, **options: Any) -> list[Path]:
    """Folders of a base and of models tuned from it."""
    models = tuned(count)
    return [
        write_model(folder / ("base" if not place else f"model-{place}"), weights, **options)
        for place, weights in enumerate(models)
    ]


def read_model(folder: Path) -> dict[str, np.ndarray]:
    """All weights of a folder; float32 and integers only."""
    found: dict[str, np.ndarray] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def whole(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Copies, to see that nothing is changed."""
    return [each.copy() for each in weights]
