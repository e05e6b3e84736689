"""Commands that make a model of models after training: compress, export."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from transfuse.cli.doing import Output, Settings, do_recipe
from transfuse.cli.show import note
from transfuse.errors import Problem, TransfuseError

__all__ = ["make_of", "register"]

Folder = Annotated[Path, typer.Argument(help="A model folder, such as runs/NAME/model.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Labelled rows. Default: those of the model's own recipe."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("compress")(compress)
    app.command("export")(export)


def compress(
    context: typer.Context,
    folder: Folder,
    stages: Annotated[
        list[str] | None,
        typer.Argument(help='Stages, such as int8 or "prune_width: {keep: 0.5}". Default: search.'),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            help="Share of the score that a search has to keep. Default: 0.99.", min=0.01, max=1
        ),
    ] = None,
    data: Data = None,
    output: Output = None,
    settings: Settings = None,
) -> None:
    """Make a model smaller and faster, and measure what that costs.

    With stages, they are done one after the other. Without, a study tries many and keeps the
    lightest model that holds its score; its report draws score against size and time.

    [green]transfuse compress runs/news-to-reviews/model int8 --output runs/small[/]

    [green]transfuse compress runs/news-to-reviews/model --keep 0.99[/]
    """
    if stages:
        if keep is not None:
            what = "is given beside stages, which are done whatever they cost"
            raise TransfuseError(Problem("--keep", what, "one of the two", "Leave it out."))
        make_of(context, [folder], stages, data, output, settings)
        return
    from transfuse.cli.recipes import override
    from transfuse.study.shrink import left_out, shrinking

    recipe = shrinking(folder, keep=0.99 if keep is None else keep, data=data)
    if missing := left_out(folder):
        note(f"not tried, since they are for models that read texts: {', '.join(missing)}")
    do_recipe(context.obj, override(recipe, settings or []), output)


def export(
    context: typer.Context,
    folder: Folder,
    to: Annotated[str, typer.Option(help="onnx, int8 or openvino.")] = "onnx",
    data: Data = None,
    output: Output = None,
    settings: Settings = None,
) -> None:
    """Write a model for another runtime, with a runnable example, and check it on real rows.

    [green]transfuse export runs/news-to-reviews/model --to onnx --output runs/exported[/]
    """
    known = ("onnx", "int8", "openvino")
    if to not in known:
        raise TransfuseError(Problem("--to", f"got {to!r}", f"one of {', '.join(known)}"))
    make_of(context, [folder], [to], data, output, settings)


def make_of(
    context: typer.Context,
    folders: Sequence[Path],
    stages: Sequence[str],
    data: Path | None,
    output: Path | None,
    settings: Sequence[str] | None,
) -> None:
    """Do stages on models, keep what comes of them, and show how it compares.

    Args:
        context: The call.
        folders: The models.
        stages: The stages, each as a recipe writes it.
        data: Labelled rows, or None for those of the first model's recipe.
        output: The new folder.
        settings: Values to replace in the recipe.
    """
    from transfuse.cli.recipes import override
    from transfuse.transfer.derived import derived

    recipe = derived(folders, [_stage(text) for text in stages], data=data)
    do_recipe(context.obj, override(recipe, list(settings or [])), output)


def _stage(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise TransfuseError(
            Problem(text, "is not YAML", fix='As in int8, or "prune_width: {keep: 0.5}".')
        ) from None
