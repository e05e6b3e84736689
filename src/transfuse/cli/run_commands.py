"""Commands that do a recipe or look at one: run, transfer, compare, validate, report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from transfuse.cli.doing import Output, Seed, Settings, do_recipe
from transfuse.cli.show import note, stdout
from transfuse.errors import Problem, RecipeError

__all__ = ["register"]

Recipe = Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (run, transfer, compare, validate, report):
        app.command(command.__name__)(command)


def run(
    context: typer.Context,
    recipe: Recipe,
    output: Output = None,
    settings: Settings = None,
    seed: Seed = None,
) -> None:
    """Do a recipe: one model, or a study of several recipes with its report.

    Stopped or killed, the same command goes on where it was.

    [green]transfuse run news-to-reviews[/]

    [green]transfuse run my-study.yaml --set train.epochs=5 --set "study.seeds=[0, 1]"[/]
    """
    do_recipe(context.obj, _read([recipe], settings, seed), output)


def transfer(
    context: typer.Context,
    recipe: Recipe,
    output: Output = None,
    settings: Settings = None,
    seed: Seed = None,
) -> None:
    """Make one model by one recipe.

    The folder then holds it under `model`; the same command, run again, goes on where it was.

    [green]transfuse transfer lora.yaml --output runs/lora --set tune.lora.rank=4[/]
    """
    from transfuse.study import is_study

    read = _read([recipe], settings, seed)
    if is_study(read):
        raise RecipeError(
            Problem(recipe, "is a study of several recipes", "one recipe", "Use `transfuse run`.")
        )
    do_recipe(context.obj, read, output)


def compare(
    context: typer.Context,
    recipes: Annotated[
        list[str],
        typer.Argument(help="A study; or several files with one recipe each, over the same data."),
    ],
    output: Output = None,
    settings: Settings = None,
    seed: Seed = None,
) -> None:
    """Compare recipes over seeds and label budgets, and write the report.

    [green]transfuse compare probe.yaml lora.yaml full.yaml --set "study.budgets=[100, 500]"[/]

    [green]transfuse compare news-to-reviews --set study.workers=1[/]
    """
    from transfuse.study import is_study

    read = _read(recipes, settings, seed)
    if not is_study(read):
        raise RecipeError(
            Problem(
                recipes[0],
                "is one recipe, with nothing to compare it with",
                "a study, or several recipes",
                "Name more files, or use `transfuse transfer`.",
            )
        )
    do_recipe(context.obj, read, output)


def validate(recipe: Recipe, settings: Settings = None) -> None:
    """Check a recipe without running it, and show what it comes to.

    All mistakes are shown at once, each with its path.

    [green]transfuse validate my-study.yaml[/]
    """
    from transfuse.cli.plans import print_plan, print_study
    from transfuse.study import is_study, read_study
    from transfuse.transfer import read_plan

    read = _read([recipe], settings)
    if is_study(read):
        print_study(read_study(read))
    else:
        print_plan(read_plan(read))
    note("The recipe is right.")


def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, with study.parquet in it.")],
) -> None:
    """Write a study's report.html again, from the numbers that stand in its folder.

    [green]transfuse report runs/news-to-reviews[/]
    """
    from transfuse.report import write_report

    stdout().print(str(write_report(folder)), soft_wrap=True)


def _read(names: list[str], settings: list[str] | None, seed: int | None = None) -> dict[str, Any]:
    from transfuse.cli.recipes import override, read_all
    from transfuse.study import is_study

    recipe = read_all(names)
    settings = list(settings or [])
    if seed is not None:
        settings.append(f"study.seeds=[{seed}]" if is_study(recipe) else f"seed={seed}")
    return override(recipe, settings)
