"""Short ways to shipped recipes on tables of one's own: adapt, distill, fewshot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from transfuse.cli.doing import Output, Seed, Settings, do_recipe

__all__ = ["register"]

Model = Annotated[
    str | None,
    typer.Option(help="The pretrained model: a package, a folder or a hub id."),
]
Text = Annotated[str | None, typer.Option(help="The column of the text. Default: inferred.")]
Label = Annotated[str | None, typer.Option(help="The column of the label. Default: inferred.")]
Target = Annotated[str, typer.Argument(help="A labelled table: file, folder or hub name.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (adapt, distill, fewshot):
        app.command(command.__name__)(command)


def adapt(
    context: typer.Context,
    target: Target,
    source: Annotated[str, typer.Option(help="A labelled table of another domain.")],
    unlabelled: Annotated[
        str | None,
        typer.Option(help="More texts of the target's domain. Default: the target's own rows."),
    ] = None,
    source_text: Annotated[
        str | None, typer.Option(help="The source's column of the text. Default: inferred.")
    ] = None,
    source_label: Annotated[
        str | None, typer.Option(help="The source's column of the label. Default: inferred.")
    ] = None,
    learn: Annotated[
        list[str] | None,
        typer.Option(help="An objective to try beside the source's. Repeat it for more."),
    ] = None,
    model: Model = None,
    text: Text = None,
    label: Label = None,
    output: Output = None,
    settings: Settings = None,
    seed: Seed = None,
) -> None:
    """Adapt to a domain whose labels are withheld, beside source-only and the oracle.

    The target's labels are for the test and the oracle alone, which is never the model kept.

    [green]transfuse adapt reviews.csv --source news.csv --learn mcc --learn dann[/]
    """
    recipe = _template("adapt")
    data: dict[str, Any] = {
        "target": _table(target, text, label),
        "source": _table(source, source_text, source_label),
    }
    if unlabelled is not None:
        data["unlabelled"] = {"path": unlabelled}
    recipe |= {"data": data, "split": {"test": 0.3, "validation": 0.05}}
    if learn:
        kept = ("source-only", "oracle")
        shipped = recipe["recipes"]
        recipe["recipes"] = {name: shipped[name] for name in kept}
        recipe["recipes"] |= {
            name: shipped.get(name, {"title": name, "learn": ["source", name]}) for name in learn
        }
    _do(context, recipe, f"adapt-{Path(target).stem}", model, output, settings, seed)


def distill(
    context: typer.Context,
    target: Target,
    layers: Annotated[
        list[int] | None,
        typer.Option(help="Layers of a student. Repeat it for more. Default: 3 and 2.", min=1),
    ] = None,
    static: Annotated[
        bool, typer.Option(help="Whether a bag of token vectors is a student too.")
    ] = True,
    unlabelled: Annotated[
        str | None, typer.Option(help="Texts for the teacher to answer. Default: the target's.")
    ] = None,
    model: Model = None,
    text: Text = None,
    label: Label = None,
    output: Output = None,
    settings: Settings = None,
    seed: Seed = None,
) -> None:
    """Teach small models what a large one has learnt, and show what they keep.

    [green]transfuse distill reviews.csv --layers 3 --layers 2 --unlabelled more.jsonl[/]
    """
    recipe = _template("distill")
    data: dict[str, Any] = {"target": _table(target, text, label)}
    if unlabelled is not None:
        data["unlabelled"] = {"path": unlabelled}
    students = recipe["recipes"]
    pattern, alone = students["layers-3"], students["layers-3-alone"]
    wanted = list(dict.fromkeys(layers or (3, 2)))
    made = {"teacher": students["teacher"]}
    for count in wanted:
        made[f"layers-{count}"] = {
            **pattern,
            "title": f"{count} layers",
            "description": f"{count} layers of the teacher, which it teaches.",
            "model": {**pattern["model"], "layers": count},
        }
    if static:
        made["static"] = students["static"]
    first = wanted[0]
    made[f"layers-{first}-alone"] = {
        **alone,
        "title": f"{first} layers, no teacher",
        "model": {**alone["model"], "layers": first},
    }
    if model is not None:
        made[f"layers-{first}-alone"]["model"]["name"] = model
        if static:
            made["static"]["model"]["static"]["of"] = model
    recipe |= {"data": data, "recipes": made, "split": {"test": 0.3, "validation": 0.05}}
    recipe["study"] = {**recipe["study"], "baselines": [f"layers-{first}-alone"]}
    _do(context, recipe, f"distill-{Path(target).stem}", model, output, settings, seed)


def fewshot(
    context: typer.Context,
    target: Target,
    shots: Annotated[
        list[int] | None,
        typer.Option(help="Labelled rows of each class. Repeat it for more. Default: 8.", min=1),
    ] = None,
    model: Model = None,
    text: Text = None,
    label: Label = None,
    output: Output = None,
    settings: Settings = None,
    seed: Seed = None,
) -> None:
    """Learn from a handful of labelled rows of each class.

    [green]transfuse fewshot tickets.csv --shots 8 --shots 64[/]
    """
    recipe = _template("fewshot")
    recipe |= {"data": {"target": _table(target, text, label)}}
    recipe["split"] = {"test": 0.3, "validation": 0.0}
    # What the shipped recipe tells of its classes is true of no other table.
    del recipe["recipes"]["zero-shot"]
    recipe["study"] = {**recipe["study"], "shots": list(shots or (8,))}
    _do(context, recipe, f"fewshot-{Path(target).stem}", model, output, settings, seed)


def _template(name: str) -> dict[str, Any]:
    """A shipped recipe without what it says of its own data."""
    from transfuse.recipe import read_recipe

    recipe = read_recipe(name)
    for key in ("title", "description", "data"):
        recipe.pop(key, None)
    return recipe


def _table(path: str, text: str | None, label: str | None) -> dict[str, Any]:
    named = {"text": text, "label": label}
    return {"path": path} | {role: column for role, column in named.items() if column is not None}


def _do(
    context: typer.Context,
    recipe: Mapping[str, Any],
    name: str,
    model: str | None,
    output: Path | None,
    settings: list[str] | None,
    seed: int | None,
) -> None:
    from transfuse.cli.recipes import override

    changed = {**recipe, "name": name}
    if model is not None:
        changed["model"] = {**changed["model"], "name": model}
    given = list(settings or [])
    if seed is not None:
        given.append(f"study.seeds=[{seed}]")
    do_recipe(context.obj, override(changed, given), output)
