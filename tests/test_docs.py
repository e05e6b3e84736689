"""The documentation says what the code does: option tables, recipes, commands, code and links."""

import ast
import inspect
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

import transfuse
from transfuse.alignment import ALIGNMENTS
from transfuse.answering.doubt import Doubt
from transfuse.balancing import BALANCERS
from transfuse.cli.app import app
from transfuse.compression import COMPRESSIONS
from transfuse.compression.recovery import Recovery
from transfuse.data import AUGMENTATIONS, Cleaning, Splitting
from transfuse.errors import RecipeError
from transfuse.evaluation import METRICS
from transfuse.fusion import ANSWERS, MERGES
from transfuse.models import COLUMN_FUSIONS, FUSIONS
from transfuse.models.audio import Spectrogram
from transfuse.objectives import OBJECTIVES
from transfuse.recipe import MethodHelp, OptionHelp, describe, read_recipe
from transfuse.study import Comparison, is_study, read_study
from transfuse.tasks import TASKS
from transfuse.training import Training
from transfuse.transfer import MODELS, Plan, TableChoice, read_plan
from transfuse.tuning import TUNINGS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
}
# Methods by the key of a recipe that names them, which is their folder too; the last three are
# all named by `then`.
METHODS: Mapping[str, Mapping[str, type]] = {
    "model": MODELS,
    "tune": TUNINGS,
    "learn": OBJECTIVES,
    "fusion": FUSIONS,
    "columns": COLUMN_FUSIONS,
    "balance": BALANCERS,
    "align": ALIGNMENTS,
    "task": TASKS,
    "answers": ANSWERS,
    "merge": MERGES,
    "compress": COMPRESSIONS,
}
SETTINGS = {
    "docs/recipes.md": (TableChoice, Cleaning, Splitting, Training, Comparison),
    "docs/data.md": tuple(AUGMENTATIONS.values()),
    "docs/uncertainty.md": (Doubt,),
    "docs/audio.md": (Spectrogram,),
    "docs/methods/compress/prune_width.md": (Recovery,),
    "docs/methods/compress/prune_layers.md": (Recovery,),
    "docs/methods/compress/prune_heads.md": (Recovery,),
}
# What a part of a recipe is tried on.
WHOLE = {"model": "some-model", "data": {"target": "mine.csv", "source": "theirs.csv"}}


class Fence(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    kind: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def fences(page: str, text: str) -> Iterator[Fence]:
    for found in re.finditer(r"^```([^\n`]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, found.start()) + 1
        yield Fence(page, line, found[1].strip(), found[2])


FENCES = [fence for page, text in PAGES.items() for fence in fences(page, text)]


def of_kind(kind: str) -> Any:
    """All blocks of a kind, each a test of its own."""
    found = [fence for fence in FENCES if fence.kind == kind]
    return pytest.mark.parametrize("fence", found, ids=[fence.place for fence in found])


def prose(text: str) -> str:
    """A page without its code and comments."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"<!--.*?-->|`[^`\n]*`", "", text, flags=re.DOTALL)


# Option tables


def written(value: Any) -> str:
    """A value as a recipe writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float) and 0 < value < 0.01:
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def repeats(said: str, value: Any) -> bool:
    """Whether `Default: SAID.` says no more than the column beside it."""
    plain = written(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and re.fullmatch(r"[\d.,e-]+", said):
        return float(said.replace(",", "")) == value
    return said.replace("`", "").casefold() == plain.strip("[]").casefold()


def row(option: OptionHelp) -> str:
    """An option's row in a table, from what `transfuse methods` prints of it."""
    text, default = option.text, "required"
    if option.default != "required":
        value = ast.literal_eval(option.default)
        default = f"`{written(value)}`"
        begin, _, said = text.rpartition(" Default: ")
        if begin and repeats(said.removesuffix("."), value):
            text = begin
    return f"| `{option.name}` | {default} | {text} |"


def option_table(method: MethodHelp) -> str:
    if not method.options:
        return "It has no options."
    head = "| option | default | what it is |\n|---|---|---|\n"
    return head + "\n".join(map(row, method.options))


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, methods in METHODS.items() for name in methods]
)
def test_every_method_has_a_page_with_its_options(kind: str, name: str) -> None:
    page = f"docs/methods/{kind}/{name}.md"
    assert page in PAGES, f"write {page}; its table is\n{option_table_of(kind, name)}"
    table = option_table_of(kind, name)
    assert table in PAGES[page], f"the table of {page} is now\n{table}"


def option_table_of(kind: str, name: str) -> str:
    (method,) = describe({name: METHODS[kind][name]})
    return option_table(method)


def test_every_page_of_a_method_has_its_method() -> None:
    pages = {name for name in PAGES if re.fullmatch(r"docs/methods/\w+/\w+\.md", name)}
    known = {f"docs/methods/{kind}/{name}.md" for kind, names in METHODS.items() for name in names}
    assert pages - known == set()


@pytest.mark.parametrize(
    ("page", "settings"), [(page, kind) for page, kinds in SETTINGS.items() for kind in kinds]
)
def test_every_group_of_settings_has_its_table(page: str, settings: type) -> None:
    (method,) = describe({"settings": settings})
    table = option_table(method)
    assert table in PAGES[page], f"the table of {settings.__name__} in {page} is now\n{table}"


