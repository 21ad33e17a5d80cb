"""CPython for Windows under Wine: Windows' own socket calls, as far as Wine has them, and the portable tests.

Wine is no Windows: its netsh is a stub that prints nothing, it shows the sockets of the whole Linux host, and does not
tell whose a socket is that was never used. All three are good tests of an answer that must not claim too much.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import machine

#: Which Python runs the portable tests too; Wine takes its time for them.
_WITH_SUITE = "3.13"
_ATTEMPTS = 3

#: Sometimes Wine cannot start a process, and says so in these words (ERROR_INTERNAL_ERROR of CreateProcess).
_ERROR_OF_WINE = "OSError: [WinError 1359] Internal error."


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
        make_prefix(prefix, environment)
        # Python 3.12 and later end at once on Windows 7, which Wine stands for by default.
        machine.run("wine", "winecfg", "-v", "win10", seconds=200, env=environment)
        yield environment
    finally:
        end_server(environment)


def make_prefix(prefix: Path, environment: dict[str, str]) -> None:
    """Wine's own installation. On a busy machine it sometimes leaves files out, and says so; then it is made anew."""
    for attempt in range(_ATTEMPTS):
        try:
            machine.run("wineboot", "--init", seconds=240, env=environment)
        except machine.FailedError as error:
            if attempt == _ATTEMPTS - 1:
                raise
            machine.say("AGAIN", str(error))
            end_server(environment)
            shutil.rmtree(prefix)
        else:
            return


def end_server(environment: dict[str, str]) -> None:
    """End Wine's server and all that runs in it, and wait for it.

    It knows its prefix by an inode number, which the file system gives to another one as soon as this one is removed.
    """
    machine.run("wineserver", "--kill", seconds=30, env=environment, ok=False)
    machine.run("wineserver", "--wait", seconds=60, env=environment, ok=False)


def install(workspace: Path, requirement: str, module_path: list[Path]) -> Path:
    """The interpreter of one pinned distribution, with its module path set; it reads no PYTHONPATH."""
    version = re.findall(r"==(\d+\.\d+)", requirement)[0]
    directory = workspace / f"python-{version}"
    pinned = workspace / f"python-{version}.txt"
    pinned.write_text(requirement, encoding="ascii")
    machine.run(
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--target", directory, "-r", pinned),
        seconds=240,
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
    machine.report_probe(what, machine.run("wine", python, probes / "answers.py", seconds=200, env=environment))
    with socket.create_server(("127.0.0.1", 0)) as server:  # a Linux process, which Wine has no pid for
        port = server.getsockname()[1]
        output = machine.run("wine", python, probes / "windows.py", port, seconds=200, env=environment)
    machine.report_probe(what, output)
    page = machine.run("wine", python, "-m", "portrange", "60860", seconds=200, env=environment)
    if not page.startswith("Port 60860\n") or "nobody" not in page:
        raise machine.FailedError(f"python -m portrange 60860 does not print the page of a free port:\n{page}")
    machine.say("PASS", f"{what} {version}: python -m portrange 60860 prints the page of the port")
    if version == _WITH_SUITE:
        run_suite(f"{what} {version}", python, project, environment)


def run_suite(what: str, python: Path, project: Path, environment: dict[str, str]) -> None:
    """The portable tests; if nothing but Wine itself has failed, then what it has failed in once more."""

    def run_tests(*tests: str) -> str:
        arguments = machine.suite(*tests, portable=True)
        return machine.run("wine", python, *arguments, seconds=500, cwd=project, env=environment)

    try:
        machine.report_suite(what, run_tests(), "portable tests")
    except machine.FailedError as error:
        failed = failed_by_wine(str(error))
        if not failed:
            raise
        machine.say("AGAIN", f"{what}: {_closing(str(error))}; {_ERROR_OF_WINE} in {', '.join(failed)}")
        machine.report_left_out(str(error))
        machine.report_suite(what, run_tests(*failed), "portable tests that Wine could not run at first")


def failed_by_wine(output: str) -> list[str]:
    """The tests that failed in a run of pytest, if what it shows of each is this one error of Wine's; else none."""
    errors = re.findall(r"^E +(.*)$", output, re.MULTILINE)
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return failed if errors == [_ERROR_OF_WINE] * len(failed) else []


def _closing(output: str) -> str:
    return output.rstrip().rpartition("\n")[2].strip("= ")


if __name__ == "__main__":
    sys.exit(machine.main(check))
