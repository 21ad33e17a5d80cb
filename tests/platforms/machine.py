"""Helpers for the platform checks: a working directory, packages, and programs with a time limit.

A check is a function that receives an empty directory. `main` creates the directory, runs the check and removes the
directory. The output has one line per result:

    PASS  the program, its version, and the checks that passed
          left out, indented below it: skipped and deselected tests of a pytest run, with reasons
    VALUE name = value      a value that must be equal on all platforms; `run_all` compares
    SKIP  why this machine cannot run the check or a part of it (only for probed reasons)
    LACK  a part that no other check runs either, and why this machine cannot run it
    FAIL  why the check failed
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

PLATFORMS = Path(__file__).resolve().parent
ROOT = PLATFORMS.parent.parent
PROBES = PLATFORMS / "probes"
#: Time limit of a program. It ends only one that hangs: a loaded machine takes several times as long as an idle one.
_SECONDS = 1800
#: Exit status of a skipped script, as in the Automake test driver.
SKIPPED = 77
#: Time limit for reading the rest of the output, because a remaining child such as wineserver may keep the pipe open.
_SECONDS_FOR_THE_REST = 1

#: Pure Python requirements of the test suite, shared by all interpreters. pytest requires the last two on Python 3.10
#: only; pip evaluates the markers for its own interpreter and would omit them.
SUITE_NEEDS = ("pytest", "hypothesis", "typing_extensions", "exceptiongroup", "tomli")


class SkippedError(Exception):
    """This machine cannot run the check; the message names the probed reason."""


class FailedError(Exception):
    """The check failed; the message describes the observed behaviour."""


def main(check: Callable[[Path], None]) -> int:
    """Run a check in a temporary directory and return the exit status."""
    name = Path(sys.argv[0]).stem
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"FAIL  {name}: terminated"))  # so that the directory is removed
    with tempfile.TemporaryDirectory(prefix=f"portrange-{name}-", ignore_cleanup_errors=True) as directory:
        os.chmod(directory, 0o755)  # other users and namespaces read files here
        try:
            check(Path(directory))
        except SkippedError as reason:
            say("SKIP", f"{name}: {reason}")
            return SKIPPED
        except FailedError as reason:
            say("FAIL", f"{name}: {reason}")
            return 1
        except Exception:  # noqa: BLE001 - an error in the check itself is a failure, too
            say("FAIL", f"{name}: {traceback.format_exc()}")
            return 1
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the cleanup is short and must not be interrupted
    say("TIME", f"{name}: {time.monotonic() - started:.0f} s")
    return 0


def say(keyword: str, text: str) -> None:
    print(f"{keyword:<5} {text}", flush=True)


# --- programs ------------------------------------------------------------------------------------------------------


def run(
    *command: str | Path | int,
    seconds: float = _SECONDS,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    ok: bool = True,
) -> str:
    """Return the stdout and stderr of a program. Raises `FailedError` if it hangs, or fails while `ok` is true.

    `env` is added to the environment. The program and its children are one process group and end together.
    """
    arguments = [str(part) for part in command]
    # A pipe, because Windows programs under Wine cannot write to an inherited file.
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        start_new_session=True,
    )
    assert process.stdout is not None
    blocks: list[bytes] = []
    reader = threading.Thread(target=_read_all, args=(process.stdout, blocks), daemon=True)
    reader.start()
    try:
        status: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    reader.join(_SECONDS_FOR_THE_REST)
    text = b"".join(blocks).decode("utf-8", "replace").replace("\r\n", "\n")
    if status is None:
        raise FailedError(f"no end within {seconds:.0f} s: {' '.join(arguments)}\n{text}")
    if ok and status != 0:
        raise FailedError(f"exit status {status}: {' '.join(arguments)}\n{text}")
    return text


def _read_all(pipe: IO[bytes], blocks: list[bytes]) -> None:
    while block := os.read(pipe.fileno(), 1 << 16):
        blocks.append(block)


# --- requirements --------------------------------------------------------------------------------------------------


def need_linux(machine: str | None = None) -> None:
    if sys.platform != "linux":
        raise SkippedError(f"needs Linux, this is {sys.platform}")
    if machine and os.uname().machine != machine:
        raise SkippedError(f"needs a {machine} processor, this is {os.uname().machine}")


def need_root() -> None:
    if os.geteuid() != 0:
        raise SkippedError("needs root, for mounts and namespaces")


def need_commands(*names: str) -> None:
    for name in names:
        if shutil.which(name) is None:
            raise SkippedError(f"needs the command {name!r}, which is not on the PATH")


def need_programs(**packages: str) -> None:
    """Require commands, given with their Debian packages; installs missing packages if possible."""
    missing = {name: package for name, package in packages.items() if shutil.which(name) is None}
    if not missing:
        return
    wanted = f"needs {', '.join(missing)}, not on the PATH"
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        raise SkippedError(f"{wanted}; apt-get is not available to install {', '.join(missing.values())}")
    if os.geteuid() != 0:
        raise SkippedError(f"{wanted}; only root can install {', '.join(missing.values())}")
    install_debian(*missing.values())
    still = [name for name in missing if shutil.which(name) is None]
    if still:
        raise FailedError(f"{', '.join(missing.values())} of Debian do not provide {', '.join(still)}")
    say("TOOLS", f"installed {', '.join(missing.values())} of Debian")


def need_namespaces(*flags: str) -> None:
    """Require the right to create namespaces with unshare(1), which containers often lack."""
    need_root()
    need_commands("unshare")
    done = subprocess.run(["unshare", *flags, "true"], capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode != 0:
        raise SkippedError(f"unshare {' '.join(flags)} is refused here: {done.stderr.strip()}")


#: A program that brings up the loopback interface of a new network namespace (netdevice(7)).
LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
"""


