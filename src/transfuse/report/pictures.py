"""What a data card tells of pictures, as the page shows it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transfuse.report.format import plain

__all__ = ["inline_images", "picture_counts", "picture_spreads", "picture_strips"]

_INLINE = ("data:image/jpeg;base64,", "data:image/png;base64,")


def picture_counts(card: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, Any, str]]:
    """Counts of a card's pictures.

    Args:
        card: The card as plain data.
        pointer: Where it is in its file.

    Yields:
        Title, number and the pointer to it.
    """
    facts = _facts(card)
    at = f"{pointer}/pictures"
    for kind, word in (("formats", "pictures"), ("modes", "pixels")):
        for name, count in _mapping(facts.get(kind)).items():
            yield f"{plain(name)} {word}", count, f"{at}/{kind}/{name.replace('/', '~1')}"
    for name, title in (("animated", "Animated, first frame used"), ("missing", "Missing")):
        if facts.get(name):
            yield title, facts[name], f"{at}/{name}"
    for name in ("width", "height"):
        spread = _mapping(facts.get(name))
        if spread and not _spreads(spread):
            value = spread["quantiles"]["50"]
            yield f"{name.capitalize()} in pixels", value, f"{at}/{name}/quantiles/50"


def picture_spreads(card: Mapping[str, Any], pointer: str) -> Iterator[tuple[Any, str, str]]:
    """Widths and heights, where pictures differ in them.

    Args:
        card: The card as plain data.
        pointer: Where it is in its file.

    Yields:
        The spread, its title, and the pointer to it.
    """
    for name in ("width", "height"):
        spread = _mapping(_facts(card).get(name))
        if spread and _spreads(spread):
            title = f"{name.capitalize()} of a picture, pixels"
            yield spread, title, f"{pointer}/pictures/{name}"


def picture_strips(card: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Class to a row of its pictures."""
    strips = _mapping(_facts(card).get("strips"))
    return tuple((plain(name), image) for name, image in strips.items() if inline_images([image]))


def inline_images(values: Any) -> tuple[str, ...]:
    """The texts that are images in themselves; an address would fetch something."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return ()
    return tuple(one for one in values if isinstance(one, str) and one.startswith(_INLINE))


def _facts(card: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(card.get("pictures"))


def _spreads(spread: Mapping[str, Any]) -> bool:
    quantiles = _mapping(spread.get("quantiles"))
    return bool(quantiles.get("0") != quantiles.get("100"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
