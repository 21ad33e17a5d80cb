"""Mutate the parsers and the selection rules, and report the mutants that no test detects.

    python tests/mutation/run.py                                     # all: about three quarters of an hour on two cores
    python tests/mutation/run.py 'portrange._backends.windows.*'     # some, by mutmut's names

Needs mutmut (pip install --group mutation '.[test]') and a system with fork. Works on a copy, which it keeps, so that
`mutmut show NAME` can show each mutant there. docs/fuzzing.md discusses the mutants that survive.

mutmut forks for each mutant after all imports, so it cannot mutate values that are computed during the import or cached
by an earlier test. Each mutant that survives is tested once more in a new interpreter.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MUTMUT = [sys.executable, "-m", "mutmut"]
#: The tests of one mutant take half a minute if two run in parallel.
_SECONDS = 300


def copy(target: Path, *parts: str) -> None:
    """Copy parts of the repository."""
    for part in parts:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, target / part, ignore=ignored, dirs_exist_ok=True)


def mutate(directory: Path, names: list[str]) -> dict[str, str]:
    """Test the mutants with these names (all if there are none) and return the results by name."""
    subprocess.run([*MUTMUT, "run", *names], cwd=directory, check=False)
    listed = [*MUTMUT, "results", "--all", "true"]
    done = subprocess.run(listed, cwd=directory, check=True, capture_output=True, text=True)
    lines = (line.strip().rpartition(": ") for line in done.stdout.splitlines() if ": " in line)
    return {name: result for name, _, result in lines}


def retest_all(directory: Path, names: list[str], tests: list[str]) -> dict[str, str]:
    """Test each mutant in a new interpreter, one per core, and return the results by name."""
    places: SimpleQueue[Path] = SimpleQueue()
    for number in range(os.cpu_count() or 1):
        place = directory.with_name(f"{directory.name}-{number}")
        shutil.copytree(directory, place)
        places.put(place)
    found: dict[str, str] = {}

    def retest_next(name: str) -> None:
        place = places.get()
        copy(place, "portrange")
        found[name] = retest(place, name, tests)
        places.put(place)
        print(f"retested, {len(found)} of {len(names)}: {name}: {found[name]}", flush=True)

    with ThreadPoolExecutor(places.qsize()) as workers:
        list(workers.map(retest_next, names))
    return found


def retest(directory: Path, name: str, tests: list[str]) -> str:
    """Apply one mutant to the copy and run the tests. A timeout counts as detection."""
    subprocess.run([*MUTMUT, "apply", name], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    environment = {**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    # Tests of the module itself come first: they detect most mutants, and quickly.
    module = name.partition(".x")[0].rpartition(".")[2]
    first = sorted(str(path.relative_to(directory)) for path in (directory / "tests").rglob(f"test_{module}*.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *first, *tests]
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, check=False, capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return "timeout"
    return "killed" if done.returncode == 1 else "survived"


def main(names: list[str]) -> int:
    directory = Path(tempfile.mkdtemp(prefix="mutation-"))
    copy(directory, "portrange", "tests")
    settings = (HERE / "settings.toml").read_text()
    (directory / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + "\n" + settings)
    found = mutate(directory, names)
    tests = re.findall(r'^  "(tests/[^"]+)"', settings, re.MULTILINE)
    again = [name for name, result in found.items() if result in ("survived", "no tests")]
    found |= retest_all(directory, again, tests)
    print(*(f"{result}: {name}" for name, result in found.items() if result not in ("killed", "timeout")), sep="\n")
    print(f"{directory}: {dict(Counter(found.values()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
