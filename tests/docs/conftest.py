"""The built documentation, once for all tests."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the documentation, in which a warning is an error, and return its directory."""
    for needed in ("sphinx", "myst_nb", "pandas", "furo", "sphinx_copybutton", "notfound"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install --group docs")
    directory = tmp_path_factory.mktemp("documentation")
    options = ["-W", "--keep-going", "-n", "-q", "-d", str(directory / "doctrees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(directory / "html")],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr  # the notebook's kernel can write to stderr
    return directory / "html"
