"""Commands that look at data: check, samples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfuse.cli.encoders import ENCODER
from transfuse.cli.show import stdout, table
from transfuse.errors import Problem, TransfuseError

if TYPE_CHECKING:
    from transfuse.data import Cleaning, Table
    from transfuse.data.schema import GivenRoles

__all__ = ["register"]

_samples = typer.Typer(invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("check")(check)
    app.add_typer(_samples, name="samples")


def check(
    data: Annotated[
        str | None,
        typer.Argument(help="A file, a folder of pictures, a hub data set, or a sample's name."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="The source: what overlaps with it, and how far it is.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Take columns, cleaning, and tables that are not named, from a recipe."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"Encoder for the distances. Default: {ENCODER}.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the card as an HTML page, too.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write the pictures that were found twice side by side (.png)."),
    ] = None,
) -> None:
    """Show what is in a table: rows, labels, lengths, and what cleaning would do.

    Of pictures, also which are in it twice, or nearly, and in which splits. With a source, which
    rows are in both and how far the two lie apart.

    [green]transfuse check reviews.csv[/]

    [green]transfuse check pets/ --sheet twice.png --output card.html[/]

    [green]transfuse check products --against news --output card.html[/]
    """
    from transfuse.cli.cards import print_card
    from transfuse.cli.checked import checked, write_sheets

    target, source, cleaning = _tables(data, against, recipe)
    card, shared = checked(target, source, cleaning, model)
    print_card(card)
    if sheet is not None:
        stdout().print("\n" + write_sheets(shared, sheet), soft_wrap=True)
    if output is not None:
        from transfuse.report import write_card

        write_card(card.to_json(), output)
        stdout().print(f"\ncard  {output}", soft_wrap=True)


@_samples.callback()
def samples(context: typer.Context) -> None:
    """List the sample data, or write one sample to a file.

    [green]transfuse samples[/]

    [green]transfuse samples get products --output products.csv[/]
    """
    if context.invoked_subcommand is None:
        from transfuse.data import SAMPLES

        rows = [(name, one.title) for name, one in SAMPLES.items()]
        stdout().print(table(("Sample", "What it is"), rows))


@_samples.command("get")
def get_sample(
    name: Annotated[str, typer.Argument(help="Name of the sample.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The new file (.csv, .tsv, .jsonl, .parquet)."),
    ] = None,
) -> None:
    """Write a sample to a file.

    [green]transfuse samples get products --output products.csv[/]

    [green]transfuse samples get animals --output animals.parquet[/]
    """
    from transfuse.data import Role, sample
    from transfuse.data.write import write_table

    found = sample(name)
    pictures = found.schema.has(Role.IMAGE)
    output = output or Path(f"{name}.{'parquet' if pictures else 'csv'}")
    if pictures and output.suffix.lower() not in (".parquet", ".pq"):
        what = f"{output.suffix or 'no suffix'} cannot hold the pictures of {name}"
        raise TransfuseError(Problem("--output", what, ".parquet"))
    write_table(found, output)
    stdout().print(str(output), soft_wrap=True)


def _tables(
    data: str | None, against: str | None, recipe: str | None
) -> "tuple[Table, Table | None, Cleaning]":
    """What is checked, against what, and how it is cleaned."""
    from transfuse.data import Cleaning

    if recipe is not None:
        return _recipe_tables(data, against, recipe)
    if data is None:
        raise TransfuseError(
            Problem("check", "the data is missing", fix="Name a file, a sample, or --recipe.")
        )
    return _table(data), _table(against) if against else None, Cleaning()


def _recipe_tables(
    data: str | None, against: str | None, recipe: str
) -> "tuple[Table, Table | None, Cleaning]":
    """The tables of a recipe, where the command names no others for its columns."""
    # Not needed without a recipe: this brings torch, which takes seconds.
    from transfuse.recipe import read_recipe
    from transfuse.study import is_study, read_study
    from transfuse.transfer import load_table, read_plan

    read = read_recipe(recipe)
    plan = read_study(read).shared if is_study(read) else read_plan(read)

    if plan.tasks and data is None:
        names = ", ".join(plan.tasks)
        raise TransfuseError(
            Problem("check", f"the recipe has the tasks {names}", "one table", "Name its file.")
        )

    def table(name: str | None, use: str) -> "Table | None":
        like = plan.data.get(use)
        if name is not None:
            return _table(name, None if like is None else like.roles)
        return None if like is None else load_table(like)

    target = table(data, "target")
    assert target is not None
    return target, table(against, "source"), plan.clean


def _table(name: str, roles: "GivenRoles | None" = None) -> "Table":
    from transfuse.data import SAMPLES, read, sample

    if name in SAMPLES and not Path(name).exists():
        return sample(name)
    return read(name, roles=roles or None)
