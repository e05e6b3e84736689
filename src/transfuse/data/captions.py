"""Captions made of labels, for pictures that nobody has described."""

from collections.abc import Sequence

from transfuse.data.schema import Role
from transfuse.data.seeds import seed_for
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

__all__ = ["check_templates", "pseudo_captions"]


def check_templates(templates: Sequence[str]) -> None:
    """Whether each template has one place for a label's name.

    Args:
        templates: Sentences with {} in them.

    Raises:
        ValueError: If one has not, or there are none.
    """
    if not templates or any(each.count("{}") != 1 for each in templates):
        raise ValueError("a caption holds {} once, in the place of the label's name")


def pseudo_captions(
    table: Table, templates: Sequence[str], *, column: str = "caption", seed: int = 0
) -> Table:
    """A table with a text for each row, made of its label's name.

    A caption says no more than the label does, but in the words of a text encoder: pictures of
    different label sets, and pictures with real captions, can then be learnt from together. Labels
    may be those that a model has predicted.

    Args:
        table: Rows with labels; of several labels the names are put side by side.
        templates: Sentences with {} in the place of the name. Of several, each row draws one.
        column: The new column. Default: `caption`.
        seed: Seed of the draw. Default: 0.

    Raises:
        DataError: If the table has a text already, or no labels.
        ValueError: If a template has no place for the name.
    """
    check_templates(templates)
    if table.schema.has(Role.TEXT):
        text = table.schema.column(Role.TEXT)
        fix = "Leave the captions out, or say `text: null`."
        raise DataError(Problem(table.name, f"has a text already, {text!r}", "pictures alone", fix))
    captions = []
    for row, label in enumerate(table.labels()):
        names = [label] if not isinstance(label, (list, tuple)) else label
        said = ", ".join(str(name).replace("_", " ").strip() for name in names)
        # By row, so that a table that grows keeps the captions that it has.
        chosen = templates[seed_for(seed, "caption", str(row)) % len(templates)]
        captions.append(chosen.format(said))
    return table.with_column(column, captions, Role.TEXT)
