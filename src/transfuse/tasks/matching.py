"""Which caption belongs to which picture."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.data import Role, Table
from transfuse.errors import DataError, Problem
from transfuse.models import Encoder, Head, PairHead
from transfuse.tasks.base import Task, weighted_mean
from transfuse.tasks.contrast import pair_losses

__all__ = ["Matching", "item_numbers"]

_SCALE = 1 / 0.07


def item_numbers(*keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """Numbers of items: rows that agree in any key are one item, and so are rows between them.

    Args:
        keys: One key of each row, several times over; None where a row has none.

    Returns:
        Numbers from 0 in the order of first appearance, [rows].
    """
    leader = list(range(len(keys[0])))

    def first(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    for known in keys:
        seen: dict[Hashable, int] = {}
        for row, key in enumerate(known):
            if key is None:
                continue
            one, other = first(row), first(seen.setdefault(key, row))
            leader[max(one, other)] = min(one, other)
    roots = [first(row) for row in range(len(leader))]
    number = {root: place for place, root in enumerate(dict.fromkeys(roots))}
    return np.array([number[root] for root in roots], dtype=np.int64)


def _contents(table: Table, role: Role) -> list[Hashable]:
    """A key of what each row shows; None where it shows nothing, or nothing that has a key."""
    keys_of = getattr(table.inputs([role]), "keys", None)
    if keys_of is None:
        return [None] * len(table)
    nothing = blake2b(digest_size=16).digest()
    found = (key.tobytes().ljust(16, b"\x00") for key in keys_of())
    return [None if key == nothing else key for key in found]


@dataclass(frozen=True)
class Matching(Task):
    """A caption finds its picture among all pictures, and a picture its captions.

    Rows are pairs. Rows of one group, and rows of one picture, are one item: several captions of a
    picture are all right answers. The network's towers give each row's picture and caption as two
    vectors of length 1, side by side. Another column may stand in the picture's place, such as
    sound.
    """

    equal_captions: bool = False
    """Whether rows of equal captions are one item too, as where captions are made of labels.
    Default: false."""

    answers: ClassVar[Role] = Role.IMAGE

    kind = "matching"
    # The nearest that transformers has a name for.
    problem_type = "regression"
    metrics = (
        "mean_recall",
        "text_to_image_r1",
        "text_to_image_r5",
        "text_to_image_r10",
        "text_to_image_median_rank",
        "image_to_text_r1",
        "image_to_text_r5",
        "image_to_text_r10",
        "image_to_text_median_rank",
    )
    primary = "mean_recall"

    @property
    def outputs(self) -> int:
        """0: how long the two vectors are is the towers' choice."""
        return 0

    @property
    def label_names(self) -> tuple[str, ...]:
        """None: an answer is another row."""
        return ()

    def values(self, table: Table) -> list[int]:
        """The item of each row, as `encode` takes it.

        Args:
            table: Pairs; what is no text is the picture.

        Raises:
            DataError: If there is no column beside the text.
        """
        others = [role for role in table.reads if role != Role.TEXT]
        if not table.schema.has(Role.TEXT) or not others:
            raise DataError(
                Problem(
                    table.name,
                    f"holds {', '.join(table.reads)} alone",
                    "captions and what they belong to",
                    "Name the columns, as `text: caption` and `image: file`.",
                )
            )
        groups = table.groups()
        keys: list[Sequence[Hashable]] = [_contents(table, others[0])]
        if groups is not None:
            keys.append(groups)
        if self.equal_captions:
            keys.append(table.texts())
        found: list[int] = item_numbers(*keys).tolist()
        return found

    def answered(self, table: Table) -> bool:
        """Whether it has a text and something beside it; groups are not needed."""
        return table.schema.has(Role.TEXT) and len(table.reads) > 1

    def head(self, encoder: Encoder, dim: int, dropout: float, seed: int) -> Head:
        """The two vectors as the towers made them."""
        return PairHead(dim)

    def fit(self, values: Sequence[Any], where: str) -> Self:
        """Nothing is read from the items but that there are several.

        Raises:
            DataError: If there are fewer than two.
        """
        found = len(set(values))
        if found < 2:
            raise DataError(
                Problem(where, f"{found} item{'s' if found != 1 else ''}", "two items or more")
            )
        return self

    def encode(self, values: Sequence[Any], where: str) -> NDArray[np.int64]:
        """Item numbers, [n] int64, of values that are the same within an item."""
        return item_numbers([*values]) if len(values) else np.empty(0, np.int64)

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        smoothing: float = 0.0,
        gamma: float = 0.0,
        weights: torch.Tensor | None = None,
        row_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The contrast of `clip` within the batch, at a temperature of 0.07.

        `gamma` and `weights` are for classes and change nothing.
        """
        pictures, captions = logits.float().chunk(2, dim=1)
        losses = pair_losses(pictures @ captions.T, targets, _SCALE, smoothing=smoothing)
        return weighted_mean(losses, row_weights)

    def weights(self, targets: NDArray[Any]) -> None:
        """None: there are no classes."""
        return

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """The two vectors as they are, [n, 2 p]."""
        return logits.float()

    def decode(self, scores: NDArray[Any]) -> list[float]:
        """The cosine of each row's own picture and caption."""
        pictures, captions = np.split(np.asarray(scores), 2, axis=1)
        return [float(cosine) for cosine in np.einsum("np,np->n", pictures, captions)]
