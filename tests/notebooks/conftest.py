"""Fixtures for the notebook tests: the executed tour, and a browser if one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from notebooks.browser import Browser

import portrange

TOUR = Path(__file__).parents[2] / "docs" / "notebooks" / "tour.ipynb"


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run all cells of the tour in a new kernel, which writes files only to a temporary directory."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install --group notebook")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install --group notebook")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install --group notebook")
    pytest.importorskip("pandas", reason="pandas is not installed: pip install --group notebook")
    home = tmp_path_factory.mktemp("tour")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(home))
        patch.setenv("PYTHONPATH", str(Path(portrange.__file__).parents[1]))
        notebook = nbformat.read(TOUR, as_version=4)

        client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(home)}})
        yield client.execute()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium: install Debian's package of that name")
    found = Browser(program, tmp_path_factory.mktemp("browser"))
    try:
        found.dom("<p>a page</p>")
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{program} shows no page: {error}")
    return found


@pytest.fixture(autouse=True)
def _posix_only() -> None:
    if os.name != "posix":
        pytest.skip("the kernel and the browser are started as on POSIX systems")
