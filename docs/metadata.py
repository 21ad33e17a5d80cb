"""Metadata of a build that depend on the address of the repository (a hook of hatchling).

``[tool.portrange] repository`` in pyproject.toml is the only place with the address. While it is empty, a build has
no project URLs, and the README keeps its relative links.
"""

from __future__ import annotations

import os
import re
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

try:
    import tomllib
except ImportError:  # before Python 3.11, hatchling depends on tomli
    import tomli as tomllib  # type: ignore[no-redef,import-not-found]

#: The pages of each URL, below the address of the repository.
PAGES = {
    "Repository": "",
    "Documentation": "/blob/main/docs/index.md",
    "Changelog": "/blob/main/docs/changelog.md",
    "Issues": "/issues",
}


def urls(repository: str) -> dict[str, str]:
    """Return the project URLs; none without a repository."""
    return {name: repository + page for name, page in PAGES.items()} if repository else {}


def absolute_links(text: str, repository: str) -> str:
    """Return a page of Markdown whose relative links begin with the address of the repository."""
    return re.sub(r"\]\((?!\w+:|#)", f"]({repository}/blob/main/", text) if repository else text


class CustomMetadataHook(MetadataHookInterface):
    """Set the README and the URLs."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add both to the metadata of a build."""
        with open(os.path.join(self.root, "pyproject.toml"), "rb") as file:
            repository = tomllib.load(file)["tool"]["portrange"]["repository"].rstrip("/")
        with open(os.path.join(self.root, "README.md"), encoding="utf-8") as file:
            text = absolute_links(file.read(), repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = urls(repository)
