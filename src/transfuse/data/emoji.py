"""Emoji of five vendors as pictures: coarse groups in one style, kinds of animals in four others.

And those of Noto with their names in English and in Chinese, for text that belongs to pictures.

The drawings come from the packages of icon sets that Iconify publishes in the registry of npm, each
a file of SVG under its vendor's licence, and are drawn here at 72 pixels.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from transfuse.data.archives import Archive, member_of
from transfuse.errors import DataError, Problem

__all__ = ["ANIMALS", "NAMES", "STYLES", "animals", "named", "symbols"]

SIDE = 72
"""Pixels of a picture's sides."""

STYLES: dict[str, Archive] = {
    "noto": Archive(
        "@iconify-json/noto",
        "1.2.9",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        registry="npm",
    ),
    "twemoji": Archive(
        "@iconify-json/twemoji",
        "1.2.5",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        registry="npm",
    ),
    "fluent": Archive(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        registry="npm",
    ),
    "openmoji": Archive(
        "@iconify-json/openmoji",
        "1.2.29",
        "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
        registry="npm",
    ),
    "emojione": Archive(
        "@iconify-json/emojione",
        "1.2.3",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
        registry="npm",
    ),
}
"""The styles: Noto (Google, Apache 2.0), Twemoji (Twitter, CC BY 4.0), Fluent (Microsoft, MIT),
OpenMoji (HfG Schwäbisch Gmünd, CC BY-SA 4.0) and EmojiOne 2 (CC BY 4.0)."""

NAMES = Archive(
    "emojibase-data",
    "17.0.0",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    registry="npm",
)
"""Unicode's names of emoji in many languages (CLDR, Unicode License V3; the package is MIT)."""

LANGUAGES = ("en", "zh")
"""Those that the names are taken in."""

_KINDS = {
    "bird": "baby-chick bird black-bird chicken dodo dove duck eagle flamingo goose hatching-chick "
    "front-facing-baby-chick owl parrot peacock penguin phoenix rooster swan turkey",
    "bug": "ant beetle bug butterfly cockroach cricket fly honeybee lady-beetle monarch-butterfly "
    "mosquito scorpion snail spider worm",
    "cat": "black-cat cat cat-face leopard lion tiger tiger-face",
    "dog": "dog dog-face fox guide-dog poodle service-dog wolf",
    "hoofed animal": "bison boar camel cow cow-face deer donkey ewe giraffe goat horse horse-face "
    "llama moose ox pig pig-face ram two-hump-camel unicorn water-buffalo zebra",
    "large mammal": "bear elephant gorilla hippopotamus kangaroo koala mammoth monkey monkey-face "
    "orangutan panda polar-bear rhinoceros sloth",
    "reptile or frog": "crocodile dragon dragon-face frog lizard sauropod snake t-rex turtle",
    "sea animal": "blowfish coral crab dolphin fish jellyfish lobster octopus orca oyster seal "
    "shark shrimp spouting-whale squid tropical-fish whale",
    "small mammal": "badger bat beaver chipmunk hamster hedgehog mouse mouse-face otter rabbit "
    "rabbit-face raccoon rat skunk",
}

ANIMALS: dict[str, str] = {name: kind for kind, names in _KINDS.items() for name in names.split()}
"""Emoji to the kind of animal that it shows."""

_VARIED = {
    "black-bird": "bird",
    "black-cat": "cat",
    "guide-dog": "dog",
    "monarch-butterfly": "butterfly",
    "polar-bear": "bear",
    "service-dog": "dog",
}
"""Animals that are others' drawings in another colour or dress, to those; they stay together."""

_GROUPS = {
    "Activities": "activity",
    "Animals & Nature": "plant",
    "Food & Drink": "food",
    "Objects": "object",
    "People & Body": "person",
    "Smileys & Emotion": "face",
    "Symbols": "symbol",
    "Travel & Places": "place",
}
"""Groups of Unicode to labels; of nature, animals have a label of their own."""

_VARIANTS = ("couple-with", "family", "kiss-", "man-", "men-", "woman-", "women-")
"""Beginnings of names of people drawn again as others."""

_NO_PLANTS = ("empty-nest", "feather", "microbe", "nest-with-eggs", "paw-prints", "pig-nose",
              "rosette", "spider-web", "spiral-shell", "white-flower", "wing")  # fmt: skip
"""Neither animals nor plants, though their group is nature."""

_TEST, _VALIDATION = 0.4, 0.1


def symbols(archives: Sequence[bytes]) -> Mapping[str, list[Any]]:
    """Emoji of all groups in the style of Noto, without the animals that `animals` tests on.

    Args:
        archives: Noto's archive.

    Returns:
        Columns `image` (PNG), `label` (one of nine groups), `name`, `codepoint`, `drawing` (the
        code point of what it varies) and `style`.
    """
    (noto,) = map(_icons, archives)
    parts = _parts()
    labels: dict[str, str] = {}
    for group, label in _GROUPS.items():
        for name in noto["categories"][group]:
            if name in ANIMALS:
                if parts[name] == "train":
                    labels[name] = "animal"
            elif _counts(name):
                labels[name] = label
    return _columns((name, label, "noto", noto, {}) for name, label in sorted(labels.items()))


