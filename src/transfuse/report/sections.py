"""The sections of a report from top to bottom: sentence, drawings, tables, what unfolds.

A section that the study did not measure is not there; a template prints what it is given.
"""

from collections.abc import Callable, Iterable
from functools import partial

from markupsafe import Markup

from transfuse.report import confusion, curves, figures, findings, scatter, tables
from transfuse.report.choice import choice_section
from transfuse.report.columns import columns_section
from transfuse.report.confusion import Matrix
from transfuse.report.format import between, tagged
from transfuse.report.parts import Drawing, Fold, Section, drawn, folded, key, small_drawn
from transfuse.report.results import Results, Row
from transfuse.report.tables import Table
from transfuse.report.tasks import tasks_section

__all__ = ["sections"]


def _results(results: Results) -> Section:
    tabs = tuple(table for measure in results.metrics if (table := tables.scores(results, measure)))
    note = Markup(
        "Bold is the best of its column. The bar under a number is its interval, on one scale for "
        "the whole table. Recipes stand in the order of {} at the largest budget, here and below."
    ).format(results.primary.phrase)
    return Section("results", "Results", findings.best(results), tabs=tabs, note=note)


def _named_losses(results: Results, baseline: str) -> Markup:
    """Every negative transfer by name, or that there is none."""
    losses = [row for row in findings.negatives(results) if row.baseline == baseline]
    title = results.title_of(baseline)
    if not losses:
        return Markup("No recipe that transfers falls below {}.").format(title)
    entry = Markup('{} (<span class="loss">{}</span>)')
    said: dict[str, list[Markup]] = {}
    for row in losses:
        number = tagged(row, results.primary.gain_style)
        said.setdefault(row.recipe, []).append(entry.format(figures.labels(row.budget), number))
    parts = [
        Markup("{} with {}").format(results.title_of(recipe), Markup(", ").join(places))
        for recipe, places in said.items()
    ]
    text = Markup('<strong class="loss">Negative transfer</strong> against {}: {}.')
    return text.format(title, Markup("; ").join(parts))


def _gain(results: Results) -> Section:
    drawings: tuple[Drawing, ...] = ()
    folds: tuple[Fold, ...] = ()
    for position, baseline in enumerate(results.baselines):
        title = results.title_of(baseline)
        legend = key(
            ("dot gain", "gain"),
            ("dot loss", "loss"),
            ("dot even", "interval holds zero"),
            ("dot gain filled", "significant after Holm"),
        )
        caption = Markup("<strong>Over {}.</strong> {}").format(title, legend)
        drawings += drawn(
            f"gain{position}",
            partial(figures.gain, results, baseline),
            f"Gain of each recipe over {title} with its interval, a panel for each budget. "
            "The table below holds the same numbers.",
            caption,
        )
        folds += folded(f"The numbers over {title}", tables.gains(results, baseline))
    lead = Markup(" ").join(_named_losses(results, baseline) for baseline in results.baselines)
    return Section("gain", "Transfer gain", lead, drawings, folds=folds)


def _learning(results: Results) -> Section:
    if len(results.budgets) < 2:
        return Section("curve", "Learning curve")
    drawings = drawn(
        "curve",
        partial(curves.learning, results),
        f"Learning curves: {results.primary.phrase} of each recipe against the number of target "
        "labels. The result table holds the same numbers.",
        Markup(
            "Bands are the intervals of the coloured recipes. Grey recipes and their intervals "
            "follow below, one by one. A dotted line is a recipe that uses no target labels."
        ),
    )
    drawings += small_drawn(
        "each",
        curves.multiples(results),
        f"{results.primary.phrase} against target labels, before all other recipes in grey.",
        Markup("Each recipe with its interval, before all the others in grey."),
    )
    return Section("curve", "Learning curve", drawings=drawings)


