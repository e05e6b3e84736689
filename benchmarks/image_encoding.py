"""Decoding and encoding photographs, beside a PyTorch DataLoader and transformers' pipeline.

`python -m benchmarks.image_encoding --pictures 256 --size 224` by itself.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.measuring import machine, shown
from transfuse.data.images import Pictures
from transfuse.models import Store, hold_memory, pooled_features, probe_engine
from transfuse.models.images import ImageEncoder, image_encoder
from transfuse.models.images.processing import written_settings

MODEL = "efficientnet-lite0"
BATCH = 32
WIDTH, HEIGHT = 640, 480


class Files(Dataset):
    """Picture files as a DataLoader wants them: decoded, resized, cropped and normalised."""

    def __init__(self, paths: list[Path], encoder: ImageEncoder) -> None:
        self.paths = paths
        processing = encoder.processing
        self.edge, self.size = processing.resize, processing.size
        self.factor = torch.tensor(processing.factor).view(3, 1, 1)
        self.offset = torch.tensor(processing.offset).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        image = Image.open(self.paths[row]).convert("RGB")
        width, height = image.size
        share = self.edge / min(width, height)
        image = image.resize((int(width * share), int(height * share)), Image.Resampling.BICUBIC)
        left, top = ((side - self.size) // 2 for side in image.size)
        image = image.crop((left, top, left + self.size, top + self.size))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
        return pixels * self.factor + self.offset


def photographs(folder: Path, count: int) -> list[Path]:
    """JPEG files of 640 x 480 with detail at every scale, as photographs have it."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        colours = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for places in (4, 12, 40, 120, 480):
            noise = rng.random((places, places * 4 // 3, 3), dtype=np.float32) * 255
            layer = Image.fromarray(noise.astype(np.uint8)).resize((WIDTH, HEIGHT))
            colours += np.asarray(layer, np.float32) / places**0.5
        colours = (colours - colours.min()) / (colours.max() - colours.min()) * 255
        file = io.BytesIO()
        Image.fromarray(colours.astype(np.uint8)).save(file, "JPEG", quality=88)
        paths.append(folder / f"{number:05}.jpg")
        paths[-1].write_bytes(file.getvalue())
    return paths


def contenders(
    encoder: ImageEncoder, paths: list[Path], folder: Path
) -> dict[str, Callable[[], np.ndarray]]:
    """The ways to encode the files, by name."""
    engine = probe_engine("encode")
    print(f"engine: {engine.describe()}")
    plain = encoder.backbone
    piped = transformers.pipeline(
        "image-feature-extraction",
        model=plain,
        image_processor=_processor(written_settings(encoder.processing)),
        pool=True,
        batch_size=BATCH,
    )

    def ours() -> np.ndarray:
        pictures = Pictures.of(paths)
        with tempfile.TemporaryDirectory(dir=folder) as kept:
            return pooled_features(
                encoder,
                encoder.preprocess(pictures),
                pictures.keys(),
                store=Store(Path(kept)),
                engine=engine,
            )

    def loader(workers: int) -> np.ndarray:
        loaded = DataLoader(Files(paths, encoder), batch_size=BATCH, num_workers=workers)
        with torch.no_grad():
            found = [plain(pixel_values=pixels).pooler_output for pixels in loaded]
        return torch.cat(found).numpy()

    def pipe() -> np.ndarray:
        return np.array(piped([str(path) for path in paths])).reshape(len(paths), -1)

    return {
        "transfuse": ours,
        "DataLoader, 0 workers": lambda: loader(0),
        "DataLoader, 2 workers": lambda: loader(2),
        "transformers pipeline": pipe,
    }


def _processor(settings: dict[str, Any]) -> Any:
    return getattr(transformers, f"{settings['image_processor_type']}Pil").from_dict(settings)


def main(rounds: int = 5, pictures: int = 192, size: int = 224) -> None:
    """Measure and print."""
    hold_memory()
    encoder = image_encoder(MODEL, size=size)
    print(machine())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = photographs(folder, pictures)
        ways = contenders(encoder, paths, folder)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        work: dict[str, list[float]] = {name: [] for name in ways}
        vectors = {name: way() for name, way in ways.items()}  # once before it counts
        for _ in range(rounds):
            for name, way in ways.items():
                began, before = time.perf_counter(), sum(os.times()[:4])
                way()
                work[name].append(1000 * (sum(os.times()[:4]) - before) / len(paths))
                rates[name].append(len(paths) / (time.perf_counter() - began))
    print(
        f"{pictures} photographs of {WIDTH} x {HEIGHT}, {MODEL} at {size} pixels, {rounds} rounds"
    )
    mine = vectors["transfuse"]
    for name, found in rates.items():
        ratios = [own / other for own, other in zip(rates["transfuse"], found, strict=True)]
        near = (mine * vectors[name]).sum(1)
        near /= np.linalg.norm(mine, axis=1) * np.linalg.norm(vectors[name], axis=1)
        said = (
            f"{name:24}{median(found):8.1f} pictures/s, {median(work[name]):6.1f} ms of work each"
        )
        if name != "transfuse":
            said += f", ratio {shown(ratios)}, mean cosine {near.mean():.4f}"
        print(said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=192)
    parser.add_argument("--size", type=int, default=224)
    main(**vars(parser.parse_args()))
