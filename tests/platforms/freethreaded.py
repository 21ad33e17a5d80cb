"""CPython 3.13 without the GIL: real sockets, the portable tests, and all queries from eight threads.

No package of Debian, PyPI or npm has a free-threaded CPython, so it is built from Debian's source package of Python
3.13, which takes two minutes on two cores. psutil has wheels for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import debian
import machine

#: The Debian release with the source package, and the compatibility tag of the built Python.
SUITE, SOURCE, ABI = "trixie", "python3.13", "cp313t"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
TO_BUILD = ("gcc", "libc6-dev", "libffi-dev", "make", "xz-utils", "zlib1g-dev")
PROBES = ("answers.py", "linux_sockets.py")
THREADS = "tests/trust/test_concurrency.py"
DESELECTED = {
    f"{THREADS}::test_process_forked_during_queries_can_query": "without the GIL, a child of fork() can inherit the"
    " lock of a dictionary that two threads used, and hangs; CPython 3.13 alone does it too",
}
#: Fails if an import, such as that of psutil, has enabled the GIL again.
IMPORT = """
import sys, portrange
everything = [getattr(portrange, name) for name in portrange.__all__]
portrange.listeners()
portrange.listeners(host=portrange.Host(backend="portable"))
assert "psutil" in sys.modules and not sys._is_gil_enabled()
"""


def check(workspace: Path) -> None:
    machine.need_linux()
    if os.uname().machine not in ARCHITECTURES:
        raise machine.SkippedError(f"wheels and packages are unknown for {os.uname().machine}")
    machine.install_debian(*TO_BUILD)
    python = build(workspace)
    project = machine.copy_project(workspace / "project")
    needs = machine.install_python(workspace / "needs", *machine.SUITE_NEEDS)
    platform = f"manylinux2014_{os.uname().machine}"
    machine.install_python(needs, "psutil", python="3.13", platform=platform, abi=ABI)
    environment = {"PYTHONPATH": os.pathsep.join([str(project), str(project / "probes"), str(needs)])}
    what = f"{SOURCE} of Debian {SUITE} without the GIL"
    machine.run(python, "-W", "error", "-c", IMPORT, env=environment)
    for probe in PROBES:
        output = machine.run(python, project / "probes" / probe, env=environment)
        machine.report_probe(what, output)
    for tests, deselected in (((), {}), ((THREADS,), DESELECTED)):
        suite = machine.suite(*tests, portable=True, deselected=deselected)
        command = machine.in_own_network(str(python), *suite)
        output = machine.run(*command, cwd=project, env=environment)
        machine.report_suite(what, output, "tests with eight threads" if tests else "portable tests", deselected)


def build(workspace: Path) -> Path:
    """Build the interpreter and return its path; it runs in the directory where it was built."""
    release = debian.Release(workspace, ARCHITECTURES[os.uname().machine], SUITE)
    source = workspace / "source"
    source.mkdir()
    machine.run("tar", "-xf", release.source(SOURCE), "-C", source, "--strip-components=1")
    # -O1: the compiler takes half as long.
    options = ("--disable-gil", "--disable-test-modules", "--without-ensurepip", "CFLAGS=-O1")
    machine.run("./configure", "--quiet", *options, cwd=source)
    machine.run("make", "--silent", f"--jobs={os.cpu_count()}", cwd=source)
    return source / "python"


if __name__ == "__main__":
    sys.exit(machine.main(check))
