"""Mutate the pure parsers and the rules of verdicts, and report the mutants that no test detects.

    python tests/mutation/run.py                       # every module of the table below
    python tests/mutation/run.py pcblist risks         # some of them

A run that was stopped, by Ctrl-C too, continues where it stopped: the results are kept in `build/mutation/MODULE` until
the module changes. Survivors are tried again when the tests have changed.

Needs mutmut (pip install --group mutation '.[test]'), a system with fork, and, for `busy`, a Python that all users can
read, because children of its tests import mutmut as another user. Each module is mutated in a copy of the package, with
its own tests only. mutmut forks for each mutant after the imports, so it cannot mutate values that are computed during
the import. A mutant that survives, or that no test calls, is tried once more in a new interpreter with all tests of its
module. docs/fuzzing.md discusses those that survive that as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build/mutation"
MUTMUT = [sys.executable, "-m", "mutmut"]
#: The slowest test file takes less than a minute.
_SECONDS = 300

_CONTRACT = "tests/contract"
#: Exact commands and exact errors, of every system with settings.
_COMMANDS = ("tests/backends/test_commands.py", "tests/backends/test_refusals.py")
_BSD = "tests/backends/test_bsd.py"
#: Obstacles on real sockets.
_BUSY = ("tests/live/test_busy_live.py", "tests/live/test_refused.py")
_DARWIN = "tests/backends/test_darwin.py"
_LINUX = "tests/backends/linux"
_USAGE = ("tests/backends/linux/test_usage_of_kernel.py", "tests/backends/linux/test_time_wait.py")
#: The modules, and the tests that must detect their mutants: fast ones first.
TESTS = {
    "_answers/span": ("tests/answers/test_span.py",),
    "_backends/aix": ("tests/backends/test_aix.py", *_COMMANDS, _CONTRACT),
    "_backends/bsd": (_BSD, *_COMMANDS, _CONTRACT),
    "_backends/darwin": (_DARWIN, *_COMMANDS, "tests/backends/test_pcblist.py", _CONTRACT),
    "_backends/pcblist": ("tests/backends/test_pcblist.py",),
    "_backends/select": ("tests/test_select.py", _CONTRACT),
    "_backends/settings": (*_COMMANDS, "tests/test_select.py", _CONTRACT),
    "_backends/sunos": ("tests/backends/test_sunos.py", *_COMMANDS, _CONTRACT),
    "_backends/sysctl": ("tests/test_sysctl.py", _BSD, _DARWIN, *_COMMANDS, _CONTRACT),
    "_backends/windows": ("tests/backends/test_windows.py", *_COMMANDS, _CONTRACT),
    "_backends/linux/cgroup": (_LINUX,),
    "_backends/linux/procfs": (_LINUX, *_COMMANDS),
    "_backends/linux/settings": (*_COMMANDS, "tests/backends/test_linux_variants.py", _LINUX, _CONTRACT),
    "_backends/linux/sock_diag": (*_COMMANDS, _LINUX, "tests/test_usage.py"),
    "_backends/linux/sockets": (*_COMMANDS, _LINUX, _CONTRACT),
    "_backends/linux/usage": ("tests/test_usage.py", *_USAGE, _CONTRACT, "tests/live/test_usage_live.py"),
    "_questions/busy": ("tests/test_busy.py", "tests/test_endpoints.py", *_BUSY, _CONTRACT),
    "_questions/obstacles": ("tests/test_obstacles.py", "tests/test_socket_units.py", "tests/test_busy.py", *_BUSY),
    "_questions/risks": ("tests/test_risks.py", "tests/test_classify.py"),
    "_registry/lookup": ("tests/test_registry.py", "tests/test_classify.py"),
}
_SETTINGS = """
[tool.mutmut]
source_paths = ["portrange"]
only_mutate = ["portrange/{module}.py"]
pytest_add_cli_args = ["-q", "-x", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
process_isolation = "forkserver"
forkserver_warmup = "collect"
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    by_name = {module.rpartition("/")[2] if "linux" not in module else module[10:]: module for module in TESTS}
    parser.add_argument("modules", nargs="*", default=[*by_name], help=f"of {', '.join(by_name)} (all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of concurrent test runs")
    arguments = parser.parse_args()
    unknown = set(arguments.modules) - by_name.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    counts: dict[str, Counter[str]] = {}
    for name in arguments.modules:
        counts[name] = run(by_name[name], arguments.jobs)
    print("\nmodule                killed  timeout  survived")
    for name, of in [*counts.items(), ("all", sum(counts.values(), Counter[str]()))]:
        print(f"{name:<20}  {of['killed']:>6}  {of['timeout']:>7}  {of['survived']:>8}")
    return 0


def run(module: str, jobs: int) -> Counter[str]:
    """Test the mutants that have no result yet, print the survivors, and return the number of each result."""
    directory = RESULTS / module.replace("/", ".")
    prepare(directory, module)
    subprocess.run([*MUTMUT, "run", "--max-children", str(jobs)], cwd=directory, check=True)
    listed = subprocess.run(
        [*MUTMUT, "results", "--all", "true"], cwd=directory, check=True, capture_output=True, text=True
    )
    lines = [line.strip().rpartition(": ") for line in listed.stdout.splitlines() if ": " in line]
    found = {name: result for name, _, result in lines}
    again = [name for name, result in found.items() if result not in ("killed", "timeout")]
    found |= retest_all(directory, module, again, jobs)
    for name in again:
        if found[name] == "survived":
            subprocess.run([*MUTMUT, "show", name], cwd=directory, check=True)
    return Counter(found.values())


def prepare(directory: Path, module: str) -> None:
    """Copy the package and its tests as they are now; mutmut keeps its results beside them."""
    for part in ("portrange", "tests"):
        shutil.rmtree(directory / part, ignore_errors=True)
        shutil.copytree(ROOT / part, directory / part, ignore=shutil.ignore_patterns("__pycache__"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = _SETTINGS.format(module=module, tests=json.dumps(TESTS[module]))
    (directory / "pyproject.toml").write_text(project + settings, encoding="utf-8")


def retest_all(directory: Path, module: str, names: list[str], jobs: int) -> dict[str, str]:
    """Try each mutant in a new interpreter, unless its result is known, and return the results by name."""
    known_file = directory / "retested.json"
    known: dict[str, list[str]] = json.loads(known_file.read_text()) if known_file.exists() else {}
    now = digest(directory, module)
    found = {name: known[name][1] for name in names if known.get(name, [""])[0] == now}
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary, ThreadPoolExecutor(jobs) as workers:
        places: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            places.put(Path(shutil.copytree(directory, Path(temporary, str(number)))))

        def retest_next(name: str) -> None:
            place = places.get()
            shutil.copy2(directory / f"portrange/{module}.py", place / f"portrange/{module}.py")
            found[name] = retest(place, name, TESTS[module])
            places.put(place)
            known[name] = [now, found[name]]
            known_file.write_text(json.dumps(known, indent=1))
            print(f"in a new interpreter: {name}: {found[name]}", flush=True)

        list(workers.map(retest_next, [name for name in names if name not in found]))
    return found


def digest(directory: Path, module: str) -> str:
    """Return a digest of a module and of all tests."""
    content = hashlib.sha256((directory / f"portrange/{module}.py").read_bytes())
    for path in sorted((directory / "tests").rglob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


def retest(directory: Path, name: str, tests: tuple[str, ...]) -> str:
    """Apply one mutant to the copy and run the tests. A timeout counts as detection."""
    subprocess.run([*MUTMUT, "apply", name], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    environment = {**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, check=False, capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return "timeout"
    return "survived" if done.returncode == 0 else "killed"


if __name__ == "__main__":
    sys.exit(main())
