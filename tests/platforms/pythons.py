"""Python 3.10 to 3.15 and PyPy on this Linux: real sockets, and the test suite.

Interpreters are searched in pyenv, on the PATH, and in the packages of Debian testing, which are unpacked into a
directory. vermin verifies that the package needs no version above the minimum, 3.10.

The minimum version must not be missing: besides the Python of the caller, only it runs the Linux tests. Other missing
versions are reported as skipped.
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
#: Versions in that release, which are used if this machine has none.
DEBIAN_SUITE = "forky"
DEBIAN_HAS = [(3, 14), (3, 15)]
DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PYPY = "pypy3"
PROBES = ("answers.py", "linux_sockets.py")


def check(workspace: Path) -> None:
    machine.need_linux()
    if os.uname().machine not in DEBIAN_ARCHITECTURES:
        raise machine.SkippedError(f"wheels and packages are unknown for {os.uname().machine}")
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
    reason = "CPython {}.{}: not found in pyenv, on the PATH or in Debian {}".format(*version, DEBIAN_SUITE)
    if version == FLOOR:
        machine.say("LACK", f"{reason}; the Linux tests ran only on the Python of the caller")
    else:
        machine.say("SKIP", reason)


def install_needs(target: Path) -> Path:
    machine.install_python(target, *machine.SUITE_NEEDS)
    return machine.install_python(target, "psutil", platform=f"manylinux2014_{os.uname().machine}")


def hold_floor(workspace: Path) -> None:
    needs = machine.install_python(workspace / "vermin", "vermin")
    floor = ".".join(map(str, FLOOR))
    machine.run(
        *(sys.executable, needs / "bin/vermin", "--quiet", "--violations", f"--target={floor}-"),
        *("--no-parse-comments", machine.ROOT / "portrange"),
        env={"PYTHONPATH": str(needs)},
    )
    machine.say("PASS", f"vermin: portrange needs no version above Python {floor}")


def find_here(version: tuple[int, int]) -> str | None:
    """Return a CPython of this version on this machine, without the pyenv shims on the PATH."""
    name = "python" + ".".join(map(str, version))
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    executables = sorted(pyenv.glob(f"versions/*/bin/{name}"))
    outside_pyenv = [place for place in os.get_exec_path() if not place.startswith(str(pyenv))]
    on_path = shutil.which(name, path=os.pathsep.join(outside_pyenv))
    executables += [Path(on_path)] if on_path else []
    for executable in executables:
        test = f"import sys, ctypes; print(sys.version_info[:2] == {version} and sys.implementation.name == 'cpython')"
        if machine.run(executable, "-c", test, ok=False).strip() == "True":
            return str(executable)
    return None


def run_here(python: str, version: tuple[int, int], project: Path, needs: Path) -> None:
    environment = {"PYTHONPATH": os.pathsep.join([str(project), str(project / "probes"), str(needs)])}
    for probe in PROBES:
        output = machine.run(python, project / "probes" / probe, env=environment)
        machine.report_probe(python, output)
    if version == sys.version_info[:2]:
        return  # the caller runs the test suite with this Python anyway
    portable = version != FLOOR
    command = [python, *machine.suite(portable=portable)]
    if portable:  # tests/live creates its own networks and expects process 1 in the one of the caller
        command = machine.in_own_network(*command)
    output = machine.run(*command, cwd=project, env=environment)
    machine.report_suite(python, output, "portable tests" if portable else "portable tests and Linux tests")


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
            machine.report_probe(what, machine.run(*command, env=environment))
        if name != PYPY:  # the tests end before its JIT has warmed up
            command = debian.inside(root, program, *machine.suite(portable=True), directory="/project")
            machine.report_suite(what, machine.run(*command, env=environment), "portable tests")


if __name__ == "__main__":
    sys.exit(machine.main(check))
