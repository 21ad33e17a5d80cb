"""The metadata of a build depend on the address of the repository."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def metadata():
    pytest.importorskip("hatchling", reason="hatchling is not installed: pip install --group packaging")
    spec = spec_from_file_location("metadata", ROOT / "docs" / "metadata.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_relative_links_become_absolute_with_a_repository(metadata):
    text = "[a](docs/a.md#b) [b](https://example.org) [c](#c)"
    linked = metadata.absolute_links(text, "https://example.org/portrange")
    assert linked == ("[a](https://example.org/portrange/blob/main/docs/a.md#b) [b](https://example.org) [c](#c)")
    assert metadata.absolute_links(text, "") == text


def test_build_has_urls_only_with_a_repository(metadata, tmp_path):
    for repository, count in (("", 0), ("https://example.org/portrange/", 4)):
        (tmp_path / "pyproject.toml").write_text(f'[tool.portrange]\nrepository = "{repository}"\n')
        (tmp_path / "README.md").write_text("[a](docs/a.md)")
        found: dict[str, object] = {}
        metadata.CustomMetadataHook(str(tmp_path), {}).update(found)
        assert len(found["urls"]) == count
        assert ("https://example.org/portrange/blob/main/docs/a.md" in found["readme"]["text"]) == bool(repository)
