"""Pictures with a mask for each: a folder `images` and a folder `masks` with the same names.

folder/
  images/street.jpg     any picture
  masks/street.png      the class of each pixel: a grey or a palette PNG; 255 is no class
"""

from pathlib import Path

import pyarrow as pa

from transfuse.data.columns import new_dataset
from transfuse.data.loaded import Findings, Loaded
from transfuse.errors import DataError, Problem

__all__ = ["is_mask_folder", "load_masks"]

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_MODES = ("L", "P", "1")


def is_mask_folder(path: Path) -> bool:
    """Whether a folder has `images` and `masks` in it.

    Args:
        path: The folder.
    """
    return (path / "images").is_dir() and (path / "masks").is_dir()


def load_masks(path: Path) -> Loaded:
    """Reads a folder of pictures and masks.

    Args:
        path: The folder with `images` and `masks` in it.

    Returns:
        Columns `image` (the path of each picture) and `mask` (the path of its PNG).

    Raises:
        DataError: With every picture without a mask, mask without a picture, mask that is none,
            and mask of another size than its picture.
    """
    pictures = {
        file.relative_to(path / "images").with_suffix(""): file
        for file in sorted((path / "images").rglob("*"))
        if file.suffix.lower() in _PICTURES
    }
    masks = {
        file.relative_to(path / "masks").with_suffix(""): file
        for file in sorted((path / "masks").rglob("*.png"))
    }
    names = list(pictures)
    findings = Findings()
    for row, name in enumerate(names):
        if name not in masks:
            what = f"no mask masks/{name}.png"
            findings.add(row, Problem(f"{path.name}, images/{name}", what, "one for each picture"))
    for name in sorted(set(masks) - set(pictures)):
        findings.add(len(names), Problem(f"{path.name}, masks/{name}.png", "no picture for it"))
    if not names:
        raise DataError(Problem(str(path / "images"), "there are no pictures in the folder"))

    kept = [name for name in names if name in masks]
    for row, name in enumerate(names):
        if name in masks:
            problem = _wrong(f"{path.name}, masks/{name}.png", pictures[name], masks[name])
            if problem is not None:
                findings.add(row, problem)
    findings.raise_any(path.name)
    table = pa.table(
        {
            "image": pa.array([str(pictures[name].resolve()) for name in kept], pa.string()),
            "mask": pa.array([str(masks[name].resolve()) for name in kept], pa.string()),
        }
    )
    return Loaded(
        new_dataset(table), path.name, lambda rows: [f"images/{names[row]}" for row in rows]
    )


def _wrong(where: str, picture: Path, mask: Path) -> Problem | None:
    """What is wrong with a mask, as the first bytes of both files tell."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(mask) as outlined, Image.open(picture) as shown:
            mode, sizes = outlined.mode, (outlined.size, shown.size)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return Problem(where, "the mask or its picture cannot be opened")
    if mode not in _MODES:
        wanted = "one number a pixel: a grey or a palette PNG of 8 bits"
        return Problem(where, f"a mask in {mode}", wanted, "Write class numbers, not colours.")
    if sizes[0] != sizes[1]:
        told = [f"{width} x {height}" for width, height in sizes]
        return Problem(where, f"the mask has {told[0]}", f"the picture's {told[1]}")
    return None
