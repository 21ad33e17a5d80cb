"""The import graph: layers point downwards, no circles, lazy imports under the lock, no file name three times."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

import portrange

ROOT = Path(portrange.__file__).parent
#: Lowest first. A module may import from its own layer and from those before it.
LAYERS = [
    {"_errors", "_lazy", "_frozen"},
    {"_render"},
    {"_answers"},
    {"_host"},
    {"_registry", "_backends"},
    {"_questions"},
    {"_cli"},
    {"__init__", "__main__", "testing"},
]
#: The only modules that may import each runtime dependency, by the beginning of their path.
DEPENDENCIES = {"psutil": "_backends/portable"}
MODULES = sorted(path for path in ROOT.rglob("*.py"))


def layer_of(parts: tuple[str, ...]) -> int:
    return next(index for index, layer in enumerate(LAYERS) if parts[0] in layer)


def dotted(path: Path) -> tuple[str, ...]:
    """A module's path below the package, without the `__init__` of folders."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def is_module(parts: tuple[str, ...]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports_of(path: Path, *, typing_only: bool = True):
    """Yield (line, module below the package or None, absolute name or None) of each import, in functions as well."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in nodes_of(ast.parse(path.read_text(encoding="utf-8")), typing_only=typing_only):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level <= len(package) + 1, f"{path}:{node.lineno} leaves the package"
            base = (*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                below = (*base, alias.name)
                # `from . import X` in the root package means the public surface, unless X is a module.
                yield node.lineno, below if is_module(below) else base or ("__init__",), None
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, None, node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, None, alias.name.partition(".")[0]


def nodes_of(tree: ast.AST, *, typing_only: bool):
    """Walk a tree; without `typing_only`, leave out what stands under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if not typing_only and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from nodes_of(other, typing_only=typing_only)
            continue
        yield node
        yield from nodes_of(node, typing_only=typing_only)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    own = layer_of(path.relative_to(ROOT).with_suffix("").parts)
    for line, below, _ in imports_of(path):
        if below is not None:
            assert layer_of(below) <= own, f"{path}:{line} imports {'.'.join(below)} from a higher layer"
    for line, _, absolute in imports_of(path, typing_only=False):
        if absolute in DEPENDENCIES:
            place = path.relative_to(ROOT).as_posix()
            assert place.startswith(DEPENDENCIES[absolute]), f"{path}:{line} imports {absolute}"
        elif absolute is not None:
            assert absolute in sys.stdlib_module_names, f"{path}:{line} imports {absolute}, which is no dependency"


def graph() -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """The modules that each module imports at run time, at the top and inside functions."""
    found = {}
    for path in MODULES:
        own = dotted(path)
        targets = {below for _, below, _ in imports_of(path, typing_only=False) if below}
        found[own] = {target for target in targets if target != own}
    return found


def circle_in(modules: dict[tuple[str, ...], set[tuple[str, ...]]]) -> list[str] | None:
    """Remove modules that import nothing that is left, until none is; what remains has a circle."""
    left = dict(modules)
    while True:
        done = {name for name, targets in left.items() if not targets & left.keys()}
        if not done:
            return sorted(".".join(name) for name in left) or None
        left = {name: targets for name, targets in left.items() if name not in done}


def test_the_import_graph_has_no_circle():
    assert circle_in(graph()) is None


def test_the_search_for_circles_finds_one():
    assert circle_in({("a",): {("b",)}, ("b",): {("c",)}, ("c",): {("b",)}, ("d",): set()}) == ["a", "b", "c"]


def test_each_module_belongs_to_a_layer():
    tops = {path.relative_to(ROOT).with_suffix("").parts[0] for path in MODULES}
    assert tops <= set().union(*LAYERS)


def test_no_file_name_occurs_more_than_twice():
    names = Counter(path.name for path in MODULES if path.name != "__init__.py")
    assert [name for name, number in names.items() if number > 2] == []


def test_the_package_never_names_itself():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not getattr(node, "level", 0):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
                assert not any(name.partition(".")[0] == "portrange" for name in names), path


def unlocked_imports(tree: ast.AST, *, in_function: bool = False, locked: bool = False):
    """Yield the lines of imports inside functions that are not in a `with import_lock:` block."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if in_function and not locked:
                yield node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from unlocked_imports(node, in_function=True)
        elif isinstance(node, ast.With):
            holds = any(ast.unparse(item.context_expr) == "import_lock" for item in node.items)
            yield from unlocked_imports(node, in_function=in_function, locked=locked or holds)
        else:
            yield from unlocked_imports(node, in_function=in_function, locked=locked)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_inside_functions_hold_the_lock(path):
    """See `import_lock`: a child of fork() would wait for an import that no thread of it completes."""
    assert list(unlocked_imports(ast.parse(path.read_text(encoding="utf-8")))) == []
