"""Methods by name: from what a recipe says to the frozen dataclass that does it.

A method is a frozen dataclass whose fields are its options. Each package lists its methods in one
dict, name to class; `build` turns `"lora"` or `{"lora": {"rank": 4}}` into an instance and
`describe` turns the dict into the rows of `transfuse methods`.
"""

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from transfuse.errors import Problem, RecipeError

__all__ = [
    "MethodHelp",
    "OptionHelp",
    "build",
    "build_options",
    "describe",
    "nearest",
    "problems_of",
    "spec_of",
]

M = TypeVar("M")

_MODULE = re.compile(r"\b(?:\w+\.)+(?=[A-Z])")

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class OptionHelp:
    """One option of a method, as `transfuse methods` prints it."""

    name: str
    type: str
    default: str
    text: str


@dataclass(frozen=True)
class MethodHelp:
    """One method of a package, as `transfuse methods` prints it."""

    name: str
    summary: str
    text: str
    options: tuple[OptionHelp, ...]


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that proposes the known word closest to a misspelt one.

    Args:
        word: What was written.
        known: What would have been understood.

    Returns:
        `Did you mean 'x'?`, or a list of the known words where none is close.
    """
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else "Known: " + ", ".join(known) + "."


def problems_of(error: ValidationError, path: str, known: Iterable[str]) -> list[Problem]:
    """Pydantic's findings as `Problem`s with dotted paths.

    Args:
        error: What validation raised.
        path: Where in the recipe the validated part stands.
        known: The option names that exist there, for suggestions.

    Returns:
        One problem for each finding.
    """
    known = tuple(known)
    found = []
    for item in error.errors(include_url=False):
        where = path
        for step in item["loc"]:
            # Alternatives of a union appear as steps of their own; a person never wrote them.
            if isinstance(step, int):
                where += f"[{step}]"
            elif step.isidentifier() or "-" in step:
                where = f"{where}.{step}" if where else str(step)
        match item["type"]:
            case "unexpected_keyword_argument" | "extra_forbidden":
                name = str(item["loc"][-1])
                found.append(Problem(where, "unknown option", fix=nearest(name, known)))
            case "missing" | "missing_argument":
                found.append(Problem(where, "missing", fix="Give it a value."))
            case _:
                message = item["msg"].removeprefix("Value error, ")
                found.append(
                    Problem(where, f"{message[0].lower()}{message[1:]}, got {item['input']!r}")
                )
    return found


def build(methods: Mapping[str, type[M]], spec: Any, path: str) -> M:
    """The method that a recipe names, with its options checked.

    Args:
        methods: The methods of a package, name to frozen dataclass.
        spec: `"name"`, `{"name": {option: value}}`, `{"name": None}`, or an instance of one of
            the methods (as Python callers write it), which is handed back.
        path: Where the spec stands in the recipe, for instance `learn[1]`.

    Returns:
        An instance of the method.

    Raises:
        RecipeError: With every problem found, each with its path.
    """
    for method in methods.values():
        if isinstance(spec, method):
            return spec
    if isinstance(spec, str):
        spec = {spec: None}
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise RecipeError(
            Problem(
                path,
                f"got {spec!r}",
                "a method's name, or one name with its options",
                f"For instance {next(iter(methods))!r}.",
            )
        )
    name, options = next(iter(spec.items()))
    if name not in methods:
        raise RecipeError(Problem(path, f"unknown method {name!r}", fix=nearest(name, methods)))
    made: M = build_options(methods[name], options, f"{path}.{name}")
    return made


def build_options(settings: type[M], options: Mapping[str, Any] | M | None, path: str) -> M:
    """Settings from what a recipe says of them.

    Args:
        settings: A frozen dataclass whose fields are the options.
        options: Option names and values, nothing at all, or an instance, which is handed back.
        path: Where the options stand in the recipe, for instance `train`.

    Returns:
        An instance of `settings`.

    Raises:
        RecipeError: With every problem found, each with its path.
    """
    if isinstance(options, settings):
        return options
    given = {} if options is None else options
    if not isinstance(given, Mapping):
        raise RecipeError(Problem(path, f"got {given!r}", "options as name: value"))
    try:
        made: M = TypeAdapter(_strict(settings)).validate_python(dict(given))
    except ValidationError as error:
        known = [field.name for field in fields(settings) if field.init]  # type: ignore[arg-type]
        raise RecipeError(problems_of(error, path, known)) from None
    return made


def spec_of(methods: Mapping[str, type], method: Any) -> dict[str, dict[str, Any]]:
    """The recipe text of a built method, the inverse of `build`.

    Args:
        methods: The methods of a package.
        method: An instance of one of them.

    Returns:
        `{name: {option: value}}` with every option that is not at its default.
    """
    name = next(name for name, kind in methods.items() if type(method) is kind)
    options = {}
    for field in fields(method):
        value = getattr(method, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if value != default:
            nested = is_dataclass(value) and not isinstance(value, type)
            options[field.name] = asdict(value) if nested else value
    return {name: options}


def describe(methods: Mapping[str, type]) -> list[MethodHelp]:
    """What each method is and which options it takes, read from the classes themselves.

    Args:
        methods: The methods of a package.

    Returns:
        One entry per method, in the order of the dict.
    """
    return [_describe(name, method) for name, method in methods.items()]


def _describe(name: str, method: type) -> MethodHelp:
    text = inspect.getdoc(method) or ""
    schema = TypeAdapter(_strict(method)).json_schema()
    texts = _option_texts(method)
    options = []
    for field in fields(method):
        if not field.init:
            continue
        shown = schema.get("properties", {}).get(field.name, {})
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        options.append(
            OptionHelp(
                name=field.name,
                type=_MODULE.sub("", inspect.formatannotation(field.type)),
                default="required" if default is MISSING else repr(shown.get("default", default)),
                text=texts.get(field.name, ""),
            )
        )
    return MethodHelp(name, text.split("\n", 1)[0], text, tuple(options))


def _option_texts(method: type) -> dict[str, str]:
    """What stands under each field, in the class that declares it: pydantic sees one at a time."""
    texts: dict[str, str] = {}
    for kind in reversed(method.__mro__):
        if "__dataclass_fields__" in vars(kind):
            shown = TypeAdapter(_strict(kind)).json_schema().get("properties", {})
            texts |= {
                name: " ".join(option["description"].split())
                for name, option in shown.items()
                if "description" in option
            }
    return texts


def _strict(method: type[M]) -> type[M]:
    method.__pydantic_config__ = _STRICT  # type: ignore[attr-defined]
    return method
