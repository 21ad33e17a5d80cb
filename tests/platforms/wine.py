"""CPython for Windows under Wine: the Windows socket API as far as Wine has it, and the portable tests.

Wine differs from Windows: its netsh prints nothing, it lists the sockets of the whole Linux host, and it reports no
owner for a socket that was never used. All three test that portrange does not claim unknown facts.
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

#: The Python that also runs the portable tests, which are slow under Wine.
_WITH_SUITE = "3.13"
_ATTEMPTS = 3
#: wineboot can hang as well; another attempt follows.
_SECONDS_TO_INITIALIZE = 600

_NO_OWNER = "Wine reports no owner for a socket that was never used"
_NO_SETTINGS = "netsh of Wine prints nothing, so the settings are unknown"
_ASSUMED = "Windows does not show which listener it chooses, which the command remarks"
_FOREIGN = "Wine binds addresses of other machines"
#: Tests that cannot pass here, with the reason.
_DESELECTED = {
    "portrange/_questions/wait.py::portrange._questions.wait.wait_for_listener": _NO_OWNER,
    "tests/test_cli.py::test_wait_prints_the_listeners_of_a_process": _NO_OWNER,
    "tests/test_cli.py::test_port_page_shows_connections_of_a_server_and_of_a_client": _NO_OWNER,
    "tests/test_cli.py::test_names_of_protocols_and_systems_are_accepted_in_any_case": _NO_SETTINGS,
    "tests/test_cli.py::test_answers_prints_the_listener_that_an_address_reaches": _ASSUMED,
    "tests/test_cli.py::test_answers_of_an_address_without_listener_exits_1": _ASSUMED,
    "tests/test_cli.py::test_invalid_arguments_of_answers_exit_2": _FOREIGN,
}

#: Message of an occasional failure of Wine to start a process (ERROR_INTERNAL_ERROR of CreateProcess).
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
    """Create a Wine prefix and yield the environment for its programs; all of its processes end with it."""
    environment = {
        "WINEPREFIX": str(prefix),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",  # skip .NET and the browser, which Wine offers to download
        "DISPLAY": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        make_prefix(prefix, environment)
        # Python 3.12 and later exit at once on Windows 7, the default version of Wine.
        machine.run("wine", "winecfg", "-v", "win10", env=environment)
        yield environment
    finally:
        end_server(environment)


def make_prefix(prefix: Path, environment: dict[str, str]) -> None:
    """Initialize the prefix; retried because wineboot sometimes fails on a busy machine."""
    for attempt in range(_ATTEMPTS):
        try:
            machine.run("wineboot", "--init", seconds=_SECONDS_TO_INITIALIZE, env=environment)
        except machine.FailedError as error:
            if attempt == _ATTEMPTS - 1:
                raise
            machine.say("AGAIN", str(error))
            end_server(environment)
            shutil.rmtree(prefix)
        else:
            return


def end_server(environment: dict[str, str]) -> None:
    """End wineserver and its processes, and wait for them.

    wineserver identifies a prefix by its inode number, which can be reused as soon as the prefix is removed.
    """
    machine.run("wineserver", "--kill", env=environment, ok=False)
    machine.run("wineserver", "--wait", env=environment, ok=False)


def install(workspace: Path, requirement: str, module_path: list[Path]) -> Path:
    """Install a pinned distribution and set the module path of its interpreter, which ignores PYTHONPATH."""
    version = re.findall(r"==(\d+\.\d+)", requirement)[0]
    directory = workspace / f"python-{version}"
    pinned = workspace / f"python-{version}.txt"
    pinned.write_text(requirement, encoding="ascii")
    machine.run(
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--target", directory, "-r", pinned),
        env={"PIP_ROOT_USER_ACTION": "ignore"},
    )
    (directory / "_wmi.pyd").unlink(missing_ok=True)  # calls functions that Wine 8 lacks, which ends the process
    path_file = next(directory.glob("python3*._pth"))
    lines = [path_file.stem + ".zip", ".", *(f"Z:{path}".replace("/", "\\") for path in module_path)]
    path_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory / "python.exe"


def run(python: Path, project: Path, environment: dict[str, str]) -> None:
    version = python.parent.name.removeprefix("python-")
    what = "Windows CPython under Wine"
    probes = project / "probes"
    machine.report_probe(what, machine.run("wine", python, probes / "answers.py", env=environment))
    with socket.create_server(("127.0.0.1", 0)) as server:  # a Linux process, for which Wine has no PID
        port = server.getsockname()[1]
        output = machine.run("wine", python, probes / "windows.py", port, env=environment)
    machine.report_probe(what, output)
    page = machine.run("wine", python, "-m", "portrange", "60860", env=environment)
    if not page.startswith("Port 60860  ") or "nothing" not in page:
        raise machine.FailedError(f"python -m portrange 60860 does not print the page of a free port:\n{page}")
    machine.say("PASS", f"{what} {version}: python -m portrange 60860 prints the page of the port")
    if version == _WITH_SUITE:
        run_suite(f"{what} {version}", python, project, environment)


def run_suite(what: str, python: Path, project: Path, environment: dict[str, str]) -> None:
    """Run the portable tests, and repeat those that failed because of Wine if no other test failed."""

    def run_tests(*tests: str) -> str:
        arguments = machine.suite(*tests, portable=True, deselected=_DESELECTED)
        return machine.run("wine", python, *arguments, cwd=project, env=environment)

    try:
        machine.report_suite(what, run_tests(), "portable tests", _DESELECTED)
    except machine.FailedError as error:
        failed = failed_by_wine(str(error))
        if not failed:
            raise
        machine.say("AGAIN", f"{what}: {_closing(str(error))}; {_ERROR_OF_WINE} in {', '.join(failed)}")
        machine.report_left_out(str(error), _DESELECTED)
        machine.report_suite(what, run_tests(*failed), "portable tests that Wine could not run at first")


def failed_by_wine(output: str) -> list[str]:
    """Return the failed tests of a pytest run if all of them show this error of Wine, else an empty list."""
    errors = re.findall(r"^E +(.*)$", output, re.MULTILINE)
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return failed if errors == [_ERROR_OF_WINE] * len(failed) else []


def _closing(output: str) -> str:
    return output.rstrip().rpartition("\n")[2].strip("= ")


if __name__ == "__main__":
    sys.exit(machine.main(check))
