"""Boxes in COCO's form: a JSON file with `images`, `annotations` and `categories`.

folder/
  annotations.json      or any one JSON file in COCO's form
  images/               or the pictures beside the JSON file
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from transfuse.data.columns import new_dataset
from transfuse.data.loaded import Loaded
from transfuse.data.places import BOXES
from transfuse.errors import DataError, Problem

__all__ = ["coco_file", "is_coco", "load_coco"]

_FIRST_KEYS = r'\s*\{\s*"(info|licenses|images|annotations|categories|type)"\s*:'
_IDS = ("id", "image_id", "category_id")
_HEAD = 4096
_SHOWN = 20
_MEASURED = 100
"""Pictures whose size is compared with what the file says; all of them would take too long."""

_SLACK = 1.0
"""Pixels by which a box may stand out of its picture; it is then cut."""


def is_coco(path: Path) -> bool:
    """Whether a file looks like COCO's JSON, judged by its first key.

    Args:
        path: The file.
    """
    if path.suffix.lower() != ".json":
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return re.match(_FIRST_KEYS, file.read(_HEAD)) is not None


def coco_file(folder: Path) -> Path | None:
    """The one JSON file in COCO's form of a folder, or None.

    Args:
        folder: The folder; `annotations/` in it is looked at too.
    """
    places = [*sorted(folder.glob("*.json")), *sorted(folder.glob("annotations/*.json"))]
    found = [path for path in places if is_coco(path)]
    return found[0] if len(found) == 1 else None


def load_coco(path: Path) -> Loaded:
    """Reads a file in COCO's form.

    Args:
        path: The JSON file. Pictures are looked for beside it, in `images/` beside it, and
            likewise one folder up.

    Returns:
        Columns `image` (the path of each picture) and `boxes`; pictures without boxes are rows
        too.

    Raises:
        DataError: With every entry that is wrong (the first 20 whole, the others counted).
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(Problem(path.name, f"cannot be read as JSON ({error})")) from None
    parts = {
        name: told.get(name) if isinstance(told, dict) else None
        for name in ("images", "annotations", "categories")
    }
    missing = [name for name, part in parts.items() if not isinstance(part, list)]
    if missing:
        what = f"has no list under {' and '.join(map(repr, missing))}"
        raise DataError(Problem(path.name, what, "COCO's form: images, annotations, categories"))
    found = _Coco(path)
    found.pictures(parts["images"] or [])
    found.categories(parts["categories"] or [])
    found.annotations(parts["annotations"] or [])
    return found.finish()


