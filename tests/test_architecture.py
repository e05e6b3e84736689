"""The rules of the house that a program can check, read off the source with `ast`."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import transfuse

ROOT = Path(transfuse.__file__).parent
LONGEST_FILE = 350

# From the top to the bottom: a line may import the lines below it, never those above it, and
# neighbours on one line do not import each other.
LINES = (
    ("__main__", "_register"),
    ("cli",),
    ("serving",),
    ("report",),
    ("study",),
    ("transfer",),
    ("fusion", "compression", "explaining"),
    ("training",),
    ("answering",),
    ("objectives", "tuning", "balancing", "alignment"),
    ("evaluation", "ranking"),
    ("tasks",),
    ("models",),
    ("data", "merging"),
    ("recipe",),
    ("errors", "cache", "files", "_hub_config", "_hub_images", "_hub_scenes"),
)
HEIGHT = {name: -place for place, names in enumerate(LINES) for name in names}
TREES = {
    path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.rglob("*.py"))
}
PACKAGES = {path: tree for path, tree in TREES.items() if path.name == "__init__.py"}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that a file imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def part(path: Path) -> str:
    """The package, or the file beside the packages, that a file belongs to."""
    return path.parts[0].removesuffix(".py")


def wrong_imports(path: Path, tree: ast.AST) -> Iterator[str]:
    """What a file imports from its own height or above, other than its own package."""
    for line, name in imports(tree):
        if name.split(".")[0] != "transfuse":
            continue
        target = name.split(".")[1] if "." in name else ""
        if target != part(path) and HEIGHT.get(target, 1) >= HEIGHT[part(path)]:
            yield f"{path}:{line}: {part(path)} imports {name}"


def test_every_part_has_a_place_in_the_list() -> None:
    assert {part(path) for path in TREES} - {"__init__"} <= set(HEIGHT)


def test_imports_go_one_way() -> None:
    files = [(path, tree) for path, tree in TREES.items() if path != Path("__init__.py")]
    assert [wrong for path, tree in files for wrong in wrong_imports(path, tree)] == []


def test_a_wrong_import_would_be_seen() -> None:
    upward = ast.parse("def f():\n    from transfuse.training import fit")
    neighbour = ast.parse("import transfuse.ranking.logme")
    facade = ast.parse("from transfuse import compare")
    assert len(list(wrong_imports(Path("models/load.py"), upward))) == 1
    assert len(list(wrong_imports(Path("evaluation/metrics.py"), neighbour))) == 1
    assert len(list(wrong_imports(Path("data/read.py"), facade))) == 1
    assert list(wrong_imports(Path("cli/app.py"), upward)) == []


def test_imports_are_absolute() -> None:
    relative = [
        f"{path}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_data_knows_nothing_of_torch_and_transformers() -> None:
    heavy = [
        f"{path}:{line}: {name}"
        for path, tree in TREES.items()
        if part(path) == "data"
        for line, name in imports(tree)
        if name.split(".")[0] in ("torch", "transformers", "accelerate", "peft")
    ]
    assert heavy == []


def test_importing_transfuse_costs_next_to_nothing() -> None:
    heavy = ("torch", "transformers", "numpy", "pandas", "datasets", "sklearn")
    code = f"import sys, transfuse; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def is_method_table(node: ast.stmt) -> bool:
    """The one visible dict in which a package lists its methods."""
    return (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id.isupper()
        and isinstance(node.value, ast.Dict)
    )


def is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def test_packages_only_hand_names_on() -> None:
    # The package itself loads its names on first use; every other one is plain.
    more = [
        f"{path}:{node.lineno}"
        for path, tree in PACKAGES.items()
        if path != Path("__init__.py")
        for node in tree.body[1:]
        if not (
            isinstance(node, ast.Import | ast.ImportFrom) or is_all(node) or is_method_table(node)
        )
    ]
    assert more == []


def test_packages_name_the_file_to_read_first() -> None:
    nameless = [
        str(path)
        for path, tree in PACKAGES.items()
        if path != Path("__init__.py")
        if not any(
            (ROOT / path.parent / name).is_file()
            for name in re.findall(r"`([\w/]+\.py)`", ast.get_docstring(tree) or "")
        )
    ]
    assert nameless == []


def test_files_say_what_they_are_and_what_they_offer() -> None:
    silent = [str(path) for path, tree in TREES.items() if not ast.get_docstring(tree)]
    assert silent == []
    without = [
        str(path)
        for path, tree in TREES.items()
        if path.name != "__main__.py" and tree.body[1:] and not any(map(is_all, tree.body))
    ]
    assert without == []


def test_files_have_one_subject() -> None:
    assert [str(path) for path in TREES if path.stem in ("utils", "util", "helpers", "misc")] == []
    lengths = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in TREES
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_nothing_is_pickled() -> None:
    pickling = ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib")
    found = [
        f"{path}:{line}: {name}"
        for path, tree in TREES.items()
        for line, name in imports(tree)
        # The error is caught, to say what is wrong with a pickled file; nothing is unpickled.
        if name.split(".")[0] in pickling and name != "pickle.UnpicklingError"
    ]
    assert found == []


def unsafe_calls(tree: ast.AST) -> Iterator[int]:
    """Lines that load or save with pickle behind another library's name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if (
            name == "torch.save"
            or (name == "torch.load" and options.get("weights_only") != "True")
            or (name in ("np.load", "numpy.load") and options.get("allow_pickle") == "True")
            or name.endswith("read_pickle")
            or name.endswith("to_pickle")
        ):
            yield node.lineno


def test_nothing_unsafe_is_loaded() -> None:
    assert list(unsafe_calls(ast.parse("torch.load(path)"))) == [1]
    assert list(unsafe_calls(ast.parse("torch.load(path, weights_only=True)"))) == []
    unsafe = [f"{path}:{line}" for path, tree in TREES.items() for line in unsafe_calls(tree)]
    assert unsafe == []


def broad_handlers(tree: ast.AST) -> Iterator[int]:
    """Lines of handlers that catch everything and do not raise it again."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {ast.unparse(kind) if kind else "" for kind in caught}
        raised = node.body and isinstance(node.body[-1], ast.Raise)
        if names & {"", "Exception", "BaseException"} and not raised:
            yield node.lineno


def test_errors_are_not_swallowed() -> None:
    assert list(broad_handlers(ast.parse("try:\n    f()\nexcept:\n    pass"))) == [3]
    # The command line turns what nobody foresaw into a message, once.
    broad = [
        f"{path}:{line}"
        for path, tree in TREES.items()
        if path != Path("cli/app.py")
        for line in broad_handlers(tree)
    ]
    assert broad == []
    assert len(list(broad_handlers(TREES[Path("cli/app.py")]))) <= 1


def test_nothing_is_left_for_later_or_tied_to_a_machine() -> None:
    left = re.compile(r"\b(TODO|FIXME|XXX)\b|[\"'(\s](/tmp/|/work/|/root/|/home/|/opt/|C:\\)")
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in TREES
        for number, line in enumerate(
            (ROOT / path).read_text(encoding="utf-8").splitlines(), start=1
        )
        if left.search(line)
    ]
    assert found == []
