"""Sample data: sentences rated by people, and emoji as pictures, fetched once and kept.

    from transfuse.data import sample
    products = sample("products")

The tables of sentences come from one archive, the source distribution of `vaderSentiment` 3.3.2,
which pip downloads and checks against a pinned hash: Hutto and Gilbert (2014), 'VADER: a
parsimonious rule-based model for sentiment analysis of social media text' (ICWSM). `emoji.py` tells
of the pictures.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from transfuse.cache import cache_dir
from transfuse.data.archives import Archive, member_of, obtain
from transfuse.data.emoji import NAMES, STYLES, animals, named, symbols
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem
from transfuse.recipe.methods import nearest

__all__ = ["SAMPLES", "Sample", "sample"]

_LAYOUT = 1
"""Part of the cached files' names: raise it when the columns change."""

_CLEAR = 0.5
"""A sentence whose mean rating lies within this of 0 is neither positive nor negative."""


@dataclass(frozen=True)
class Sample:
    """One sample table and where it comes from.

    Args:
        title: What it is, in a few words.
        archives: The archives that hold it.
        extract: Makes the columns from the archives' bytes.
        roles: Role name to column name; None for a role that no column has.
    """

    title: str
    archives: tuple[Archive, ...]
    extract: Callable[[Sequence[bytes]], Mapping[str, list[Any]]]
    roles: Mapping[str, str | None]


def sample(name: str) -> Table:
    """A sample table, from the cache or else from the package registry.

    The four of sentences have the columns `text`, `label` ("negative" or "positive": the sign of
    the mean rating, where that is beyond ±0.5; other sentences are left out), `rating` (mean of
    about twenty people's, -4 to 4), `document` (the group: sentences of one article or review;
    each film snippet and tweet is its own) and `id`. The two of pictures have `image` (PNG),
    `label`, `name`, `codepoint`, `drawing` (the group) and `style`; "animals" also has `split`.
    "emoji-names" has no label but `name` (the text) and its `language`, "en" or "zh".

    Args:
        name: "news" (New York Times editorials), "products" (Amazon reviews), "movies" (Rotten
            Tomatoes snippets), "tweets", "emoji" (Google's, in nine groups), "animals" (emoji
            of four other vendors, in nine kinds of animals) or "emoji-names".

    Returns:
        The table.

    Raises:
        DataError: If the name is unknown, or the archive cannot be fetched, is not the expected
            one, or cannot be stored. `$TRANSFUSE_SAMPLES` may name a folder that holds it.
    """
    if name not in SAMPLES:
        raise DataError(Problem("sample", f"unknown name {name!r}", fix=nearest(name, SAMPLES)))
    chosen = SAMPLES[name]
    folder = cache_dir() / "samples"
    versions = "-".join(archive.version for archive in chosen.archives)
    stored = folder / f"{name}-{versions}-{_LAYOUT}.parquet"
    try:
        columns = _kept(stored, chosen)
    except OSError as error:
        what = f"cannot be read or written ({error.strerror or error})"
        fix = "Make room or rights there, or set TRANSFUSE_CACHE to another folder."
        raise DataError(Problem(str(folder), what, fix=fix)) from error
    except pa.ArrowInvalid as error:
        what = f"not a whole Parquet file ({error})"
        raise DataError(Problem(str(stored), what, fix="Delete it; it is made again.")) from error
    return Table.from_dict(columns, name=name, roles=chosen.roles)


def _kept(stored: Path, chosen: Sample) -> Mapping[str, list[Any]]:
    """The columns as stored, made first if need be; two processes at once make them once."""
    if not stored.exists():
        stored.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(stored.parent / ".lock"):
            if not stored.exists():
                contents = [obtain(archive, stored.parent) for archive in chosen.archives]
                _write(pa.table(dict(chosen.extract(contents))), stored)
    columns: dict[str, list[Any]] = pq.read_table(stored).to_pydict()
    return columns


def _write(columns: pa.Table, path: Path) -> None:
    # The caller holds the lock, so nobody else writes under this name.
    beside = path.with_suffix(".part")
    pq.write_table(columns, beside)
    beside.replace(path)


_VADER = Archive(
    package="vaderSentiment",
    version="3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)


def _rated(file: str) -> Callable[[Sequence[bytes]], Mapping[str, list[Any]]]:
    """Reads one of the four files of rated sentences."""
    inner = f"vaderSentiment-{_VADER.version}/additional_resources/hutto_ICWSM_2014.tar.gz"

    def extract(archives: Sequence[bytes]) -> Mapping[str, list[Any]]:
        content = member_of(member_of(archives[0], inner), f"hutto_ICWSM_2014/{file}")
        return _rated_columns(_decoded(content), file)

    return extract


def _decoded(content: bytes) -> str:
    # The archive's notes say nothing of the encoding. Its accented names are UTF-8; bytes that
    # are not cannot fail as Latin-1.
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _rated_columns(content: str, file: str) -> Mapping[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("text", "label", "rating", "document", "id")
    }
    problems = []
    # Not `splitlines`: it would also cut at characters that occur inside sentences.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        row = _rated_row(line.rstrip("\r"))
        if row is None:
            expected = "id, mean rating and text, separated by tabs"
            problems.append(Problem(f"{file}, line {number}", repr(line[:60]), expected))
        elif abs(row["rating"]) > _CLEAR:
            for name, values in columns.items():
                values.append(row[name])
    if problems:
        raise DataError(problems)
    return columns


def _rated_row(line: str) -> Mapping[str, Any] | None:
    cells = line.split("\t")
    if len(cells) != 3 or not cells[0] or not cells[2].strip():
        return None
    try:
        rating = float(cells[1])
    except ValueError:
        return None
    return {
        "text": html.unescape(cells[2]).strip(),
        "label": "positive" if rating > 0 else "negative",
        "rating": rating,
        "document": cells[0].split("_")[0],
        "id": cells[0],
    }


_RATED_ROLES = {"text": "text", "label": "label", "group": "document", "id": "id"}

_PICTURE_ROLES = {"image": "image", "label": "label", "group": "drawing"}

SAMPLES: dict[str, Sample] = {
    name: Sample(title, (_VADER,), _rated(file), _RATED_ROLES)
    for name, title, file in (
        ("news", "Sentences of New York Times editorials", "nytEditorialSnippets_GroundTruth.txt"),
        ("products", "Sentences of Amazon reviews", "amazonReviewSnippets_GroundTruth.txt"),
        ("movies", "Snippets of film reviews", "movieReviewSnippets_GroundTruth.txt"),
        ("tweets", "Tweets", "tweets_GroundTruth.txt"),
    )
} | {
    "emoji": Sample(
        "Emoji as pictures, in nine groups", (STYLES["noto"],), symbols, _PICTURE_ROLES
    ),
    "animals": Sample(
        "Emoji of animals in four other styles, in nine kinds",
        tuple(STYLES.values()),
        animals,
        _PICTURE_ROLES,
    ),
    "emoji-names": Sample(
        "Emoji as pictures, with their names in English and Chinese",
        (STYLES["noto"], NAMES),
        named,
        {"image": "image", "text": "name", "group": "drawing", "label": None},
    ),
}
"""The samples by name; another one is another entry."""
