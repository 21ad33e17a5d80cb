"""The layers of the design: a module imports only downwards, and only by relative imports."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import portrange

ROOT = Path(portrange.__file__).parent
#: Lowest first. A module may import from its own layer and from those before it.
LAYERS = [
    {"_errors", "_compat"},
    {"_render"},
    {"_answers"},
    {"_host"},
    {"_registry", "_backends"},
    {"_questions"},
    {"_cli"},
    {"__init__", "__main__"},
]
#: The only modules that may import each runtime dependency, by the beginning of their path.
DEPENDENCIES = {"psutil": "_backends/portable", "typing_extensions": "_compat.py"}
MODULES = sorted(path for path in ROOT.rglob("*.py"))


def layer_of(parts: tuple[str, ...]) -> int:
    return next(index for index, layer in enumerate(LAYERS) if parts[0] in layer)


def imported(path: Path):
    """The first part below the package of each relative import, and the absolute imports, with their lines."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            assert node.level <= len(package) + 1, f"{path}:{node.lineno} leaves the package"
            below = (*base, *(node.module or "").split(".")) if node.module else base
            names = [below] if below else [(alias.name,) for alias in node.names]
            for name in names:
                # `from . import X` in the root package means the public surface, unless X is a module of its own.
                is_module = (ROOT / name[0]).is_dir() or (ROOT / f"{name[0]}.py").is_file()
                yield node.lineno, name if is_module else ("__init__",), None
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, None, node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, None, alias.name.partition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    own = layer_of(path.relative_to(ROOT).with_suffix("").parts)
    for line, below, absolute in imported(path):
        if below is not None:
            assert layer_of(below) <= own, f"{path}:{line} imports {'.'.join(below)} from a higher layer"
        elif absolute in DEPENDENCIES:
            place = path.relative_to(ROOT).as_posix()
            assert place.startswith(DEPENDENCIES[absolute]), f"{path}:{line} imports {absolute}"
        else:
            assert absolute in sys.stdlib_module_names, f"{path}:{line} imports {absolute}, which is no dependency"


def test_every_module_belongs_to_a_layer():
    tops = {path.relative_to(ROOT).with_suffix("").parts[0] for path in MODULES}
    assert tops <= set().union(*LAYERS)


def test_the_package_never_names_itself():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not getattr(node, "level", 0):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
                assert not any(name.partition(".")[0] == "portrange" for name in names), path
