"""The sentences of a report: what was found, each number marked with its row.

A sentence says only what its rows say. Where the interval of a gain holds zero it says so, and
where it lies below zero it says negative transfer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from transfuse.report.figures import tone
from transfuse.report.format import between, plain, tagged
from transfuse.report.results import Recipe, Results, Row
from transfuse.report.scatter import front
from transfuse.report.tables import needed

__all__ = [
    "Fact",
    "Headline",
    "best",
    "calibration",
    "cheapest",
    "facts",
    "headline",
    "negatives",
]


@dataclass(frozen=True)
class Headline:
    """The sentence that a report opens with.

    Args:
        sentence: The sentence.
        tone: gain, loss or even.
        details: The interval, the p-value and the two scores.
        row: The gain that it states, with its interval.
        ruler: CSS variables that place the interval and zero on a ruler. Default: none.
    """

    sentence: Markup
    tone: str
    details: tuple[Markup, ...] = ()
    row: Row | None = None
    ruler: str = ""


@dataclass(frozen=True)
class Fact:
    """One of the few numbers under the headline."""

    title: str
    number: Markup
    note: Markup


def _label_count(row: Row, budget: int = 0) -> Markup:
    """A budget inside a sentence; `row` is one that was measured, `budget` where it is shown."""
    if row.budget == 0:
        return Markup("without target labels" if budget else "with all labels")
    word = "label" if row.budget == 1 else "labels"
    number = Markup(
        '<data value="{}" data-row="{}" data-field="budget" data-style="count">{}</data>'
    )
    return Markup("with {} {}").format(number.format(row.budget, row.row, f"{row.budget:,}"), word)


def _name(results: Results, recipe: str) -> Markup:
    return Markup('<span class="name">{}</span>').format(results.title_of(recipe))


def _ruler(row: Row) -> str:
    """Zero, the gain and its interval as shares of a line; nothing without an interval."""
    if not row.bounded:
        return ""
    low, high = row.low, row.high
    left, right = min(0.0, low), max(0.0, high)
    room = 0.08 * (right - left) or 1.0
    left, right = left - room, right + room

    def at(value: float) -> str:
        return f"{100 * (value - left) / (right - left):.2f}%"

    return f"--zero:{at(0)};--from:{at(low)};--to:{at(high)};--at:{at(row.value)}"


def headline(results: Results) -> Headline:
    """What the study found, in one sentence."""
    row = results.headline
    lost = [b for b in results.study.get("baselines") or () if results.why_failed(plain(b))]
    if (row is None or not row.measured) and lost:
        text = Markup("No gain can be stated: {}, which gains are measured against, failed.")
        return Headline(text.format(_name(results, plain(lost[0]))), "even")
    if row is None or not row.measured:
        return Headline(Markup("No recipe was compared with a baseline in this study."), "even")
    measure = results.primary
    kind = tone(row)
    transfers = not any(r.baseline for r in results.given if r.name == row.recipe)
    number = tagged(row, measure.gain_style)
    unit = f" {measure.gain_unit}" if measure.gain_unit else ""
    amount = Markup('<span class="{}">{}{}</span>').format(kind, number, unit)
    name, base = _name(results, row.recipe), _name(results, row.baseline)
    place = _label_count(row, row.budget)
    if kind == "gain":
        text = Markup("{} gains {} of {} over {}, {}.")
        if measure.sign < 0:  # a gain is positive where the metric is better, also if that is less
            text = Markup("{} is better by {} of {} than {}, {}.")
        sentence = text.format(name, amount, measure.phrase, base, place)
    elif kind == "loss":
        word = Markup('<span class="loss">{}</span>').format(
            "Negative transfer" if transfers else "A loss"
        )
        text = Markup("{}: {} is at {} of {} against {}, {}.")
        sentence = text.format(word, name, amount, measure.phrase, base, place)
    else:
        text = Markup(
            "No sure gain: {} is at {} of {} against {}, {}, and the interval holds zero."
        )
        sentence = text.format(name, amount, measure.phrase, base, place)
    return Headline(sentence, kind, tuple(_details(results, row)), row, _ruler(row))


def _details(results: Results, row: Row) -> list[Markup]:
    measure = results.primary
    details = []
    if row.bounded:
        interval = between(row, measure.gain_style)
        details.append(Markup("{} % interval {}").format(_confidence(results), interval))
    if row.p_holm == row.p_holm:
        p = tagged(row, "p", "p_holm")
        details.append(Markup("p {} after Holm’s correction").format(p))
    ours = results.score(row.recipe, row.budget)
    theirs = results.score(row.baseline, row.budget)
    if ours and theirs:
        pair = tagged(ours, measure.style), tagged(theirs, measure.style)
        unit = f" {measure.unit}" if measure.unit else ""
        details.append(Markup("{}{} against {}{}").format(pair[0], unit, pair[1], unit))
    return details


def _confidence(results: Results) -> str:
    return f"{100 * float(results.study.get('confidence') or 0.95):g}"


def negatives(results: Results) -> tuple[Row, ...]:
    """Every gain of a recipe that transfers whose interval lies on the wrong side of zero."""
    plain = {recipe.name for recipe in results.given if recipe.baseline}
    return tuple(
        row
        for row in results.of("gain")
        if row.recipe not in plain and row.split in ("", results.side) and tone(row) == "loss"
    )


def best(results: Results) -> Markup:
    """The best recipe at the focus budget."""
    measure, budget = results.primary, results.focus
    ranked = [row for recipe in results.recipes if (row := results.score(recipe.name, budget))]
    ranked = sorted((row for row in ranked if row.measured), key=lambda r: -measure.sign * r.value)
    if not ranked:
        return Markup("")
    top = ranked[0]
    unit = f" {measure.unit}" if measure.unit else ""
    text = Markup("{} scores best {}: {}{}{}.")
    place, number = _label_count(top, budget), tagged(top, measure.style)
    interval = Markup(" ({})").format(between(top, measure.style)) if top.bounded else ""
    return text.format(_name(results, top.recipe), place, number, unit, interval)


def calibration(results: Results, recipe: str, budget: int) -> Markup:
    """What temperature scaling did to one recipe."""
    before, after = (
        results.score(recipe, budget, "ece"),
        results.score(recipe, budget, "ece_scaled"),
    )
    if not before or not after or not (before.measured and after.measured):
        return Markup("")
    text = Markup("Temperature scaling takes the calibration error of {} from {} to {} %, {}.")
    numbers = tagged(before, "percent"), tagged(after, "percent")
    return text.format(_name(results, recipe), *numbers, _label_count(before, budget))


def cheapest(results: Results, budget: int) -> Markup:
    """The recipe that costs least, and the cheapest of the good ones."""
    measure = results.primary
    found: list[tuple[Recipe, Row, Row]] = []
    for recipe in results.recipes:
        cost, score = (
            results.cost(recipe.name, budget, "seconds"),
            results.score(recipe.name, budget),
        )
        if cost and score and cost.measured and score.measured:
            found.append((recipe, cost, score))
    kept = front([(cost.value, measure.sign * score.value) for _, cost, score in found])
    if not kept:
        return Markup("")
    unit = f" {measure.unit}" if measure.unit else ""
    name = Markup("{}{} takes {} s and scores {}{}")
    words = ("The quickest, ", "the best, ") if len(kept) > 1 else ("",)
    ends = (found[kept[0]], found[kept[-1]]) if len(kept) > 1 else (found[kept[0]],)
    parts = []
    for word, (recipe, cost, score) in zip(words, ends, strict=True):
        title = Markup("{},").format(_name(results, recipe.name)) if word else recipe.title
        numbers = tagged(cost, "number"), tagged(score, measure.style)
        parts.append(name.format(word, title, *numbers, unit))
    return Markup("{}.").format(Markup("; ").join(parts))


def facts(results: Results) -> Sequence[Fact]:
    """The few numbers under the headline, about its recipe."""
    row = results.headline
    if row is None:
        return ()
    found = []
    base = results.title_of(row.baseline)
    need = results.find(
        "efficiency", row.recipe, row.budget, "labels_needed", baseline=row.baseline
    )
    if need is not None and need.value == need.value:
        number = needed(need, results.budgets)
        note = Markup("labels, with which {} scores the same").format(base)
        found.append(Fact("Worth in labels", number, note))
    lost = next(
        (r for r in results.of("forgetting")
         if r.recipe == row.recipe and r.budget in (row.budget, 0)), None,
    )  # fmt: skip
    if lost is not None and lost.measured:
        note = Markup("{} lost on the source, {}").format(
            results.primary.gain_unit or results.primary.phrase,
            between(lost, results.primary.gain_style),
        )
        found.append(Fact("Forgotten", tagged(lost, results.primary.gain_style), note))
    trained = results.cost(row.recipe, row.budget, "trained_parameters")
    if trained is not None and trained.measured:
        every = results.cost(row.recipe, row.budget, "total_parameters")
        note = Markup("trained parameters of {}").format(tagged(every, "si"))
        found.append(Fact("Size of the change", tagged(trained, "si"), note))
    seconds = results.cost(row.recipe, row.budget, "seconds")
    if seconds is not None and seconds.measured:
        latency = results.cost(row.recipe, row.budget, "latency_ms")
        note = Markup("to train; {} ms for one row").format(tagged(latency, "number"))
        found.append(Fact("Cost", Markup("{} s").format(tagged(seconds, "number")), note))
    return found