def test_every_key_of_a_recipe_is_explained() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGES["docs/recipes.md"], re.MULTILINE))
    assert {item.name for item in fields(Plan)} | {"recipes", "study"} <= rows


def test_every_metric_is_explained() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGES["docs/proof.md"], re.MULTILINE))
    assert set(METRICS) - rows == set()


# Recipes


def check(text: str, folder: Path, whole: Mapping[str, Any] | None = None) -> None:
    """Read a recipe as `transfuse validate` does; a part of one on top of a whole one."""
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    recipe = {**(whole or {}), **read_recipe(path)}
    reader: Callable[[Any], object] = read_study if is_study(recipe) else read_plan
    reader(recipe)


@of_kind("yaml recipe")
def test_recipes_are_right(fence: Fence, tmp_path: Path) -> None:
    check(fence.text, tmp_path)


@of_kind("yaml part")
def test_parts_of_recipes_are_right(fence: Fence, tmp_path: Path) -> None:
    check(fence.text, tmp_path, WHOLE)


def test_every_yaml_block_is_checked() -> None:
    unsaid = [fence.place for fence in FENCES if fence.kind in ("yaml", "yml")]
    assert unsaid == [], "say `yaml recipe`, or `yaml part` for a part of one"
    assert [fence for fence in FENCES if fence.kind == "yaml recipe"]


def test_a_wrong_recipe_would_be_seen(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="rnak"):
        check("tune: {lora: {rnak: 4}}", tmp_path, WHOLE)


# Commands


def parse(command: str) -> None:
    """Read a command's arguments as the command line does, without doing it.

    Raises:
        ValueError: If there is no such command. What else is wrong, the parser raises.
    """
    place: Any = get_command(app)
    words = shlex.split(command, comments=True)[1:]
    while words and hasattr(place, "commands") and not words[0].startswith("-"):
        if words[0] not in place.commands:
            raise ValueError(f"no command {words[0]!r}")
        place = place.commands[words.pop(0)]
    if words != ["--help"]:
        place.make_context("transfuse", words)


@of_kind("sh")
def test_commands_exist(fence: Fence) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in fence.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["transfuse"]:
            parse(line)
        elif words[:1] == ["make"]:
            assert words[1] in targets


def test_a_wrong_command_would_be_seen() -> None:
    parse("transfuse run mine.yaml --set train.epochs=5  # longer")
    for wrong in ("transfuse rnu mine.yaml", "transfuse run mine.yaml --outptu runs/mine"):
        with pytest.raises(Exception, match=r"rnu|outptu"):
            parse(wrong)


# Python


def wrong_code(text: str) -> Iterator[str]:
    """Names and keywords of Transfuse in a piece of code that do not exist."""
    tree = ast.parse(text)
    known: dict[str, Any] = {"transfuse": transfuse}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("transfuse"):
            module = import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    yield f"{node.module}.{alias.name}"
                known[alias.asname or alias.name] = getattr(module, alias.name, None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "transfuse":
            if not hasattr(transfuse, node.attr):
                yield ast.unparse(node)
            known[ast.unparse(node)] = getattr(transfuse, node.attr, None)
    for node in ast.walk(tree):
        called = known.get(ast.unparse(node.func)) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and called is not None:
            takes = inspect.signature(called).parameters
            yield from (
                f"{ast.unparse(node.func)}({word.arg}=)"
                for word in node.keywords
                if word.arg is not None and word.arg not in takes
            )


@of_kind("python")
def test_python_names_what_exists(fence: Fence) -> None:
    assert list(wrong_code(fence.text)) == []


def test_wrong_code_would_be_seen() -> None:
    assert list(wrong_code("import transfuse\ntransfuse.trnasfer(1)")) == ["transfuse.trnasfer"]
    assert list(wrong_code("from transfuse.data import raed")) == ["transfuse.data.raed"]
    assert list(wrong_code("import transfuse\ntransfuse.read(1, rolse={})")) == [
        "transfuse.read(rolse=)"
    ]


# Links


def links(text: str) -> list[str]:
    """Where a page leads to, on this machine."""
    found = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", prose(text))
    return [one or other for one, other in found if "://" not in one + other]


def anchors(text: str) -> set[str]:
    """The places of a page that a link can name, as GitHub names them."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(PAGES[page]):
        path, _, anchor = link.partition("#")
        place = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert place.exists(), f"{page}: {link}"
        assert place.is_relative_to(ROOT), f"{page}: {link} leads out of the project"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place.read_text(encoding="utf-8")), f"{page}: {link}"


def test_every_page_can_be_reached() -> None:
    reached, ahead = {"README.md"}, ["README.md"]
    while ahead:
        page = ahead.pop()
        for link in links(PAGES[page]):
            path = ((ROOT / page).parent / link.partition("#")[0]).resolve()
            name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
            if name in PAGES and name not in reached:
                reached.add(name)
                ahead.append(name)
    assert set(PAGES) - reached == set()


def test_the_measured_result_has_its_place() -> None:
    assert re.search(r"<!-- result:begin -->.*<!-- result:end -->", PAGES["README.md"], re.DOTALL)
