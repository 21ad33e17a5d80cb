"""The files for a forge, Read the Docs and pre-commit have the format that these services require."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORMS = [path.name for path in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")]


def accept(module: str, *arguments: str | Path) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed: pip install --group packaging")
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_read_the_docs_configuration_has_the_published_format():
    accept("check_jsonschema", "--builtin-schema", "vendor.readthedocs", ROOT / ".readthedocs.yaml")


@pytest.mark.parametrize("form", FORMS)
def test_issue_form_has_the_published_format(form):
    accept("check_jsonschema", "--builtin-schema", "vendor.github-issue-forms", ROOT / ".github/ISSUE_TEMPLATE" / form)


def test_pre_commit_accepts_the_configuration_of_the_project():
    accept("pre_commit", "validate-config", ROOT / ".pre-commit-config.yaml")


def test_pre_commit_accepts_the_hook():
    accept("pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml")
