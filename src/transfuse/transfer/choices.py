"""The choices of a recipe beside tuning, objectives and balancer: which model, which data."""

import math
from dataclasses import dataclass, fields
from typing import Literal

from transfuse.data import Role

__all__ = ["MODELS", "Pretrained", "TableChoice", "Tfidf"]


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder with a new head."""

    name: str
    """A Hugging Face id, a local folder, or an installed package that carries a model."""

    pooling: Literal["auto", "mean", "cls", "last", "native"] = "auto"
    """How token vectors become one: `native` is the architecture's own classification head.
    Default: what the model says of itself."""

    max_length: int = 128
    """Longest text in tokens; the rest is cut off. Default: 128."""

    dropout: float = 0.1
    """Dropout before the head. Default: 0.1."""

    encoder_dropout: float | None = None
    """Dropout inside the encoder while it trains; without it a step takes about a tenth less.
    Default: what the model was pretrained with."""

    def __post_init__(self) -> None:
        if self.max_length < 2:
            raise ValueError("max_length is at least 2")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout lies in [0, 1)")
        if self.encoder_dropout is not None and not 0 <= self.encoder_dropout < 1:
            raise ValueError("encoder_dropout lies in [0, 1)")


@dataclass(frozen=True)
class Tfidf:
    """Words and word pairs, weighted by TF-IDF, under logistic regression: no transfer at all.

    The baseline that has only seen the target's labelled rows.
    """

    words: int = 2
    """Longest run of words that counts as one feature. Default: 2."""

    language: Literal["auto", "en", "zh", "none"] = "auto"
    """How text is cut into words; `zh` uses jieba. Default: by the script of each text."""

    stop_words: bool = False
    """Whether function words are left out. Default: no, since `not` and `no` carry sentiment."""

    min_rows: int = 1
    """Rows that a feature must occur in. Default: 1."""

    strength: float | None = None
    """Inverse strength C of the L2 penalty. Default: the one of a small grid with the least
    validation log-loss; 1 without validation rows."""

    def __post_init__(self) -> None:
        for name in ("words", "min_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if self.strength is not None and not 0 < self.strength < math.inf:
            raise ValueError("strength is a number above 0")


MODELS: dict[str, type[Pretrained] | type[Tfidf]] = {"pretrained": Pretrained, "tfidf": Tfidf}


@dataclass(frozen=True)
class TableChoice:
    """Where a table comes from and what its columns are for."""

    path: str | None = None
    """A file, a saved `datasets` folder, or a hub name."""

    sample: str | None = None
    """A sample that Transfuse fetches from a package registry, for instance `products`."""

    part: str | None = None
    """The part of a saved or hub data set, for instance `train`. Default: the only one."""

    text: str | None = None
    """Column of the text. Default: inferred, and said."""

    label: str | None = None
    """Column of the label. Default: inferred, and said."""

    group: str | None = None
    """Column that keeps rows together when splitting, for instance the document. Default:
    inferred, and said."""

    encoding: str = "utf-8"
    """Encoding of a text file. Default: utf-8."""

    quotes: bool = True
    """Whether quotation marks hold cells of a CSV file together. Default: true."""

    label_names: bool = False
    """Whether all labels are names, also `nan`, `null` and those that look like numbers. Default:
    false."""

    absent: tuple[str, ...] = ()
    """Roles that no column has, so that none is inferred; `group: null` says the same. Default:
    none."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.sample is None):
            raise ValueError("give either `path` or `sample`")

    @classmethod
    def named_roles(cls) -> tuple[str, ...]:
        """The roles that have an option of their own."""
        return tuple(field.name for field in fields(cls) if field.name in set(Role))

    @property
    def roles(self) -> dict[str, str | None]:
        """The column of each role that was given; None for a role that no column has."""
        given = {role: getattr(self, role) for role in self.named_roles() if getattr(self, role)}
        return {**given, **dict.fromkeys(self.absent)}
