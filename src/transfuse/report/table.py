"""The result table for the terminal, and the learning curve as a picture for a README."""

import json
import math
from pathlib import Path

import vl_convert
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from transfuse.errors import DataError, Problem
from transfuse.report.curves import learning
from transfuse.report.figures import SIGNIFICANT, labels, tone
from transfuse.report.format import Measure, plain, shown
from transfuse.report.results import Recipe, Results
from transfuse.report.theme import LIGHT, styled

__all__ = ["choice_table", "learning_curve_png", "result_table", "task_table"]

_TONES = {"gain": "green", "loss": "red", "even": "dim"}


def result_table(folder: Path | str) -> Table:
    """Recipes by budgets: the score with its interval, and the gain over the first baseline.

    Args:
        folder: Where `study.parquet` and `study.json` are.

    Returns:
        A table for `rich`. A gain is green, a loss red, and "negative" marks negative transfer; an
        asterisk marks p < 0.05 after Holm's correction.

    Raises:
        DataError: If a file of the study is missing or not readable.
    """
    results = Results.read(folder)
    baseline = results.baselines[0] if results.baselines else None
    measure = results.primary
    unit = f" in {measure.unit}" if measure.unit else ""
    caption = "mean over seeds [interval]"
    if baseline is not None:
        base = results.title_of(baseline)
        caption += f"; below it the gain over {base}, * p < {SIGNIFICANT:g} after Holm"
    title = Text(f"{results.title}: {measure.phrase}{unit}")
    table = Table(title=title, caption=Text(caption), box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("recipe", overflow="fold", min_width=14)
    for budget in results.budgets:
        table.add_column(labels(budget), justify="right", no_wrap=True)
    for recipe in results.recipes:
        cells = [_cell(results, recipe, budget, baseline) for budget in results.budgets]
        strong = results.headline is not None and results.headline.recipe == recipe.name
        table.add_row(Text(plain(recipe.title), style="bold" if strong else ""), *cells)
    return table


def task_table(folder: Path | str) -> Table | None:
    """Tasks by recipes at the largest budget, as `result_table` writes them.

    Args:
        folder: Where `study.parquet` and `study.json` are.

    Returns:
        A table for `rich`; None for a study of one task.

    Raises:
        DataError: If a file of the study is missing or not readable.
    """
    results = Results.read(folder)
    if not results.tasks:
        return None
    baseline = results.baselines[0] if results.baselines else None
    title = Text(f"Each task, {labels(results.focus)}")
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", overflow="fold", min_width=10)
    for recipe in results.recipes:
        table.add_column(plain(recipe.title), justify="right")
    for task, measure in results.tasks.items():
        cells = [
            _cell(results, recipe, results.focus, baseline, task, measure)
            for recipe in results.recipes
        ]
        table.add_row(Text(f"{task}\n{measure.phrase}"), *cells)
    return table


def choice_table(folder: Path | str) -> Table | None:
    """What choosing weights without labels came to, for the recipes that did so.

    Args:
        folder: Where `study.parquet` and `study.json` are.

    Returns:
        A table for `rich`: the step that was chosen, the one that test labels would have chosen,
        and what was lost; None where no recipe chose without labels.

    Raises:
        DataError: If a file of the study is missing or not readable.
    """
    results = Results.read(folder)
    title = Text(f"Weights chosen without labels, {labels(results.focus)}, mean over seeds")
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("recipe", overflow="fold", min_width=14)
    for head in ("step chosen", "oracle's step", "regret"):
        table.add_column(head, justify="right")
    styles = {
        "selected_step": "count",
        "oracle_step": "count",
        "regret": results.primary.style,
    }
    for recipe in results.recipes:
        found = {
            metric: results.find("choice", recipe.name, results.focus, metric) for metric in styles
        }
        cells = [shown(row.value, styles[metric]) for metric, row in found.items() if row]
        if cells:
            table.add_row(Text(plain(recipe.title)), *cells)
    return table if table.row_count else None


def _cell(
    results: Results,
    recipe: Recipe,
    budget: int,
    baseline: str | None,
    task: str | None = None,
    measure: Measure | None = None,
) -> Text:
    measure = measure or results.primary
    score = results.find("score", recipe.name, budget, measure.name, split=task)
    if score is None and results.why_failed(recipe.name, budget):
        return Text("failed", style="red")
    if score is None or math.isnan(score.value):
        return Text("–", style="dim")
    style = measure.style
    text = Text(shown(score.value, style), style="bold")
    if score.bounded:
        text.append(
            f" [{shown(score.low, style)}, {shown(score.high, style)}]", style="not bold dim"
        )
    if baseline is None:
        return text
    gain = results.find("gain", recipe.name, budget, measure.name, baseline=baseline, split=task)
    if gain is not None and gain.measured:
        star = "*" if gain.p_holm < SIGNIFICANT else " "
        amount = f"\n{shown(gain.value, measure.gain_style)}{star}"
        if tone(gain) == "loss" and not recipe.baseline:
            amount += "negative"  # also where a terminal shows no colours
        text.append(amount, style=f"not bold {_TONES[tone(gain)]}")
    return text


def learning_curve_png(folder: Path | str, path: Path | str, *, scale: float = 2.0) -> Path:
    """Draw the learning curves as a picture on white.

    Args:
        folder: Where `study.parquet` and `study.json` are.
        path: Where the PNG goes.
        scale: Pixels of the picture for a pixel of the drawing, which is 820 wide. Default: 2.

    Returns:
        The path.

    Raises:
        DataError: If a file of the study is missing or holds no score to draw.
    """
    results = Results.read(folder)
    chart = learning(results)
    if chart is None:
        raise DataError(Problem(str(folder), "no score of the primary metric to draw"))
    seeds = len(results.study.get("seeds") or ())
    title = {
        "text": plain(results.title),
        "subtitle": f"{results.primary.title} {results.where}, mean over seeds"
        + (f" ({seeds})" if seeds else "")
        + ", by target labels; bands are intervals",
        "subtitleColor": LIGHT["muted"],
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
        "fontSize": 15,
        "offset": 14,
    }
    spec = {**styled({**chart, "title": title, "padding": 16}), "background": LIGHT["paper"]}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(vl_convert.vegalite_to_png(json.dumps(spec), scale=scale))
    beside.replace(path)
    return path
