"""What Transfuse has to offer: recipes, methods, its version."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfuse.cli.show import heading, stdout, table, version_text
from transfuse.errors import Problem, RecipeError

if TYPE_CHECKING:
    from transfuse.recipe import MethodHelp

__all__ = ["register"]

_recipes = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(_recipes, name="recipes")
    app.command("methods")(methods)
    app.command("version")(version)


@_recipes.callback()
def recipes() -> None:
    """List the recipes that come with Transfuse, or copy one to edit it.

    [green]transfuse recipes list[/]

    [green]transfuse recipes copy news-to-reviews my-study.yaml[/]
    """


@_recipes.command("list")
def list_recipes() -> None:
    """List the recipes that come with Transfuse.

    [green]transfuse recipes list[/]
    """
    from transfuse.recipe import read_recipe, shipped_recipes

    rows = []
    for name in shipped_recipes():
        recipe = read_recipe(name)
        rows.append((name, f"{recipe.get('title', '')}. {recipe.get('description', '')}".strip()))
    stdout().print(table(("Recipe", "What it does"), rows))


@_recipes.command("copy")
def copy_recipe(
    name: Annotated[str, typer.Argument(help="Name of a shipped recipe.")],
    to: Annotated[Path, typer.Argument(help="The new file, or a folder.")] = Path(),
) -> None:
    """Copy a recipe to a file of your own.

    [green]transfuse recipes copy news-to-reviews my-study.yaml[/]
    """
    from transfuse.recipe import copy_recipe as copy

    stdout().print(str(copy(name, to)), soft_wrap=True)


def methods(
    kind: Annotated[
        str | None, typer.Argument(help="A key of a recipe, such as tune. Default: all.")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="One method of it, with its options.")] = None,
) -> None:
    """Show every method and setting that a recipe can name, with its options.

    [green]transfuse methods tune[/]

    [green]transfuse methods tune lora[/]
    """
    from transfuse.cli.kinds import all_kinds
    from transfuse.recipe import nearest

    kinds = all_kinds()
    if kind is not None and kind not in kinds:
        raise RecipeError(Problem(kind, "no such kind of method", fix=nearest(kind, kinds)))
    if kind is None:
        for each, (title, found) in kinds.items():
            _print_list(each, title, found)
        return
    title, found = kinds[kind]
    if name is None and len(found) == 1:
        # A group of settings, such as those of training.
        (name,) = found
    if name is None:
        _print_list(kind, title, found)
        return
    if name not in found:
        raise RecipeError(Problem(f"{kind} {name}", "no such method", fix=nearest(name, found)))
    _print_method(kind, found[name])


def version() -> None:
    """Print the version of Transfuse and of what it stands on.

    [green]transfuse version[/]
    """
    import platform
    from importlib.metadata import version as of

    stdout().print(version_text())
    for package in ("torch", "transformers", "peft", "datasets", "scikit-learn"):
        stdout().print(f"{package} {of(package)}")
    stdout().print(f"Python {platform.python_version()}")


def _print_list(kind: str, title: str, found: "Mapping[str, MethodHelp]") -> None:
    console = stdout()
    heading(console, f"{kind}: {title}")
    rows = [
        (name, method.summary, ", ".join(option.name for option in method.options))
        for name, method in found.items()
    ]
    console.print(table(("Name", "What it is", "Options"), rows))


def _print_method(kind: str, method: "MethodHelp") -> None:
    from rich.padding import Padding
    from rich.text import Text

    console = stdout()
    heading(console, f"{kind}: {method.name}")
    console.print(Text(method.text))
    for option in method.options:
        console.print()
        console.print(
            Text.assemble(
                (option.name, "bold cyan"), f"  {option.type}", (f"  = {option.default}", "dim")
            )
        )
        console.print(Padding(Text(option.text), (0, 0, 0, 4), expand=False))
