"""Recipes as text: reading YAML, finding recipes by name, one recipe on top of another."""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from transfuse.errors import Problem, RecipeError
from transfuse.recipe.methods import nearest

__all__ = ["copy_recipe", "merge", "read_recipe", "shipped_recipes"]


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error and `1e-4` is a number."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise RecipeError(
                Problem(f"line {line}", f"{key!r} is given twice", fix="Keep one of the two.")
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


# YAML 1.1 reads `1e-4` as text; everybody who writes a learning rate means the number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def shipped_recipes() -> dict[str, str]:
    """The recipes that come with Transfuse: name to text."""
    folder = resources.files("transfuse.recipe").joinpath("shipped")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8")
        for file in files
        if file.name.endswith(".yaml")
    }


def read_recipe(name: str | Path) -> dict[str, Any]:
    """A recipe as nested dicts and lists.

    Args:
        name: A YAML file, or the name of a shipped recipe.

    Returns:
        What the file says; `name` is the file's stem where it gives none. Paths in it are relative
        to the working directory, as in a command.

    Raises:
        RecipeError: If there is no such file, or it is not YAML, or not a mapping.
    """
    path = Path(name)
    shipped = shipped_recipes()
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecipeError(
                Problem(str(path), f"byte {error.start} is not UTF-8", fix="Save it as UTF-8.")
            ) from None
    elif str(name) in shipped:
        text = shipped[str(name)]
    else:
        known = [*shipped, *(str(file) for file in Path().glob("*.yaml"))]
        raise RecipeError(
            Problem(
                str(name),
                "no such recipe",
                "a YAML file or a shipped recipe",
                nearest(str(name), known),
            )
        )
    try:
        # The loader extends SafeLoader, which builds plain values only.
        recipe = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(name)
        what = getattr(error, "problem", None) or "not YAML"
        raise RecipeError(Problem(where, what, "valid YAML")) from None
    if not isinstance(recipe, dict):
        raise RecipeError(
            Problem(
                str(name),
                "is empty" if recipe is None else "is not a mapping",
                "`data:`, `model:` and so on at the top",
            )
        )
    return {"name": path.stem, **recipe}


def copy_recipe(name: str, to: Path) -> Path:
    """Write a shipped recipe to a file that a person can edit.

    Args:
        name: Name of the shipped recipe.
        to: The new file, or a folder for it.

    Raises:
        RecipeError: If the name is unknown or the file exists.
    """
    shipped = shipped_recipes()
    if name not in shipped:
        raise RecipeError(Problem(name, "no such shipped recipe", fix=nearest(name, shipped)))
    target = to / f"{name}.yaml" if to.is_dir() else to
    if target.exists():
        raise RecipeError(Problem(str(target), "exists", fix="Name another file, or remove it."))
    target.write_text(shipped[name], encoding="utf-8")
    return target


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One recipe on top of another.

    Args:
        base: What holds where `over` says nothing.
        over: What is different.

    Returns:
        Mappings are merged key by key, anything else is replaced. A method choice (`tune`, `learn`
        and so on) is replaced whole, since the options of one method mean nothing to another.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if (
            key in {"data", "train", "split", "clean"}
            and isinstance(below, Mapping)
            and isinstance(value, Mapping)
        ):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged
