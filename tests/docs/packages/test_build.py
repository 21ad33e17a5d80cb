"""The documentation builds without warnings and without network access."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_sphinx_builds_without_warnings(site: Path):
    reference = (site / "reference.html").read_text(encoding="utf-8")
    assert 'id="portrange.classify"' in reference
    assert 'href="#portrange.EphemeralRange"' in reference
    tour = (site / "notebooks" / "tour.html").read_text(encoding="utf-8")
    assert "IANA&#x27;s bands" in tour  # the notebook was run
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for word, page in {"flaki": "howto/flaky-ci", "kill": "howto/free", "asyncio": "howto/concurrency"}.items():
        assert page in pages_by_title(index, word)  # a word of a title ranks above the same word in the text
    assert (site / "404.html").exists()


def pages_by_title(index: str, stem: str) -> list[str]:
    """Return the pages that have a word, reduced to its stem, in a title or heading (Sphinx's search index)."""
    content = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    found = content["titleterms"].get(stem, [])
    return [content["docnames"][number] for number in ([found] if isinstance(found, int) else found)]


def test_page_not_found_has_links_to_the_folder_of_the_site(tmp_path):
    """Read the Docs shows it at any address, and names the folder in an environment variable."""
    address = "https://docs.example.org/en/latest/"
    options = ["-q", "-D", "nb_execution_mode=off", "-d", tmp_path / "doctrees"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, DOCS, tmp_path / "html"],
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ, READTHEDOCS_CANONICAL_URL=address),
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "404.html").read_text(encoding="utf-8")
    targets = re.findall(r'(?:href|src|action)="([^"#][^"]*)"', page)
    inside = [target for target in targets if "://" not in target]
    assert len(inside) > 40
    assert [target for target in inside if not target.startswith("/en/latest/")] == []
    assert all((tmp_path / "html" / target.removeprefix("/en/latest/").partition("?")[0]).exists() for target in inside)
