"""The distributions build without git and pass the tools for a release; the wheel passes the tests of the sdist."""

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
def test_wheel_passes_the_tests_of_the_sdist(distributions, open_directory):
    # Some tests start programs of these files as another user, who cannot enter tmp_path.
    place = Path(open_directory)
    [sdist], [wheel] = distributions.glob("*.tar.gz"), distributions.glob("*.whl")
    with tarfile.open(sdist) as archive:
        archive.extractall(place)  # Python 3.11.2 of Debian 12 knows no filters
    [tree] = place.iterdir()
    done = run("venv", "environment", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    programs = place / "environment" / "bin"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}

    def in_the_environment(*command: str | Path) -> str:
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=place, env=environment)
        assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
        return done.stdout

    in_the_environment(programs / "pip", "install", "--quiet", f"{wheel}[test]")
    found = in_the_environment(programs / "python", "-c", "import portrange; print(portrange.__file__)")
    assert Path(found).is_relative_to(place / "environment")
    assert in_the_environment(programs / "portrange", "60860").startswith("Port 60860 ")
    # The working directory is not the tree, whose portrange/ would be imported.
    options = ("-q", "-p", "no:cacheprovider", "--rootdir", tree, "-c", tree / "pyproject.toml")
    in_the_environment(programs / "python", "-m", "pytest", *options, tree / "tests")