class _Coco:
    """A file while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.files: dict[Any, Path] = {}
        self.sizes: dict[Any, tuple[float, float]] = {}
        self.names: dict[Any, str] = {}
        self.boxes: dict[Any, list[dict[str, Any]]] = {}

    def wrong(self, part: str, entry: int, what: str, expected: str = "") -> None:
        self.problems.append(Problem(f"{self.path.name}, {part}[{entry}]", what, expected))

    def objects(self, part: str, entries: Sequence[Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The entries that are objects with ids that can be looked up."""
        for entry, told in enumerate(entries):
            if not isinstance(told, Mapping):
                self.wrong(part, entry, f"{str(told)[:40]!r} is no object", "an object, {…}")
                continue
            ids = {name: told.get(name) for name in _IDS}
            bad = [name for name, each in ids.items() if isinstance(each, (list, dict))]
            if bad:
                self.wrong(part, entry, f"{bad[0]} {ids[bad[0]]!r}", "a number or a text")
            else:
                yield entry, told

    def pictures(self, entries: Sequence[Any]) -> None:
        folders = [
            folder
            for near in (self.path.parent, self.path.parent.parent)
            for folder in (near / "images", near)
        ]
        seen: set[str] = set()
        for entry, told in self.objects("images", entries):
            key, name = told.get("id"), told.get("file_name")
            if key is None or not isinstance(name, str):
                self.wrong("images", entry, "no id or no file_name", "both")
            elif key in self.files:
                self.wrong("images", entry, f"id {key} a second time", "one picture for each id")
            elif name in seen:
                self.wrong("images", entry, f"{name!r} a second time", "one entry for a picture")
            else:
                file = next((each / name for each in folders if (each / name).is_file()), None)
                if file is None:
                    self.wrong("images", entry, f"no picture {name!r}", f"in {folders[0]}")
                else:
                    seen.add(name)
                    self._size(entry, key, file, told)

    def _size(self, entry: int, key: Any, file: Path, told: Mapping[str, Any]) -> None:
        said = (told.get("width"), told.get("height"))
        known = all(isinstance(side, (int, float)) and side > 0 for side in said)
        self.files[key] = file.resolve()
        self.boxes[key] = []
        if known and entry >= _MEASURED:
            self.sizes[key] = (float(said[0] or 0), float(said[1] or 0))
            return
        # Other JSON files need not wait for what opens pictures.
        from transfuse.data.images import Picture, picture_size

        measured = picture_size(Picture(path=str(file)))
        if measured is None:
            self.wrong("images", entry, f"{file.name!r} cannot be opened as a picture")
        elif known and measured != said:
            what = (
                f"says {said[0]} x {said[1]}, and {file.name!r} has {measured[0]} x {measured[1]}"
            )
            self.wrong("images", entry, what, "the picture's own width and height")
        self.sizes[key] = (float(measured[0]), float(measured[1])) if measured else (1.0, 1.0)

    def categories(self, entries: Sequence[Any]) -> None:
        for entry, told in self.objects("categories", entries):
            key, name = told.get("id"), told.get("name")
            if key is None or not name:
                self.wrong("categories", entry, "no id or no name", "both")
            elif key in self.names:
                self.wrong("categories", entry, f"id {key} a second time", "one name for each id")
            else:
                self.names[key] = str(name)

    def annotations(self, entries: Sequence[Any]) -> None:
        seen: set[Any] = set()
        for entry, told in self.objects("annotations", entries):
            key, picture, kind = told.get("id"), told.get("image_id"), told.get("category_id")
            if key is not None and key in seen:
                self.wrong("annotations", entry, f"id {key} a second time", "an id of its own")
                continue
            seen.add(key)
            if picture not in self.files:
                self.wrong("annotations", entry, f"image_id {picture!r}", "the id of a picture")
            elif kind not in self.names:
                known = ", ".join(str(each) for each in list(self.names)[:20])
                self.wrong("annotations", entry, f"category_id {kind!r}", f"one of {known}")
            else:
                box = self._box(entry, told.get("bbox"), *self.sizes[picture])
                if box is not None:
                    crowd = bool(told.get("iscrowd", 0))
                    self.boxes[picture].append({"label": self.names[kind], **box, "crowd": crowd})

    def _box(self, entry: int, said: Any, width: float, height: float) -> dict[str, float] | None:
        numbers = said if isinstance(said, list) and len(said) == 4 else []
        if not numbers or not all(
            isinstance(each, (int, float)) and math.isfinite(each) for each in numbers
        ):
            self.wrong("annotations", entry, f"bbox {said!r}", "[x, y, width, height] in pixels")
            return None
        x, y, w, h = map(float, numbers)
        if w <= 0 or h <= 0:
            self.wrong("annotations", entry, f"bbox {said!r} is empty", "width and height above 0")
            return None
        left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
        out = max(left - x, top - y, x + w - right, y + h - bottom)
        if out > _SLACK or right <= left or bottom <= top:
            what = f"bbox {said!r} stands out of a picture of {width:g} x {height:g}"
            self.wrong("annotations", entry, what, "a box within the picture")
            return None
        return {
            "x": left / width,
            "y": top / height,
            "w": (right - left) / width,
            "h": (bottom - top) / height,
        }

    def finish(self) -> Loaded:
        if self.problems:
            rest = len(self.problems) - _SHOWN
            more = [Problem(self.path.name, f"{rest:,} more problems")] if rest > 0 else []
            raise DataError([*self.problems[:_SHOWN], *more])
        table = pa.table(
            {
                "image": pa.array([str(file) for file in self.files.values()], pa.string()),
                "boxes": pa.array(list(self.boxes.values()), BOXES),
            }
        )
        names = [file.name for file in self.files.values()]
        empty = sum(not boxes for boxes in self.boxes.values())
        crowds = sum(box["crowd"] for boxes in self.boxes.values() for box in boxes)
        notes = [f"{self.path.name}: {empty:,} pictures without boxes are kept."] if empty else []
        if crowds:
            notes.append(f"{self.path.name}: {crowds:,} crowds are neither learnt nor counted.")
        return Loaded(
            new_dataset(table),
            self.path.name,
            lambda rows: [names[row] for row in rows],
            tuple(notes),
        )
