"""The hook of `.pre-commit-hooks.yaml`, run by pre-commit in a repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import portrange

PACKAGE = Path(portrange.__file__).parent
ROOT = Path(__file__).parents[2]
#: What pip prints if it cannot reach a package index, which it needs for the build backend.
_UNREACHABLE = ("No matching distribution", "Could not find a version", "Connection", "Temporary failure")


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(directory: Path) -> str:
    """Commit all files of a directory and return the revision."""
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "All files")
    return git(directory, "rev-parse", "HEAD")


class Repository:
    """A repository whose configuration runs the hook."""

    def __init__(self, directory: Path, hooks: Path, revision: str, home: Path) -> None:
        self.directory, self.hooks, self.revision, self.home = directory, hooks, revision, home
        self.configure("8080")
        commit(directory)

    def configure(self, *arguments: str) -> None:
        quoted = ", ".join(f'"{argument}"' for argument in arguments)
        (self.directory / ".pre-commit-config.yaml").write_text(
            f"repos:\n- repo: {self.hooks.as_uri()}\n  rev: {self.revision}\n"
            f"  hooks:\n  - id: portrange-check\n    args: [{quoted}]\n"
        )

    def pre_commit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # The hook has its own environment, and must not import the package from here.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment["PRE_COMMIT_HOME"] = str(self.home)
        return subprocess.run(
            [sys.executable, "-m", "pre_commit", *arguments],
            cwd=self.directory,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    if find_spec("pre_commit") is None:
        pytest.skip("pre-commit is not installed: pip install --group vendoring")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    hooks = tmp_path_factory.mktemp("hooks")
    shutil.copytree(PACKAGE, hooks / "portrange", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".pre-commit-hooks.yaml", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, hooks)
    shutil.copytree(ROOT / "share", hooks / "share")
    (hooks / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "metadata.py", hooks / "docs")
    home = tmp_path_factory.mktemp("home")
    created = Repository(tmp_path_factory.mktemp("project"), hooks, commit(hooks), home)
    done = created.pre_commit("install-hooks")
    if done.returncode != 0 and any(reason in done.stdout for reason in _UNREACHABLE):
        pytest.skip(f"no package index is reachable: {done.stdout.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    return created


def test_hook_definition_is_valid(repository: Repository):
    done = repository.pre_commit("validate-manifest", str(ROOT / ".pre-commit-hooks.yaml"))
    assert done.returncode == 0, done.stdout


def test_hook_passes_for_safe_ports(repository: Repository):
    repository.configure("8080", "5432")
    done = repository.pre_commit("run", "--all-files")
    assert done.returncode == 0, done.stdout
    assert "fixed ports are safe to rely on" in done.stdout
    assert "Passed" in done.stdout


def test_hook_fails_for_an_unsafe_port_and_prints_its_line(repository: Repository):
    repository.configure("--target", "linux", "8080", "60860")
    done = repository.pre_commit("run", "--all-files")
    assert done.returncode == 1
    assert "60860 FAIL  " in done.stdout


def test_hook_runs_at_each_commit_without_file_names(repository: Repository):
    repository.configure("--strict", "60860")
    assert repository.pre_commit("install").returncode == 0
    (repository.directory / "8080").write_text("a file with the name of a port\n")
    git(repository.directory, "add", "--all")
    environment = {**os.environ, "PRE_COMMIT_HOME": str(repository.home)}
    command = ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.org", "commit", "-m", "Add a file"]
    done = subprocess.run(
        command, cwd=repository.directory, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    printed = done.stdout + done.stderr
    assert "60860 FAIL  " in printed
    assert "8080 " not in printed.replace("60860", "")