def in_own_network(*command: str) -> list[str]:
    """Return the command that runs a program in a new network namespace; without one if that is not permitted.

    A namespace isolates the ports of the tests from other processes on this machine.
    """
    try:
        need_namespaces("--net")
    except SkippedError:
        return [*command]
    enter = f"{LOOPBACK_UP}\nimport os, sys\nos.execvp(sys.argv[1], sys.argv[1:])"
    return ["unshare", "--net", sys.executable, "-I", "-c", enter, *command]


def install_debian(*packages: str) -> None:
    """Install missing packages of the Debian release of this machine."""
    need_commands("apt-get", "dpkg-query")
    missing = [name for name in packages if not _is_installed(name)]
    if not missing:
        return
    need_root()
    with _one_at_a_time():
        run("apt-get", "update", "-q")
        run(
            *("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing),
            env={"DEBIAN_FRONTEND": "noninteractive"},
        )


def _is_installed(package: str) -> bool:
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "installed"


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Serialize the use of apt by concurrent checks, because `apt-get update` does not wait for its lock."""
    directory = os.open("/var/lib/apt", os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def install_python(
    target: Path, *requirements: str, python: str = "3.10", platform: str = "any", abi: str | None = None
) -> Path:
    """Install wheels from the package index into a directory for the module path of an interpreter."""
    wanted = ["--python-version", python, "--platform", platform, *(("--abi", abi) if abi else ())]
    run(
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-warn-conflicts"),
        *("--target", target, *wanted, "--only-binary=:all:", *requirements),
        env={"PIP_ROOT_USER_ACTION": "ignore"},
    )
    return target


# --- portrange and its tests ---------------------------------------------------------------------------------------


def copy_project(into: Path, *, tests: bool = True) -> Path:
    """Copy the package and its tests, so that a run cannot modify the originals."""
    into.mkdir(parents=True, exist_ok=True)
    unwanted = shutil.ignore_patterns("__pycache__", "platforms", "benchmarks")
    shutil.copytree(ROOT / "portrange", into / "portrange", ignore=unwanted)
    shutil.copytree(PROBES, into / "probes", ignore=unwanted)
    if tests:
        shutil.copytree(ROOT / "tests", into / "tests", ignore=unwanted)
        shutil.copy(ROOT / "pyproject.toml", into)
    return into


#: The tests of the package itself. Other tests cover the repository: documents, tools, vendoring.
_PORTABLE_TESTS = ("portrange", "tests/answers", "tests/backends", "tests/contract", "tests/render", "tests/test_*.py")
_LINUX_TESTS = ("tests/host", "tests/live")
_NOT_OF_THE_PACKAGE = ("tests/test_readme.py",)


def suite(*tests: str, portable: bool = False, deselected: Iterable[str] = ()) -> list[str]:
    """Return the interpreter arguments that run tests (by default those of the package) in a copy of the project.

    `portable`: only tests for every operating system. Tests that do not apply to a system skip themselves.
    """
    wanted = tests or _existing(_PORTABLE_TESTS + (() if portable else _LINUX_TESTS))
    options = [f"--deselect={test}" for test in deselected]
    return [
        "-m",
        "pytest",
        "-q",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile=short",
        *options,
        *sorted({*wanted} - {*_NOT_OF_THE_PACKAGE}),
    ]


def _existing(patterns: Iterable[str]) -> list[str]:
    return [str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def report_suite(what: str, output: str, tests: str, deselected: Mapping[str, str] | None = None) -> None:
    """Print a PASS line for a successful, non-empty pytest run, and the omitted tests below it.

    `deselected`: the reasons of deselected tests, each of which must exist.
    """
    closing = re.search(r"^(?=.*\b\d+ passed)[^\n]* in [\d.:]+.*$", output, re.MULTILINE)
    if closing is None or re.search(r"\d+ (failed|errors?)\b", closing[0]):
        raise FailedError(f"{what}: no {tests} passed\n{output}")
    left_out = re.search(r"\b(\d+) deselected\b", closing[0])
    if deselected and (left_out is None or int(left_out[1]) < len(deselected)):
        raise FailedError(f"{what}: some deselected {tests} do not exist\n{output}")
    say("PASS", f"{what}: {tests}, {closing[0].strip('= ')}")
    report_left_out(output, deselected)


def report_left_out(output: str, deselected: Mapping[str, str] | None = None) -> None:
    """Print a line for each skip reason and each deselected test of a pytest run."""
    for reason, count in skip_reasons(output).most_common():
        say("", f"left out: {count} skipped: {reason}")
    for test, reason in (deselected or {}).items():
        say("", f"left out: {test}: {reason}")


def skip_reasons(output: str) -> Counter[str]:
    """Count the skipped tests of a pytest run by reason; its lines are `SKIPPED [2] file.py:10: reason`."""
    reasons: Counter[str] = Counter()
    for count, reason in re.findall(r"^SKIPPED \[(\d+)\] (?:[A-Z]:)?[^:\n]+(?::\d+)?: (.*)$", output, re.MULTILINE):
        reasons[reason.removeprefix("Skipped: ")] += int(count)
    return reasons


def report_probe(what: str, output: str) -> None:
    """Print a PASS line and the values of a completed probe (see probes/probing.py)."""
    version = re.findall(r"^version (.*)$", output, re.MULTILINE)
    checked: Sequence[str] = re.findall(r"^checked (.*)$", output, re.MULTILINE)
    if not version or not checked or f"complete {len(checked)}\n" not in output:
        raise FailedError(f"{what}: the probe did not complete\n{output}")
    say("PASS", f"{what}, {version[0]}: {'; '.join(checked)}")
    for value in re.findall(r"^value (.*)$", output, re.MULTILINE):
        say("VALUE", value)
