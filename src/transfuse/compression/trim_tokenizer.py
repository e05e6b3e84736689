"""Tokenizers with some of their tokens left out, so that what remains cuts texts as before.

A text whose tokens all stay is cut as before, whatever the kind of tokenizer:

- WordPiece takes the longest token that fits. With fewer tokens nothing longer appears.
- BPE merges pairs in order of rank. Every merge that can lead to a token that stays is kept with
  its parts, so the same merges apply in the same order; others lead to tokens that are gone.
- Unigram takes the sequence of the greatest probability. With fewer sequences to choose from the
  best one stays the best. An unknown character costs as much as the least probable token and a
  constant, so that token stays.
"""

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from transformers import AutoTokenizer

from transfuse.errors import ModelError, Problem
from transfuse.models.quiet import quiet_loading

__all__ = [
    "Characters",
    "first_tokens",
    "kept_tokens",
    "renumbered",
    "rules_of",
    "trimmed_tokenizer",
    "unknown_id",
]

Characters = Literal["all", "seen"]
"""Which single characters stay."""

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_UNUSED = re.compile(r"[\[<]unused_?\d+[\]>]")
_KINDS = ("WordPiece", "BPE", "Unigram", "WordLevel")
# What other forms of the vocabulary may stand beside tokenizer.json.
_OTHER_FILES = ("vocab*", "merges*", "*.model", "*.spm", "added_tokens.json")


def rules_of(tokenizer: Any) -> dict[str, Any]:
    """A fast tokenizer's rules and vocabulary, without the state that calls leave behind.

    Args:
        tokenizer: A fast tokenizer.

    Returns:
        The contents of its tokenizer.json.

    Raises:
        ModelError: If its vocabulary is of a kind that cannot be trimmed.
    """
    rules: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = rules["model"].get("type")
    if kind not in _KINDS:
        raise ModelError(
            Problem(type(tokenizer).__name__, f"its model is {kind}", ", ".join(_KINDS))
        )
    return {**rules, "truncation": None, "padding": None}


def unknown_id(rules: Mapping[str, Any]) -> int | None:
    """The token that stands for what has none; None without such a token.

    Args:
        rules: A tokenizer's rules.
    """
    model = rules["model"]
    if model["type"] == "Unigram":
        found: int | None = model.get("unk_id")
        return found
    return _ids(model).get(model.get("unk_token") or "")


def first_tokens(rules: Mapping[str, Any], count: int) -> list[int]:
    """The tokens that come first in the vocabulary, without places that nothing was given to.

    Args:
        rules: A tokenizer's rules.
        count: How many.
    """
    ordered = sorted(_ids(rules["model"]).items(), key=lambda each: each[1])
    return [number for name, number in ordered if not _UNUSED.fullmatch(name)][:count]


def kept_tokens(
    rules: Mapping[str, Any], used: Collection[int], characters: Characters
) -> list[int]:
    """The tokens that stay so that the used ones do, and nothing becomes impossible.

    Added and special tokens stay, those that stand for bytes, single characters, and whatever the
    used tokens are put together from.

    Args:
        rules: A tokenizer's rules.
        used: Ids of the tokens that are used.
        characters: `all` keeps every single character; `seen` those of the used tokens.

    Returns:
        Their ids, ascending.
    """
    model = rules["model"]
    ids = _ids(model)
    names = {number: name for name, number in ids.items()}
    kept = {number for number in used if number in names}
    seen = {sign for number in kept for sign in names[number]}
    kept |= {int(token["id"]) for token in rules["added_tokens"]}
    kept |= {ids[name] for name in _named(rules) if name in ids}
    kept |= {number for name, number in ids.items() if _BYTE.fullmatch(name)}
    alphabet = _has_bytes(rules)
    for name, number in ids.items():
        sign = _bare(model, name)
        if len(sign) == 1 and (characters == "all" or alphabet or sign in seen):
            kept.add(number)
    match model["type"]:
        case "WordPiece":
            kept |= _irreplaceable(model, ids, None if characters == "all" else seen)
        case "Unigram":
            kept.add(min(ids.values(), key=lambda number: model["vocab"][number][1]))
        case "BPE":
            _close_merges(model, ids, kept)
    return sorted(kept)


