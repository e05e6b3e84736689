"""Commands that make one model of several: fuse."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from transfuse.cli.show import facts, note, span, stderr, stdout
from transfuse.errors import Problem, TransfuseError

if TYPE_CHECKING:
    from transfuse.merging import Method

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("fuse")(fuse)


def fuse(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="How: a method of `transfuse methods merge`.")],
    folders: Annotated[list[Path], typer.Argument(help="The folders of the models.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new model's folder.")],
    base: Annotated[
        Path | None, typer.Option(help="The folder of the model that they were tuned from.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", help="An option of the method, as name=value. Repeat for more."),
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="What weights are stored as. Default: as in the first model."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads. Default: one for each core, up to 8.", min=1)
    ] = None,
    shard_bytes: Annotated[
        int, typer.Option(help="Bytes of weights in one file.", min=1)
    ] = 5_000_000_000,
) -> None:
    """Merge the weights of models that were tuned from one and the same model.

    The same command goes on where it was stopped.

    [green]transfuse fuse linear runs/a/model runs/b/model --output merged[/]

    [green]transfuse fuse ties a b c --base bert --option density=0.3 --output merged[/]
    """
    from transfuse.merging import check, merge_folders

    made = _method(method, options or [])
    context.obj.output = output
    context.obj.resumable = True
    found = check(folders, base, method=made, threads=threads, out_dtype=dtype)
    for line in (*found.warnings, *found.notes):
        note(line)
    console = stderr()

    def tell(what: str, done: int, total: int) -> None:
        if console.is_terminal:
            console.print(f"{what} {done}/{total}", end="\r", highlight=False)

    report = merge_folders(
        made,
        folders,
        output,
        base=base,
        shard_bytes=shard_bytes,
        threads=threads,
        out_dtype=dtype,
        tell=tell,
    )
    for line in report.notes[len(found.notes) :]:
        note(line)
    told = {
        "model": str(report.folder),
        "parameters": f"{report.parameters:,}",
        "took": span(report.seconds),
    }
    stdout().print(facts(told))


def _method(name: str, options: list[str]) -> "Method":
    from transfuse.merging import METHODS

    if name in METHODS and not options:
        # Half of the start-up would go to the machinery that checks options.
        return METHODS[name]()
    from transfuse.recipe import build

    return build(METHODS, {name: _values(options)}, "fuse")


def _values(options: list[str]) -> Mapping[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals:
            raise TransfuseError(Problem("--option", f"got {text!r}", "name=value"))
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise TransfuseError(
                Problem("--option", f"the value of {name} is no YAML: {value!r}")
            ) from None
    return found
