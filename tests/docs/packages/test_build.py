"""The documentation builds without warnings and without network access."""

from __future__ import annotations

import json
from pathlib import Path


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
