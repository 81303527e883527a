"""The house keeps its shape: who may import whom, what travels stays old enough, and files stay readable."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("pilot", "commands", "wrappers", "central", "pilotage")
TRAVELS = ("pilot", "commands")

# Plain data and pure functions that both ends of the wire share.
PLAIN = {
    f"pilot.{name}"
    for name in (
        *("protocol", "views", "queues", "use", "states", "errors", "jobfile", "fields", "units", "tags", "signatures"),
        *(
            "nouns",
            "audit",
            "auditing",
            "looking",
            "binds",
            "credential",
            "destination",
            "imagename",
            "jobneeds",
            "jobtransfers",
            "ledger",
            "catalogue",
            "codes",
            "stopping",
            "transfers",
            "renewals",
            "standard",
            "bundles",
            "pipelines",
            "places",
            "login",
            "people",
            "halting",
        ),
    )
}

# What each package may import of the others: a package, or modules of it.
ARROWS = {
    "pilot": {"commands"},
    "commands": PLAIN,
    "wrappers": PLAIN,
    "central": PLAIN | {"wrappers"},
    "pilotage": PLAIN | {"wrappers"},
}

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

# Folders that hold nothing of ours; those whose name begins with a dot are passed over too, but for .ci.
SKIPPED = {"build", "dist", "__pycache__"}

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|farm|root)/")
REGISTRY = re.compile(
    r"https?://\S+/(?:simple|debian|npm)\b|index-url\s*=|\b(?:pypi|pythonhosted|debian|npmjs)\.org", re.I
)


class Import(NamedTuple):
    """One imported name, as far as the source says: `from a.b import c` is `a.b.c`, which may be a module or not."""

    name: str
    where: str  # file:line


def sources(package: str) -> list[Path]:
    found = sorted(path for path in (TOP / package).rglob("*.py") if "__pycache__" not in path.parts)
    assert found, f"the package {package} is missing: expected Python files in {TOP / package}"
    return found


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(TOP)}:{getattr(node, 'lineno', 1)}"


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, at whatever depth, relative ones made absolute."""
    package = path.relative_to(TOP).parent.parts
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, place(path, node))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                yield Import(f"{module}.{alias.name}", place(path, node))
        elif isinstance(node, ast.Call) and _name_of(node.func) in ("import_module", "__import__"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(argument.value, place(path, node))


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def covered(name: str, allowed: set[str]) -> bool:
    """True when the name is one of these packages or modules, or lies inside one."""
    return any(name == each or name.startswith(each + ".") for each in allowed)


def fail_for(rows: list[str], rule: str) -> None:
    assert not rows, rule + ":\n  " + "\n  ".join(rows)


@pytest.mark.parametrize("target", PACKAGES)
@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_of_another_only_what_its_arrow_allows(package: str, target: str) -> None:
    """A package reaches another only along the arrows of the design."""
    if package == target:
        assert sources(package)
        return
    allowed = {each for each in ARROWS[package] if each.partition(".")[0] == target}
    rule = f"{package} may import of {target}: {', '.join(sorted(allowed)) or 'nothing'}"
    wrong = [
        f"{found.where} imports {found.name}"
        for path in sources(package)
        for found in imports(path)
        if covered(found.name, {target}) and not covered(found.name, allowed)
    ]
    fail_for(wrong, rule)


@pytest.mark.parametrize("module", sorted(PLAIN))
def test_a_plain_module_imports_the_standard_library_and_plain_modules_alone(module: str) -> None:
    """Both ends of the wire can import a plain module without getting anything else."""
    path = TOP / (module.replace(".", "/") + ".py")
    assert path.exists(), f"the plain module {module} is missing: expected {path}"
    wrong = [
        f"{found.where} imports {found.name}"
        for found in imports(path)
        if not covered(found.name, PLAIN) and found.name.partition(".")[0] not in sys.stdlib_module_names
    ]
    fail_for(wrong, f"{module} is a plain module, and imports more than the standard library and plain modules")


@pytest.mark.parametrize("package", TRAVELS)
def test_what_travels_parses_under_python_3_9(package: str) -> None:
    """Nodes have the Python that they have: every file of what travels is written in the language of 3.9."""
    wrong = []
    for path in sources(package):
        try:
            ast.parse(path.read_bytes(), str(path), feature_version=(3, 9))
        except SyntaxError as error:
            wrong.append(f"{path.relative_to(TOP)}:{error.lineno} {error.msg}")
    fail_for(wrong, "not the syntax of Python 3.9")


@pytest.mark.parametrize("package", PACKAGES)
def test_files_and_functions_fit_the_eye(package: str) -> None:
    """A file has one reason to exist, and a function is read without scrolling."""
    wrong = []
    for path in sources(package):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > LONGEST_FILE:
            wrong.append(f"{path.relative_to(TOP)}: {lines} lines, at most {LONGEST_FILE} expected")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    wrong.append(
                        f"{place(path, node)} {node.name}: {length} lines, at most {LONGEST_FUNCTION} expected"
                    )
    fail_for(wrong, "too long")


def texts(folder: Path = TOP) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and path.name not in (".ci", ".gitignore")
        if path.is_dir() and not hidden and path.name not in SKIPPED:
            yield from texts(path)
        elif path.is_file() and not hidden and path != Path(__file__).resolve():
            yield path


def test_no_file_names_a_path_of_one_machine_or_a_package_registry() -> None:
    """The project installs anywhere: nothing in it knows where it was written or which mirror was near."""
    wrong = []
    for path in texts():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # not a text
        wrong += [
            f"{path.relative_to(TOP)}:{number} {line.strip():.100}"
            for number, line in enumerate(lines, 1)
            if MACHINE_PATH.search(line) or REGISTRY.search(line)
        ]
    fail_for(wrong, "a path of a machine or the host of a registry stands in")
