"""A data card in a terminal."""

from typing import TYPE_CHECKING

from rich.console import Console

from transfuse.cli.show import bars, facts, heading, stdout, table
from transfuse.data import DataCard
from transfuse.data.spread import Spread

if TYPE_CHECKING:
    from transfuse.data.images.facts import PictureFacts

__all__ = ["print_card"]

_MOST_LABELS = 20


def print_card(card: DataCard) -> None:
    """Print what is in a table: facts, labels and lengths as bars, cleaning, overlaps, distances.

    Args:
        card: The card.
    """
    console = stdout()
    heading(console, card.name)
    console.print(facts(_facts(card)))
    if card.labels:
        heading(console, "Labels")
        shown = dict(list(card.labels.items())[:_MOST_LABELS])
        rest = len(card.labels) - len(shown)
        if rest:
            shown[f"{rest} others"] = sum(card.labels.values()) - sum(shown.values())
        console.print(bars(shown))
    for title, spread in (("Label values", card.label_values), ("Words in a text", card.words)):
        if spread is not None:
            heading(console, title)
            _print_spread(console, spread)
    _print_cleaning(console, card)
    _print_others(console, card)


def _facts(card: DataCard) -> dict[str, str]:
    told = {
        "rows": f"{card.rows:,}",
        "columns": ", ".join(f"{name} ({role})" for name, role in card.roles.items()),
    }
    if card.characters is not None:
        most = card.characters.quantiles["100"]
        told["longest"] = f"{most:,.0f} characters"
    if card.pictures is not None:
        told["pictures"] = _picture_facts(card.pictures)
    if card.groups is not None:
        told["groups"] = f"{card.groups:,}, the largest of {card.largest_group:,} rows"
    if card.balance is not None:
        told["balance"] = f"{card.balance:.2f} (1: classes of equal size)"
    if card.duplicates:
        told["duplicates"] = f"{card.duplicates:,} rows repeat another"
    for number, line in enumerate(card.notes):
        told["notes" if not number else " " * number] = line
    return told


def _picture_facts(pictures: "PictureFacts") -> str:
    formats = ", ".join(f"{count:,} {name}" for name, count in pictures.formats.items())
    modes = ", ".join(f"{count:,} {name}" for name, count in pictures.modes.items())
    low, middle, high = (
        f"{pictures.width.quantiles[at]:,.0f} x {pictures.height.quantiles[at]:,.0f}"
        for at in ("0", "50", "100")
    )
    told = [formats, modes, low if low == high else f"{low} to {high} pixels, median {middle}"]
    if pictures.animated:
        told.append(f"{pictures.animated:,} animated, of which the first frame counts")
    if pictures.missing:
        told.append(f"{pictures.missing:,} missing")
    return "; ".join(told)


def _print_spread(console: Console, spread: Spread) -> None:
    bins = {
        f"{low:g} – {high:g}": count
        for low, high, count in zip(spread.edges, spread.edges[1:], spread.counts, strict=False)
    }
    last, count = bins.popitem()
    # The last bin also counts all that is larger.
    beyond = spread.quantiles["100"] > spread.edges[-1]
    bins[f"{spread.edges[-2]:g} and more" if beyond else last] = count
    console.print(bars(bins))
    told = ", ".join(f"{spread.quantiles[q]:g} at {q}%" for q in ("5", "50", "95", "100"))
    console.print(f"mean {spread.mean:.1f}; {told}", style="dim")


def _print_cleaning(console: Console, card: DataCard) -> None:
    if card.cleaning is None:
        return
    heading(console, "Cleaning")
    counts = card.cleaning.counts
    rows = [
        (name.replace("_", " "), f"{count:,}", (card.cleaning.examples.get(name) or ("",))[0])
        for name, count in counts.items()
    ]
    made = table(("Step", "Rows", "For instance"), rows)
    made.columns[1].justify = "right"
    console.print(made)


def _print_others(console: Console, card: DataCard) -> None:
    for other in card.overlaps:
        heading(console, f"Rows that are in {other.other} too")
        console.print(facts({"equal": f"{other.exact:,}", "nearly equal": f"{other.near:,}"}))
        for text in other.examples:
            console.print(f"  {text}", style="dim", markup=False)
    if card.distances:
        heading(console, f"Distance from {card.distances[0].other}")
        rows = [(one.measure, f"{one.value:.3g}", one.note) for one in card.distances]
        made = table(("Measure", "Value", "What it means"), rows)
        made.columns[1].justify = "right"
        console.print(made)
