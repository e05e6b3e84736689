"""Doing a recipe from the command line, with progress, and showing what came of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfuse.cli.session import Session
from transfuse.cli.show import note, stdout
from transfuse.errors import StudyError

if TYPE_CHECKING:
    from transfuse.cli.progress import RunProgress, StudyProgress
    from transfuse.models import Engine
    from transfuse.study import StudyPlan
    from transfuse.transfer import Plan

__all__ = ["Output", "Seed", "Settings", "do_recipe"]

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


def do_recipe(session: Session, recipe: dict[str, Any], output: Path | None) -> None:
    """Do a recipe or a study and show what came of it.

    Args:
        session: What the outermost level knows of the call.
        recipe: The recipe.
        output: Folder for the results. Default: `runs` and the recipe's name.
    """
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
    from transfuse.answering.about import read_about
    from transfuse.cli.progress import RunProgress
    from transfuse.cli.results import made_table, scorecard_table
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
    made = made_table(read_about(result.folder).get("made", ()))
    if made is not None:
        console.print()
        console.print(made)
    console.print(f"\nmodel   {result.folder}", soft_wrap=True)


def _do_study(study: "StudyPlan", folder: Path) -> None:
    from transfuse.cli.progress import StudyProgress
    from transfuse.models import probe_engine
    from transfuse.report import choice_table, result_table, task_table, write_report
    from transfuse.study import compare as do
    from transfuse.study.cores import threads_of
    from transfuse.transfer import Neural

    with StudyProgress() as progress:
        if any(isinstance(plan.model, Neural) for plan in study.plans.values()):
            # Measured here, with the threads of one worker, before the workers share the machine.
            threads = threads_of(study.comparison.processes)
            engines = [probe_engine(job, threads=threads) for job in ("encode", "train")]
            _tell(progress, *engines)
        failed = None
        try:
            do(study, folder, watcher=progress)
        except StudyError as error:
            # The others are compared; what failed is told last, where it is seen.
            failed = error
        progress.say("writing the report")
        page = write_report(folder)
    console = stdout()
    console.print(result_table(folder))
    for further in (task_table(folder), choice_table(folder)):
        if further is not None:
            console.print(further)
    console.print(f"\nreport  {page}", soft_wrap=True)
    if (folder / "model").exists():
        console.print(f"model   {folder / 'model'}", soft_wrap=True)
    if failed is not None:
        note("\nNot all runs succeeded; the same command again tries only those that failed.")
        raise failed


def _tell(progress: "RunProgress | StudyProgress", encode: "Engine", train: "Engine") -> None:
    progress.say(f"reading in {encode.describe()}")
    progress.say(f"training in {train.describe()}")