def _efficiency(results: Results) -> Section:
    drawings: tuple[Drawing, ...] = ()
    folds: tuple[Fold, ...] = ()
    for position, baseline in enumerate(results.baselines):
        title = results.title_of(baseline)
        legend = key(("dot even", "labels used"), ("dot gain filled", f"labels {title} needs"),
                   ("arrow", "more than were tried"))  # fmt: skip
        drawings += drawn(
            f"labels{position}",
            partial(figures.efficiency, results, baseline),
            f"Labels used by each recipe and labels that {title} needs for the same score.",
            Markup("<strong>Against {}.</strong> {}").format(title, legend),
        )
        folds += folded(f"The numbers against {title}", tables.saved(results, baseline))
    note = Markup(
        "Read off the baseline’s learning curve between the budgets tried, nothing extrapolated. "
        "Budgets at which the baseline catches up with no recipe are left to the table."
    )
    lead = Markup("")
    row = results.headline
    if row is not None:
        need = results.find(
            "efficiency", row.recipe, row.budget, "labels_needed", baseline=row.baseline
        )
        if need is not None and need.value == need.value:
            lead = Markup("{}, {}: {} needs {} labels for the same score.").format(
                results.title_of(row.recipe),
                figures.labels(row.budget),
                results.title_of(row.baseline),
                tables.needed(need, results.budgets),
            )
    tabled = tuple(table for fold in folds for table in fold.tables) if not drawings else ()
    return Section(
        "labels", "Labels saved", lead, drawings, tables=tabled,
        folds=folds if drawings else (), note=note,
    )  # fmt: skip


def _forgetting(results: Results) -> Section:
    rows = [row for row in results.of("forgetting") if row.measured]
    if not rows:
        return Section("forgetting", "Forgetting")
    reference = results.title_of(rows[0].baseline)
    drawings = drawn(
        "forgetting",
        partial(figures.forgetting, results),
        f"What each recipe lost on the source against {reference}, with its interval.",
        key(("dot gain", "better than before"), ("dot loss", "forgotten"),
             ("dot even", "interval holds zero")),
    )  # fmt: skip

    def sentence(row: Row, text: str) -> Markup:
        style = results.primary.gain_style
        return Markup(text).format(
            results.title_of(row.recipe), tagged(row, style), results.primary.gain_unit or "",
            between(row, style), figures.labels(row.budget) if row.budget else "no labels",
        )  # fmt: skip

    at = [row for row in rows if row.budget in (results.focus, 0)] or rows
    lead = sentence(max(at, key=lambda row: row.value), "{} forgets most: {} {} ({}), {}.")
    note = Markup(
        "The score of {} on the source’s test rows, less that of each recipe after the transfer."
    ).format(reference)
    folds = folded("The numbers", tables.forgot(results))
    return Section("forgetting", "Forgetting", lead, drawings, folds=folds, note=note)


def _others(results: Results) -> list[int]:
    return [budget for budget in results.budgets if budget != results.focus]


def _calibration(results: Results) -> Section:
    def curves_at(budget: int) -> tuple[Drawing, ...]:
        return small_drawn(
            f"reliability{budget}",
            scatter.reliability(results, budget),
            f"share right against confidence with {figures.labels(budget)}.",
            Markup("<strong>Reliability, {}.</strong> {}").format(
                figures.labels(budget),
                key(("dot even", "before"), ("dot gain filled", "after scaling"),
                     ("dash", "confidence = share right")),
            ),
        )  # fmt: skip

    drawings = drawn(
        "calibration",
        partial(figures.calibration, results),
        "Calibration error of each recipe before and after temperature scaling.",
        key(("dot even", "before temperature scaling"), ("dot gain filled", "after")),
    )
    drawings += curves_at(results.focus)
    folds = folded("The numbers", tables.calibrated(results))
    folds += tuple(
        Fold(f"Reliability, {figures.labels(budget)}", drawings=found)
        for budget in _others(results)
        if (found := curves_at(budget))
    )
    recipe = results.headline.recipe if results.headline else ""
    lead = findings.calibration(results, recipe, results.focus)
    note = Markup(
        "Across: stated confidence in %; up: share that was right. Larger dots hold more rows. "
        "Bins pool all seeds. The two numbers are the calibration errors."
    )
    return Section("calibration", "Calibration", lead, drawings, folds=folds, note=note)


