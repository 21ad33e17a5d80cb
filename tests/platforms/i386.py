"""32-bit Linux: the i386 Python of Debian on this kernel, with 32-bit C structures."""

from __future__ import annotations

import sys
from pathlib import Path

import debian
import machine


def check(workspace: Path) -> None:
    machine.need_linux("x86_64")
    machine.need_namespaces(*debian.NAMESPACES)
    # psutil has no i386 wheels; that of Debian may be older than portrange requires and must work, too.
    packages = ("python3", "python3-psutil", "coreutils", "dash", "libc-bin")
    root = debian.Release(workspace, "i386").unpack(workspace / "root", *packages)
    run_in(root, "32-bit Python of Debian for i386")


def run_in(root: Path, what: str) -> None:
    machine.copy_project(root / "project")
    machine.install_python(root / "needs", *machine.SUITE_NEEDS)
    environment = {"PYTHONPATH": "/project:/project/probes:/needs", "LC_ALL": "C.UTF-8"}
    for probe in ("answers.py", "linux_sockets.py"):
        command = debian.inside(root, "/usr/bin/python3", f"/project/probes/{probe}")
        output = machine.run(*command, env=environment)
        if "32-bit" not in output:
            raise machine.FailedError(f"{what} is not 32-bit:\n{output}")
        machine.report_probe(what, output)
    command = debian.inside(root, "/usr/bin/python3", *machine.suite(portable=True), directory="/project")
    machine.report_suite(what, machine.run(*command, env=environment), "portable tests")


if __name__ == "__main__":
    sys.exit(machine.main(check))
