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

_SHARD_BYTES = 5_000_000_000


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("fuse")(fuse)


def fuse(
    context: typer.Context,
    method: Annotated[
        str,
        typer.Argument(
            help="How: a method of `transfuse methods answers` or `merge`, or `all` to try many."
        ),
    ],
    folders: Annotated[list[Path], typer.Argument(help="The folders of the models.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The new model's folder. Default: runs/NAME."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled rows. Default: those of the first model's own recipe."),
    ] = None,
    weights_only: Annotated[
        bool,
        typer.Option("--weights-only", help="Merge the weights alone, and measure nothing."),
    ] = False,
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
    ] = _SHARD_BYTES,
) -> None:
    """Make one model of several: of their answers, or of their weights.

    Models of Transfuse are fused on their own rows and measured beside each of them. Other folders
    of weights, tuned from one and the same model, are merged without rows.

    [green]transfuse fuse stacking runs/a/model runs/b/model --output runs/both[/]

    [green]transfuse fuse all runs/a/model runs/b/model[/]   a study of many ways, with its report

    [green]transfuse fuse ties a b c --base bert --option density=0.3 --output merged[/]
    """
    if not weights_only and all((folder / "transfuse.json").is_file() for folder in folders):
        given = {"--dtype": dtype, "--threads": threads}
        given["--shard-bytes"] = None if shard_bytes == _SHARD_BYTES else shard_bytes
        _refuse(given, "belongs to merges of weights alone", "--weights-only beside it")
        _measured(context, method, folders, data, output, base, options or [])
        return
    _refuse({"--data": data}, "is given, and weights alone are merged without rows")
    from transfuse.merging import METHODS, check, merge_folders

    if method not in METHODS:
        _check_folders(method, folders)
    made = _method(method, options or [])
    if output is None:
        raise TransfuseError(Problem("--output", "missing", "the new model's folder"))
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


def _measured(
    context: typer.Context,
    method: str,
    folders: list[Path],
    data: Path | None,
    output: Path | None,
    base: Path | None,
    options: list[str],
) -> None:
    from transfuse.cli.doing import do_recipe

    if method == "all":
        from transfuse.study.fusing import fusing

        _refuse({"--option": options or None, "--base": base}, "belongs to one method, not to all")
        do_recipe(context.obj, fusing(folders, data=data), output)
        return
    from transfuse.transfer.derived import derived

    given = {**_values(options), **({"base": str(base)} if base is not None else {})}
    stage = {method: dict(given)} if given else method
    do_recipe(context.obj, derived(folders, [stage], data=data), output)


def _check_folders(method: str, folders: list[Path]) -> None:
    """Say which folder is no model of Transfuse, for a method that merges no others."""
    from transfuse.answering.about import read_about
    from transfuse.transfer import STAGES

    for folder in folders if method == "all" or method in STAGES else ():
        read_about(folder)


def _refuse(given: Mapping[str, object], what: str, expected: str = "") -> None:
    """Say which options would do nothing."""
    problems = [
        Problem(name, what, expected, "Leave it out.")
        for name, value in given.items()
        if value is not None
    ]
    if problems:
        raise TransfuseError(problems)


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
