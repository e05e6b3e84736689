"""What each column of a table is for, and how a person says so; `infer.py` works out the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from transfuse.errors import DataError, Problem
from transfuse.recipe.methods import nearest

__all__ = ["GivenRoles", "Role", "Schema", "given_roles", "how_to_name"]

GivenRoles = Mapping[str, "str | Sequence[str] | None"]
"""Role name to column name (or names), as a recipe writes it; None: no column has this role."""


class Role(StrEnum):
    """What a column is for."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    FIELDS = "fields"
    LABEL = "label"
    TOKENS = "tokens"
    TAGS = "tags"
    SOURCE = "source"
    TARGET = "target"
    USER = "user"
    ITEM = "item"
    RATING = "rating"
    DOMAIN = "domain"
    GROUP = "group"
    ID = "id"
    BOXES = "boxes"
    MASK = "mask"


@dataclass(frozen=True)
class Schema:
    """The role of each column that has one; other columns are carried along.

    Args:
        roles: Column name to role.
    """

    roles: Mapping[str, Role]

    def columns(self, role: Role) -> tuple[str, ...]:
        """The columns with a role, in their order; empty where none has it."""
        return tuple(name for name, found in self.roles.items() if found == role)

    def has(self, role: Role) -> bool:
        """Whether any column has the role."""
        return role in self.roles.values()

    def column(self, role: Role) -> str:
        """The column with a role, the first where several have it.

        Args:
            role: The role that is looked for.

        Returns:
            The column's name.

        Raises:
            DataError: If no column has the role.
        """
        columns = self.columns(role)
        if not columns:
            known = ", ".join(f"{name!r} is {found}" for name, found in self.roles.items())
            raise DataError(
                Problem(
                    "columns",
                    f"no column is known to be the {role}" + (f" ({known})" if known else ""),
                    fix=how_to_name(role),
                )
            )
        return columns[0]


def given_roles(
    columns: Iterable[str], given: GivenRoles | None, where: str = "columns"
) -> dict[str, Role]:
    """Checks roles that a person gave against the columns that there are.

    Args:
        columns: The table's column names.
        given: Role name to column name or names, or None as a column for none.
        where: How a problem names the table.

    Returns:
        Column name to role.

    Raises:
        DataError: With every role or column that does not exist, and the nearest that does.
    """
    columns = tuple(columns)
    roles: dict[str, Role] = {}
    problems = []
    for role, named in (given or {}).items():
        if role not in {*Role}:
            fix = nearest(role, [str(known) for known in Role])
            problems.append(Problem(where, f"unknown role {role!r}", fix=fix))
            continue
        for name in _as_names(named):
            if name not in columns:
                problems.append(
                    Problem(where, f"no column {name!r} for the {role}", fix=nearest(name, columns))
                )
            elif name in roles:
                what = f"column {name!r} is given as the {roles[name]} and as the {role}"
                problems.append(Problem(where, what, "one role for each column"))
            else:
                roles[name] = Role(role)
    if problems:
        raise DataError(problems)
    return roles


def how_to_name(role: Role, name: str = "NAME") -> str:
    """The sentence that tells how to say which column has a role."""
    return (
        f"Name it, as `{role}: {name}` in a recipe or roles={{'{role}': '{name}'}} in Python "
        f"(`{role}: null`, or None, if there is none)."
    )


def _as_names(named: str | Sequence[str] | None) -> tuple[str, ...]:
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else tuple(named)
