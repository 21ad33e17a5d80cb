"""Every Python from 3.10 to 3.15, and PyPy, on this Linux: real sockets, and the test suite.

Interpreters are taken as they are found: pyenv's, then those on the PATH, then Debian's packages of its testing
release, unpacked into a directory. Below them all vermin holds the floor: no line of the package needs more than 3.10.

The floor is the one that must not be missing: besides the Python that runs this, only it runs the tests that are about
Linux alone as well. Any other one that is found nowhere is named as skipped.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import debian
import machine

FLOOR = (3, 10)
WANTED = [(3, minor) for minor in range(10, 16)]
#: Which of them the release has. Those that this machine has itself are not taken from there.
DEBIAN_SUITE = "forky"
DEBIAN_HAS = [(3, 14), (3, 15)]
DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PYPY = "pypy3"
PROBES = ("answers.py", "linux_sockets.py")
#: Newer names that portrange/_compat.py imports only where sys.version_info has them, which vermin does not see.
_TAKEN_BY_VERSION = ("typing.Self", "typing.override")


def check(workspace: Path) -> None:
    machine.need_linux()
    if os.uname().machine not in DEBIAN_ARCHITECTURES:
        raise machine.SkippedError(f"no wheels and packages are known here for {os.uname().machine}")
    hold_floor(workspace)
    project = machine.copy_project(workspace / "project")
    needs = install_needs(workspace / "needs")
    missing: list[tuple[int, int]] = []
    for version in WANTED:
        python = find_here(version)
        if python is None:
            missing.append(version)
        else:
            run_here(python, version, project, needs)
    for version in missing:
        if version not in DEBIAN_HAS:
            report_missing(version)
    run_from_debian(workspace, [version for version in missing if version in DEBIAN_HAS])


def report_missing(version: tuple[int, int]) -> None:
    reason = "CPython {}.{}: neither pyenv nor the PATH nor Debian {} has it".format(*version, DEBIAN_SUITE)
    if version == FLOOR:
        machine.say("LACK", f"{reason}; the tests of Linux ran on no Python but the caller's")
    else:
        machine.say("SKIP", reason)


def install_needs(target: Path) -> Path:
    machine.install_python(target, *machine.SUITE_NEEDS)
    return machine.install_python(target, "psutil", platform=f"manylinux2014_{os.uname().machine}")


def hold_floor(workspace: Path) -> None:
    needs = machine.install_python(workspace / "vermin", "vermin")
    floor = ".".join(map(str, FLOOR))
    excluded = [word for name in _TAKEN_BY_VERSION for word in ("--exclude", name)]
    machine.run(
        *(sys.executable, needs / "bin/vermin", "--quiet", "--violations", f"--target={floor}-"),
        *("--no-parse-comments", *excluded, machine.ROOT / "portrange"),
        seconds=240,
        env={"PYTHONPATH": str(needs)},
    )
    machine.say("PASS", f"vermin: no line of portrange needs more than Python {floor}")


def find_here(version: tuple[int, int]) -> str | None:
    """A CPython of this version on this machine; pyenv's stand-ins on the PATH are no interpreters."""
    name = "python" + ".".join(map(str, version))
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates = sorted(pyenv.glob(f"versions/*/bin/{name}"))
    outside_pyenv = [place for place in os.get_exec_path() if not place.startswith(str(pyenv))]
    on_path = shutil.which(name, path=os.pathsep.join(outside_pyenv))
    candidates += [Path(on_path)] if on_path else []
    for candidate in candidates:
        test = f"import sys, ctypes; print(sys.version_info[:2] == {version} and sys.implementation.name == 'cpython')"
        if machine.run(candidate, "-c", test, seconds=20, ok=False).strip() == "True":
            return str(candidate)
    return None


def run_here(python: str, version: tuple[int, int], project: Path, needs: Path) -> None:
    environment = {"PYTHONPATH": os.pathsep.join([str(project), str(project / "probes"), str(needs)])}
    for probe in PROBES:
        output = machine.run(python, project / "probes" / probe, seconds=200, env=environment)
        machine.report_probe(python, output)
    if version == sys.version_info[:2]:
        return  # whoever runs this with it runs the test suite with it as well
    portable = version != FLOOR
    command = [python, *machine.suite(portable=portable)]
    if portable:  # tests/live sees to its own networks, and takes process 1 to be in the one it is started in
        command = machine.in_own_network(*command)
    output = machine.run(*command, seconds=500, cwd=project, env=environment)
    machine.report_suite(python, output, "portable tests" if portable else "portable tests and those of Linux")


def run_from_debian(workspace: Path, versions: list[tuple[int, int]]) -> None:
    machine.need_namespaces(*debian.NAMESPACES)
    names = [f"python{major}.{minor}" for major, minor in versions]
    root = debian.Release(workspace, DEBIAN_ARCHITECTURES[os.uname().machine], DEBIAN_SUITE).unpack(
        workspace / "root", "coreutils", "dash", "libc-bin", PYPY, *names
    )
    machine.copy_project(root / "project")
    install_needs(root / "needs")
    environment = {"PYTHONPATH": "/project:/project/probes:/needs", "LC_ALL": "C.UTF-8"}
    for name in (PYPY, *names):
        what, program = f"{name} of Debian {DEBIAN_SUITE}", f"/usr/bin/{name}"
        for probe in PROBES:
            command = debian.inside(root, program, f"/project/probes/{probe}")
            machine.report_probe(what, machine.run(*command, seconds=240, env=environment))
        if name != PYPY:  # whose compiler is still warming up when the tests are over
            command = debian.inside(root, program, *machine.suite(portable=True), directory="/project")
            machine.report_suite(what, machine.run(*command, seconds=500, env=environment), "portable tests")


if __name__ == "__main__":
    sys.exit(machine.main(check))