def animals(archives: Sequence[bytes]) -> Mapping[str, list[Any]]:
    """Emoji of animals in four styles.

    Args:
        archives: Noto's archive, which tells the code points, then those of the other styles.

    Returns:
        Columns `image` (PNG), `label` (one of nine kinds), `name`, `codepoint`, `drawing`, `style`
        and `split`, which is the same for all drawings of an animal and its variants.
    """
    noto, *others = map(_icons, archives)
    parts = _parts()
    styles = dict(zip(list(STYLES)[1:], others, strict=True))
    rows = (
        (name, kind, style, icons, {"split": parts[name]})
        for name, kind in sorted(ANIMALS.items())
        for style, icons in styles.items()
        if name in icons["icons"]
    )
    return _columns(rows, noto["codepoints"])


def named(archives: Sequence[bytes]) -> Mapping[str, list[Any]]:
    """Emoji in the style of Noto, each with its name in two languages, a row for each.

    Args:
        archives: Noto's archive, and that of the names.

    Returns:
        Columns `image` (PNG), `name`, `language`, `codepoint` and `drawing` (the code point of what
        it varies). What has no name in one of the languages is left out.
    """
    noto, told = _icons(archives[0]), archives[1]
    names = {
        language: {
            _plain(each["hexcode"]): each["label"]
            for each in json.loads(member_of(told, f"package/{language}/compact.json"))
        }
        for language in LANGUAGES
    }
    columns: dict[str, list[Any]] = {
        column: [] for column in ("image", "name", "language", "codepoint", "drawing")
    }
    for icon in sorted(noto["icons"]):
        codepoint = noto["codepoints"].get(icon, "")
        wanted = icon in ANIMALS or _counts(icon)
        if not wanted or any(_plain(codepoint) not in known for known in names.values()):
            continue
        drawing = noto["codepoints"].get(_VARIED.get(icon, icon), codepoint)
        image = _drawn(noto, icon)
        for language, known in names.items():
            row = (image, known[_plain(codepoint)], language, codepoint, drawing)
            for values, value in zip(columns.values(), row, strict=True):
                values.append(value)
    return columns


def _plain(codepoint: str) -> str:
    """A code point without the sign that asks for a drawing, which some lists leave out."""
    return "-".join(each for each in codepoint.lower().split("-") if each != "fe0f")


def _counts(name: str) -> bool:
    """Whether an emoji is one of its group: no variant, and no animal's face among the smileys."""
    words = name.split("-")
    return not (
        name.startswith(_VARIANTS)
        or name in _NO_PLANTS
        or "skin" in words
        or {"cat", "monkey", "animal"} & set(words)
    )


def _parts() -> dict[str, str]:
    """The split of each animal: of each kind the same shares, decided by the name's hash."""
    parts = {}
    for names in _KINDS.values():
        drawn = [name for name in names.split() if name not in _VARIED]
        ordered = sorted(drawn, key=lambda name: blake2b(name.encode()).digest())
        tested, validated = round(_TEST * len(ordered)), max(1, round(_VALIDATION * len(ordered)))
        for place, name in enumerate(ordered):
            rest = "validation" if place < tested + validated else "train"
            parts[name] = "test" if place < tested else rest
    return parts | {name: parts[base] for name, base in _VARIED.items()}


def _icons(archive: bytes) -> dict[str, Any]:
    """The icons of an archive by name, with the categories and the code points that it tells."""
    files = {
        name: json.loads(member_of(archive, f"package/{name}.json"))
        for name in ("icons", "chars", "metadata")
    }
    codepoints: dict[str, str] = {}
    # `{}` is written as a list where no code point is known.
    for codepoint, name in dict(files["chars"] or {}).items():
        known = codepoints.get(name)
        codepoints[name] = codepoint if known is None else min(known, codepoint, key=len)
    return {
        **files["icons"],
        "categories": files["metadata"]["categories"],
        "codepoints": codepoints,
    }


def _columns(
    rows: Iterator[tuple[str, str, str, dict[str, Any], dict[str, str]]],
    codepoints: Mapping[str, str] | None = None,
) -> Mapping[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name, label, style, icons, more in rows:
        known = codepoints or icons["codepoints"]
        row = {
            "image": _drawn(icons, name),
            "label": label,
            "name": name.replace("-", " "),
            "codepoint": known[name],
            "drawing": known[_VARIED.get(name, name)],
            "style": style,
            **more,
        }
        for column, value in row.items():
            columns.setdefault(column, []).append(value)
    return columns


def _drawn(icons: Mapping[str, Any], name: str) -> bytes:
    """An icon as a PNG with a transparent ground."""
    # Not at the top: it holds a browser's engine, which takes a second to load.
    import vl_convert

    icon = icons["icons"][name]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SIDE}" height="{SIDE}" viewBox="{left} {top} {width} {height}">'
        f"{icon['body']}</svg>"
    )
    try:
        return bytes(vl_convert.svg_to_png(drawing, scale=1.0, ppi=72))
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(Problem(f"emoji {name}", f"cannot be drawn ({reason})")) from None
