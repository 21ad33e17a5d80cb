"""A copy of the source tree without git."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What a checkout and a run of the tests leave in the tree, and git does not contain.
NOT_SOURCE = (
    ".git",
    ".tox",
    ".venv*",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
    ".coverage*",
    "_build",
    "build",
    "dist",
)


def copy(directory: Path) -> Path:
    tree = directory / "portrange"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_SOURCE), symlinks=True)
    return tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the source tree once for the tests of a module, which do not change it."""
    return copy(tmp_path_factory.mktemp("source"))


@pytest.fixture
def own_tree(tmp_path: Path) -> Path:
    """Copy the source tree for one test."""
    return copy(tmp_path)