def _confusion(results: Results) -> Section:
    def at(budget: int) -> tuple[tuple[Matrix, ...], tuple[Table, ...]]:
        matrices = (confusion.matrix(results, recipe, budget) for recipe in results.recipes)
        pairs = (confusion.pairs(results, recipe, budget) for recipe in results.recipes)
        return tuple(m for m in matrices if m), tuple(p for p in pairs if p)

    matrices, pairs = at(results.focus)
    first = results.headline.recipe if results.headline else ""
    title = results.title_of(first)
    folds: list[Fold] = []
    if pairs or (matrices and len(matrices[0].labels) > 4):
        # Large ones: the headline's recipe in full, the others on request.
        chosen = next((m for m in matrices if m.title == title), None)
        rest = tuple(m for m in matrices if m is not chosen) if chosen else matrices[1:]
        if rest:
            folds.append(Fold("The other recipes", matrices=rest))
        matrices = (chosen,) if chosen else matrices[:1]
        if len(pairs) > 1:
            folds.append(Fold("The other recipes", tables=pairs[1:]))
        pairs = pairs[:1]
    for budget in _others(results):
        others = at(budget)
        if any(others):
            label = figures.labels(budget)
            folds.append(Fold(f"With {label}", matrices=others[0], tables=others[1]))
    note = Markup(
        "Counts of test rows, mean over seeds, {}; the tint is the share of the true label."
    )
    return Section(
        "confusion", "Confusion", tables=pairs, matrices=matrices, folds=tuple(folds),
        note=note.format(figures.labels(results.focus)),
    )  # fmt: skip


def _cost(results: Results) -> Section:
    drawings = drawn(
        "front",
        partial(scatter.pareto, results, results.focus),
        f"{results.primary.title} against seconds of training, {figures.labels(results.focus)}.",
        Markup("<strong>{}.</strong> {}").format(
            figures.labels(results.focus)[:1].upper() + figures.labels(results.focus)[1:],
            key(("dot gain filled", "none is cheaper and better"), ("dot even", "beaten")),
        ),
    )  # fmt: skip
    table = tables.costs(results, results.focus)
    others = (tables.costs(results, budget) for budget in _others(results))
    folds = tuple(
        Fold(f"Cost with {figures.labels(budget)}", tables=(found,))
        for budget, found in zip(_others(results), others, strict=True)
        if found
    )
    lead = findings.cheapest(results, results.focus)
    return Section("cost", "Cost", lead, drawings, tables=(table,) if table else (), folds=folds)


def _lightness(results: Results) -> Section:
    """What answering costs, where the study makes models lighter or puts them together."""
    if not any(recipe.made for recipe in results.recipes):
        return Section("lightness", "Score against size, time and memory")
    drawings = tuple(
        figure
        for metric in ("row_ms", "size_mb", "latency_ms", "answering_memory_mb")
        for figure in drawn(
            f"front-{metric}",
            partial(scatter.pareto, results, results.focus, price=scatter.PRICES[metric]),
            f"{results.primary.title} against {scatter.PRICES[metric].axis}.",
            Markup("<strong>Against {}.</strong> {}").format(
                scatter.PRICES[metric].axis,
                key(("dot gain filled", "none is lighter and better"), ("dot even", "beaten")),
            ),
        )
    )
    return Section("lightness", "Score against size, time and memory", drawings=drawings)


def sections(results: Results) -> tuple[Section, ...]:
    """All that the study measured, in the order of the page."""
    builders: Iterable[Callable[[Results], Section]] = (
        _results,
        _gain,
        tasks_section,
        columns_section,
        choice_section,
        _learning,
        _efficiency,
        _forgetting,
        _calibration,
        _confusion,
        _lightness,
        _cost,
    )
    return tuple(section for build in builders if not (section := build(results)).empty)
