"""Plans as a person reads them: the recipe that they come to, in YAML."""

import json
from dataclasses import asdict
from typing import Any

import yaml
from rich.syntax import Syntax
from rich.text import Text

from transfuse.cli.show import stdout
from transfuse.study import StudyPlan
from transfuse.transfer import Plan

__all__ = ["print_plan", "print_study"]

_METHODS = ("model", "task", "fusion", "tune", "balance")


def print_plan(plan: Plan) -> None:
    """Print a plan as the recipe that gives it again, every choice resolved.

    Args:
        plan: The plan.
    """
    _print(_told(plan))


def print_study(study: StudyPlan) -> None:
    """Print a study likewise: what all recipes share first, then what is each one's own.

    Args:
        study: The study.
    """
    told = {name: _told(plan) for name, plan in study.plans.items()}
    first = next(iter(told.values()))
    shared = {
        key: value
        for key, value in first.items()
        if all(other.get(key) == value for other in told.values())
    }
    settings = {key: value for key, value in asdict(study.comparison).items() if value is not None}
    own = {
        name: {key: value for key, value in one.items() if key not in {*shared, "name", "seed"}}
        for name, one in told.items()
    }
    about = {"name": study.name, "title": study.title, "description": study.description}
    shared.pop("seed", None)
    _print({**about, **shared, "study": _plain(settings), "recipes": own})


def _told(plan: Plan) -> dict[str, Any]:
    """The plan's recipe without what is empty; a method without options by its name alone."""
    recipe = _plain(plan.recipe())
    for key in _METHODS:
        if key in recipe:
            recipe[key] = _short(recipe[key])
    recipe["learn"] = [_short(one) for one in recipe["learn"]]
    return {key: value for key, value in recipe.items() if value not in (None, "", {}, [])}


def _short(method: Any) -> Any:
    if isinstance(method, dict) and len(method) == 1:
        ((name, options),) = method.items()
        if name == "pretrained":
            return options
        return {name: options} if options else name
    return method


def _plain(value: Any) -> Any:
    # Tuples become lists and numbers of numpy plain ones, which is all that YAML takes.
    return json.loads(json.dumps(value, default=list))


def _print(recipe: dict[str, Any]) -> None:
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    console = stdout()
    if console.is_terminal:
        console.print(Syntax(text, "yaml", background_color="default"))
    else:
        console.print(Text(text.rstrip()), soft_wrap=True)