def renumbered(rules: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """Rules with some tokens alone, numbered anew in their old order.

    Args:
        rules: A tokenizer's rules; they stay as they are.
        kept: Ids of the tokens that stay, ascending.

    Returns:
        The new rules.
    """
    places = {old: new for new, old in enumerate(kept)}
    found: dict[str, Any] = json.loads(json.dumps(rules))
    model = found["model"]
    if model["type"] == "Unigram":
        vocabulary = model["vocab"]
        model["vocab"] = [vocabulary[old] for old in kept if old < len(vocabulary)]
        if model.get("unk_id") is not None:
            model["unk_id"] = places[model["unk_id"]]
    else:
        model["vocab"] = {
            name: places[old] for name, old in model["vocab"].items() if old in places
        }
    if model["type"] == "BPE":
        left = model["vocab"]
        model["merges"] = [
            pair
            for pair in model["merges"]
            if all(part in left for part in (*_pair(pair), _joined(model, *_pair(pair))))
        ]
    for token in found["added_tokens"]:
        token["id"] = places[token["id"]]
    _renumber_processor(found["post_processor"], places)
    return found


def trimmed_tokenizer(tokenizer: Any, rules: Mapping[str, Any]) -> Any:
    """A tokenizer like another with other rules, as it will be read from its folder.

    Args:
        tokenizer: The tokenizer; it stays as it is.
        rules: What `renumbered` gave.

    Returns:
        The new one.

    Raises:
        ModelError: If its class makes another vocabulary of these rules.
    """
    with tempfile.TemporaryDirectory() as name, quiet_loading():
        folder = Path(name)
        tokenizer.save_pretrained(folder)
        for pattern in _OTHER_FILES:
            for path in folder.glob(pattern):
                path.unlink()
        (folder / "tokenizer.json").write_text(
            json.dumps(rules, ensure_ascii=False), encoding="utf-8"
        )
        path = folder / "tokenizer_config.json"
        told = json.loads(path.read_text(encoding="utf-8"))
        # Ids of added tokens stand there a second time in some versions.
        told.pop("added_tokens_decoder", None)
        path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
        made = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    wanted = _ids(rules["model"]) | {each["content"]: each["id"] for each in rules["added_tokens"]}
    if made.get_vocab() != wanted:
        raise ModelError(
            Problem(
                type(tokenizer).__name__,
                f"its class makes {len(made)} tokens of the {len(wanted)} that stay",
                "a tokenizer that is what its tokenizer.json says",
            )
        )
    return made


def _ids(model: Mapping[str, Any]) -> dict[str, int]:
    """The ids of a tokenizer model's own tokens."""
    if model["type"] == "Unigram":
        return {name: place for place, (name, _) in enumerate(model["vocab"])}
    return dict(model["vocab"])


def _named(rules: Mapping[str, Any]) -> list[str]:
    """Tokens that the rules name: the unknown one and those around texts."""
    model = rules["model"]
    found = [model.get("unk_token")]
    if model["type"] == "Unigram" and model.get("unk_id") is not None:
        found.append(model["vocab"][model["unk_id"]][0])
    for part in _processors(rules["post_processor"]):
        for told in part.get("special_tokens", {}).values() if _is_template(part) else ():
            found += told["tokens"]
        found += [part[name][0] for name in ("cls", "sep") if name in part]
    return [name for name in found if name]


def _processors(part: Any) -> list[dict[str, Any]]:
    """The post-processors, one by one."""
    if part is None:
        return []
    if part["type"] == "Sequence":
        return [each for inner in part["processors"] for each in _processors(inner)]
    return [part]


def _is_template(part: Mapping[str, Any]) -> bool:
    return bool(part["type"] == "TemplateProcessing")


def _renumber_processor(processor: Any, places: Mapping[int, int]) -> None:
    for part in _processors(processor):
        if _is_template(part):
            for told in part["special_tokens"].values():
                told["ids"] = [places[old] for old in told["ids"]]
        for name in ("cls", "sep"):
            if name in part:
                part[name] = [part[name][0], places[part[name][1]]]


def _has_bytes(rules: Mapping[str, Any]) -> bool:
    """Whether single characters stand for bytes."""
    return '"ByteLevel"' in json.dumps([rules["pre_tokenizer"], rules["normalizer"]])


def _bare(model: Mapping[str, Any], name: str) -> str:
    """A token without the mark of its place in a word."""
    prefix = model.get("continuing_subword_prefix") or ""
    suffix = model.get("end_of_word_suffix") or ""
    bare = name.removeprefix(prefix) if len(name) > len(prefix) else name
    return bare.removesuffix(suffix) if len(bare) > len(suffix) else bare


def _irreplaceable(
    model: Mapping[str, Any], ids: Mapping[str, int], seen: Collection[str] | None
) -> set[int]:
    """WordPiece tokens with a character that no token has for itself in its place of a word."""
    prefix = model["continuing_subword_prefix"]
    found = set()
    for name, number in ids.items():
        inside = name.startswith(prefix) and len(name) > len(prefix)
        bare = name.removeprefix(prefix) if inside else name
        marks = [prefix] * len(bare) if inside else ["", *[prefix] * (len(bare) - 1)]
        if any(
            f"{mark}{sign}" not in ids and (seen is None or sign in seen)
            for mark, sign in zip(marks, bare, strict=True)
        ):
            found.add(number)
    return found


def _close_merges(model: Mapping[str, Any], ids: Mapping[str, int], kept: set[int]) -> None:
    """Adds to tokens of BPE all that they are merged from, however that may be."""
    parts: defaultdict[int, list[int]] = defaultdict(list)
    for pair in model["merges"]:
        first, second = _pair(pair)
        whole = _joined(model, first, second)
        if whole in ids:
            parts[ids[whole]] += [ids[part] for part in (first, second) if part in ids]
    ahead = list(kept)
    while ahead:
        for number in parts.get(ahead.pop(), ()):
            if number not in kept:
                kept.add(number)
                ahead.append(number)


def _pair(pair: Any) -> tuple[str, str]:
    first, second = pair.split(" ") if isinstance(pair, str) else pair
    return first, second


def _joined(model: Mapping[str, Any], first: str, second: str) -> str:
    return first + second.removeprefix(model.get("continuing_subword_prefix") or "")
