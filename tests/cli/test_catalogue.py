"""What Transfuse has to offer, listed."""

from pathlib import Path

import pytest
from cli_helpers import Command

from transfuse.cli.kinds import all_kinds
from transfuse.recipe import MethodHelp

METHODS = [
    pytest.param(method, id=f"{kind}-{name}")
    for kind, (_, methods) in all_kinds().items()
    for name, method in methods.items()
]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_every_option_says_what_it_is(method: MethodHelp) -> None:
    assert method.summary.endswith((".", "better"))
    for option in method.options:
        assert option.text.endswith("."), option.name
        assert option.type


def test_methods_lists_every_kind_and_shows_one_with_its_options(cli: Command) -> None:
    everything = cli("methods")
    assert everything.code == 0
    for kind, (_, methods) in all_kinds().items():
        assert f"{kind}: " in everything.out
        for name in methods:
            assert name in everything.out
    lora = cli("methods", "tune", "lora").out
    assert "rank" in lora
    assert "bitfit" not in lora
    assert "epochs" in cli("methods", "train").out


def test_a_misspelt_kind_or_method_is_corrected(cli: Command) -> None:
    said = cli("methods", "tuen")
    assert said.code == 2
    assert "Did you mean 'tune'?" in said.err
    said = cli("methods", "tune", "lroa")
    assert said.code == 2
    assert "Did you mean 'lora'?" in said.err


def test_recipes_are_listed_and_copied_once(cli: Command, place: Path) -> None:
    assert "news-to-reviews" in cli("recipes", "list").out
    said = cli("recipes", "copy", "news-to-reviews", "mine.yaml")
    assert said.code == 0, said.err
    assert said.out.strip() == "mine.yaml"
    assert cli("validate", "mine.yaml").code == 0
    again = cli("recipes", "copy", "news-to-reviews", "mine.yaml")
    assert again.code == 2
    assert "exists" in again.err
    unknown = cli("recipes", "copy", "news-to-review")
    assert unknown.code == 2
    assert "Did you mean 'news-to-reviews'?" in unknown.err
