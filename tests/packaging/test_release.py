"""The distributions build without git and satisfy the tools that check a release; the sdist passes its own tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: The project has no public address yet, neither of a page nor for mail, so pyroma misses them.
ADDRESSES = ("author-email", "'url' field")


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", *arguments], check=False, capture_output=True, text=True, cwd=cwd, env=environment
    )


@pytest.fixture(scope="module")
def distributions(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from a tree without git, and the wheel from the sdist; return their directory."""
    pytest.importorskip("build", reason="build is not installed: pip install --group packaging")
    directory = tmp_path_factory.mktemp("dist")
    done = run("build", "--no-isolation", "--outdir", directory, tree, cwd=directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_twine_accepts_the_distributions(distributions):
    done = run("twine", "check", "--strict", *sorted(distributions.iterdir()), cwd=distributions)
    assert (done.returncode, done.stdout.count("PASSED")) == (0, 2), done.stdout + done.stderr


def test_check_wheel_contents_accepts_the_wheel(distributions):
    [wheel] = distributions.glob("*.whl")
    done = run("check_wheel_contents", wheel, cwd=distributions)
    assert done.returncode == 0, done.stdout + done.stderr


def test_validate_pyproject_accepts_the_configuration():
    pytest.importorskip(
        "validate_pyproject", reason="validate-pyproject is not installed: pip install --group packaging"
    )
    done = run("validate_pyproject", ROOT / "pyproject.toml", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyroma_misses_only_the_address(distributions):
    [sdist] = distributions.glob("*.tar.gz")
    printed = run("pyroma", sdist, cwd=distributions).stdout
    found = [line for line in printed.splitlines() if line.startswith("Your package")]
    assert found, printed
    assert [line for line in found if not any(address in line for address in ADDRESSES)] == []


@pytest.mark.slow
def test_sdist_passes_its_own_tests(distributions, open_directory):
    # Some tests start programs of this tree as another user, who cannot enter tmp_path.
    [sdist] = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(open_directory)  # Python 3.11.2 of Debian 12 knows no filters
    [tree] = Path(open_directory).iterdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tree,
        env=environment | {"PYTHONPATH": str(tree)},
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
