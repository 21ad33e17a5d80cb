"""Change the parsers and the selection rules in every small way, and see whether a test notices.

    python tests/mutation/run.py                                     # all: about three quarters of an hour on two cores
    python tests/mutation/run.py 'portrange._backends.windows.*'     # some, by mutmut's names

Needs mutmut (pip install '.[test,mutation]') and a system with fork. It works on a copy, which it leaves behind, with
what each mutant is (`mutmut show NAME` there). docs/fuzzing.md says what is to be thought of those that survive.

mutmut forks for each mutant when everything is imported already, so it cannot change what is worked out while
importing, or kept since another test. Whoever survives is tried once more in an interpreter that imports afresh.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Each mutant in a process that has imported nothing.
AFRESH = 'process_isolation = "forkserver"\nforkserver_warmup = "none"\n'
MUTMUT = [sys.executable, "-m", "mutmut"]


def copy(target: Path, more: str = "") -> None:
    """The package and its tests, with what mutmut is to do."""
    for part in ("portrange", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, target / part, ignore=ignored, dirs_exist_ok=True)
    settings = (ROOT / "pyproject.toml").read_text() + "\n" + (HERE / "settings.toml").read_text() + more
    (target / "pyproject.toml").write_text(settings)


def mutate(directory: Path, names: list[str]) -> dict[str, str]:
    """Try the mutants of these names (all, if there are none); what became of each, by name."""
    # The mutants, and not the package that may be installed.
    environment = {**os.environ, "PYTHONPATH": str(directory / "mutants")}
    subprocess.run([*MUTMUT, "run", *names], cwd=directory, env=environment, check=False)
    done = subprocess.run(
        [*MUTMUT, "results", "--all", "true"],
        cwd=directory,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    lines = (line.strip().rpartition(": ") for line in done.stdout.splitlines() if ": " in line)
    return {name: result for name, _, result in lines}


def main(names: list[str]) -> int:
    directory = Path(tempfile.mkdtemp(prefix="mutation-"))
    copy(directory)
    found = mutate(directory, names)
    unnoticed = [name for name, result in found.items() if result in ("survived", "no tests")]
    if unnoticed:
        copy(directory, AFRESH)
        found |= {name: result for name, result in mutate(directory, unnoticed).items() if name in unnoticed}
    print(*(f"{result}: {name}" for name, result in found.items() if result != "killed"), sep="\n")
    print(f"{directory}: {dict(Counter(found.values()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
