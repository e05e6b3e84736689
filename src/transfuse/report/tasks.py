"""The section of a report on several tasks: each task's score, and what it gained or lost."""

from markupsafe import Markup

from transfuse.report.figures import SIGNIFICANT, labels, tone
from transfuse.report.format import Measure, between, tagged
from transfuse.report.parts import Section
from transfuse.report.results import Recipe, Results, Row
from transfuse.report.tables import Cell, Line, Table

__all__ = ["tasks_section"]


def tasks_section(results: Results) -> Section:
    """Tasks by recipes at the focus budget; empty for a study of one task."""
    if not results.tasks:
        return Section("tasks", "Tasks")
    baseline = results.baselines[0] if results.baselines else ""
    shown = _shown(results)
    lines = [
        Line(
            task,
            tuple(_cell(results, recipe, task, measure, baseline) for recipe in shown),
            measure.title,
        )
        for task, measure in results.tasks.items()
    ]
    heads = tuple(recipe.title for recipe in shown)
    caption = Markup("Each task on its own test rows, {}, mean over seeds, with its interval")
    caption = caption.format(labels(results.focus))
    if baseline:
        caption += Markup("; then the gain over {} and p after Holm’s correction").format(
            results.title_of(baseline)
        )
    table = Table(caption + ".", "Task", heads, tuple(lines))
    note = Markup(
        "P-values are corrected over all recipes and tasks that are compared with one baseline at "
        "one budget. Every task counts the same in the mean above, however many rows it has."
    )
    return Section("tasks", "Tasks", _lead(results, baseline), tables=(table,), note=note)


def _shown(results: Results) -> tuple[Recipe, ...]:
    """The recipes that any task was measured with."""
    return tuple(
        recipe
        for recipe in results.recipes
        if any(
            results.find("score", recipe.name, results.focus, measure.name, split=task)
            for task, measure in results.tasks.items()
        )
    )


def _gain(results: Results, recipe: str, task: str, baseline: str) -> Row | None:
    metric = results.tasks[task].name
    return results.find("gain", recipe, results.focus, metric, baseline=baseline, split=task)


def _cell(results: Results, recipe: Recipe, task: str, measure: Measure, baseline: str) -> Cell:
    score = results.find("score", recipe.name, results.focus, measure.name, split=task)
    content = tagged(score, measure.style)
    if score is not None:
        content += Markup(" {}").format(between(score, measure.style))
    gain = _gain(results, recipe.name, task, baseline)
    if gain is None or not gain.measured:
        return Cell(content)
    content += Markup(' <span class="p">{} {}</span>').format(
        tagged(gain, measure.gain_style), between(gain, measure.gain_style)
    )
    if gain.p_holm == gain.p_holm:
        content += Markup(' <span class="p">p {}</span>').format(tagged(gain, "p", "p_holm"))
    colour = tone(gain)
    return Cell(content, f"{colour} sure" if gain.p_holm < SIGNIFICANT else colour)


def _lead(results: Results, baseline: str) -> Markup:
    """On which tasks the headline's recipe gains and loses for sure."""
    headline = results.headline
    if headline is None or headline.baseline != baseline:
        return Markup("")
    found: dict[str, list[Markup]] = {"gain": [], "loss": []}
    for task, measure in results.tasks.items():
        row = _gain(results, headline.recipe, task, baseline)
        if row is not None and tone(row) in found:
            number = tagged(row, measure.gain_style)
            entry = Markup('{} (<span class="{}">{}</span>)').format(task, tone(row), number)
            found[tone(row)].append(entry)
    name, base = results.title_of(headline.recipe), results.title_of(baseline)
    said = []
    if found["gain"]:
        said.append(Markup("gains on {}").format(Markup(", ").join(found["gain"])))
    if found["loss"]:
        said.append(Markup("loses on {}").format(Markup(", ").join(found["loss"])))
    if not said:
        return Markup("No task is surely better or worse with {} than with {}.").format(name, base)
    rest = len(results.tasks) - len(found["gain"]) - len(found["loss"])
    more = Markup(" On the other {} the interval holds zero.").format(rest) if rest else Markup("")
    told = Markup(" and ").join(said)
    return Markup("Against {}, {} {}.").format(base, name, told) + more
