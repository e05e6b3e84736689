"""What the pictures of a table are like, for its data card."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from transfuse.data.blobs import in_threads
from transfuse.data.images.check import looked_at
from transfuse.data.images.pictures import Picture, Pictures
from transfuse.data.images.sheet import inline, strip
from transfuse.data.spread import Spread

__all__ = ["PictureFacts", "picture_facts"]

_MOST = 20_000
"""Pictures whose headers are read, evenly from the whole table."""

_CLASSES = 10
_SHOWN = 10
_SIDE = 56


@dataclass(frozen=True)
class PictureFacts:
    """What the pictures of a table are like.

    Args:
        looked_at: How many headers were read; of a large table some, evenly from all of it.
        missing: Rows without a picture, among those.
        width: In pixels, as stored.
        height: In pixels, as stored.
        modes: Pillow's kind of pixels ("RGB", "L", "P" …) to pictures, commonest first.
        formats: Format to pictures, commonest first.
        animated: Pictures of several frames, of which the first is used.
        strips: Class to a row of its first pictures, as a data URI; the ten commonest classes.
    """

    looked_at: int
    missing: int
    width: Spread
    height: Spread
    modes: Mapping[str, int]
    formats: Mapping[str, int]
    animated: int
    strips: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The facts as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "PictureFacts":
        """The facts that `to_json` wrote."""
        sizes = {name: Spread.from_json(data[name]) for name in ("width", "height")}
        return cls(**{**data, **sizes})


def picture_facts(pictures: Pictures, labels: Sequence[Any] | None = None) -> PictureFacts | None:
    """Describes pictures by their headers, and shows some of each class.

    Args:
        pictures: The pictures.
        labels: The label of each, a list where it has several. Default: there are none.

    Returns:
        The facts, or None if no row has a picture.

    Raises:
        DataError: If a picture that is looked at cannot be opened.
    """
    count = min(len(pictures), _MOST)
    rows = np.linspace(0, len(pictures) - 1, count).astype(np.int64)
    chosen = pictures.take(rows)
    looks = list(in_threads(lambda one: None if one is None else looked_at(one), chosen))
    known = [one for one in looks if one is not None]
    if not known:
        return None
    return PictureFacts(
        looked_at=len(known),
        missing=len(looks) - len(known),
        width=Spread.of([one.width for one in known]),
        height=Spread.of([one.height for one in known]),
        modes=dict(Counter(one.mode for one in known).most_common()),
        formats=dict(Counter(one.format for one in known).most_common()),
        animated=sum(one.animated for one in known),
        strips=_strips(pictures, labels),
    )


def _strips(pictures: Pictures, labels: Sequence[Any] | None) -> dict[str, str]:
    shown: dict[str, list[int]] = {}
    counts: Counter[str] = Counter()
    for row in range(len(pictures)):
        label = "" if labels is None else labels[row]
        for one in label if isinstance(label, list) else (label,):
            counts[str(one)] += 1
            if len(rows := shown.setdefault(str(one), [])) < _SHOWN:
                rows.append(row)
        if labels is None and row >= 4 * _SHOWN:
            break
    found = {}
    for name, _ in counts.most_common(_CLASSES):
        row_pictures: list[Picture] = [one for one in pictures.take(shown[name]) if one is not None]
        if row_pictures:
            found[name] = inline(strip(row_pictures, _SIDE))
    return found
