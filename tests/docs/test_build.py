"""The documentation builds without warnings and without network access."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_sphinx_builds_without_warnings(tmp_path):
    for needed in ("sphinx", "myst_nb", "pandas", "furo", "sphinx_copybutton", "notfound"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install '.[docs]'")
    options = ["-W", "--keep-going", "-n", "-q", "-d", str(tmp_path / "doctrees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path / "html")],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr  # the notebook's kernel can write to stderr
    reference = (tmp_path / "html" / "reference.html").read_text(encoding="utf-8")
    assert 'id="portrange.classify"' in reference
    assert 'href="#portrange.EphemeralRange"' in reference
    tour = (tmp_path / "html" / "notebooks" / "tour.html").read_text(encoding="utf-8")
    assert "IANA&#x27;s bands" in tour  # the notebook was run
    index = (tmp_path / "html" / "searchindex.js").read_text(encoding="utf-8")
    for word, page in {"flaki": "howto/flaky-ci", "kill": "howto/free", "asyncio": "howto/concurrency"}.items():
        assert page in pages_by_title(index, word)  # a word of a title ranks above the same word in the text
    assert (tmp_path / "html" / "404.html").exists()


def pages_by_title(index: str, stem: str) -> list[str]:
    """Return the pages that have a word, reduced to its stem, in a title or heading (Sphinx's search index)."""
    content = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    found = content["titleterms"].get(stem, [])
    return [content["docnames"][number] for number in ([found] if isinstance(found, int) else found)]
