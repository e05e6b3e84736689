"""Commands that do a recipe or look at one: run, transfer, compare, validate, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfuse.cli.session import Session
from transfuse.cli.show import note, stdout
from transfuse.errors import Problem, RecipeError

if TYPE_CHECKING:
    from transfuse.cli.progress import RunProgress, StudyProgress
    from transfuse.models import Engine
    from transfuse.study import StudyPlan
    from transfuse.transfer import Plan

__all__ = ["register"]

Recipe = Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for the results. Default: runs/NAME."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Replace one value, as path=value. Repeat it for more."),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Use this seed; a study then has this one only.", min=0),
]


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
    _do(context.obj, _read([recipe], settings, seed), output)


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
    _do(context.obj, read, output)


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
    _do(context.obj, read, output)


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


def _do(session: Session, recipe: dict[str, Any], output: Path | None) -> None:
    """Do a recipe or a study and show what came of it."""
    from transfuse.study import is_study, read_study
    from transfuse.transfer import read_plan

    name = str(recipe["name"]).replace("/", "-").replace("\\", "-")
    session.output = output or Path("runs") / name
    if is_study(recipe):
        study = read_study(recipe)
        session.resumable = True
        _do_study(study, session.output)
    else:
        plan = read_plan(recipe)
        session.resumable = True
        _do_plan(plan, session.output)


def _do_plan(plan: "Plan", folder: Path) -> None:
    from transfuse.cli.progress import RunProgress
    from transfuse.cli.results import scorecard_table
    from transfuse.models import hold_memory
    from transfuse.transfer import Engines, Neural
    from transfuse.transfer import transfer as do

    with RunProgress() as progress:
        engines = Engines()
        if isinstance(plan.model, Neural):
            hold_memory()
            _tell(progress, engines.encode, engines.train)
        result = do(plan, folder, callbacks=[progress], engines=engines)
    if result.resumed:
        note("The same recipe on the same data was done before; this is its result.")
    console = stdout()
    console.print(scorecard_table(result.scorecard))
    console.print(f"\nmodel   {result.folder}", soft_wrap=True)


def _do_study(study: "StudyPlan", folder: Path) -> None:
    from transfuse.cli.progress import StudyProgress
    from transfuse.models import probe_engine
    from transfuse.report import result_table, write_report
    from transfuse.study import compare as do
    from transfuse.study.cores import cores_here
    from transfuse.transfer import Neural

    with StudyProgress() as progress:
        if any(isinstance(plan.model, Neural) for plan in study.plans.values()):
            # Measured here, with the threads of one worker, before the workers share the machine.
            workers = study.comparison.workers or cores_here()
            threads = max(1, cores_here() // workers)
            engines = [probe_engine(job, threads=threads) for job in ("encode", "train")]
            _tell(progress, *engines)
        do(study, folder, watcher=progress)
        progress.say("writing the report")
        page = write_report(folder)
    console = stdout()
    console.print(result_table(folder))
    console.print(f"\nreport  {page}", soft_wrap=True)
    if (folder / "model").exists():
        console.print(f"model   {folder / 'model'}", soft_wrap=True)


def _tell(progress: "RunProgress | StudyProgress", encode: "Engine", train: "Engine") -> None:
    progress.say(f"reading in {encode.describe()}")
    progress.say(f"training in {train.describe()}")
