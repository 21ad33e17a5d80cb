"""What every platform check needs of this machine: a place to work, packages, and programs that are run with a limit.

A check is a function that gets an empty directory. `main` makes the directory, runs the check and clears up. What
comes out is one line a finding:

    PASS  what was run, its version, and what was checked there
          left out, indented below it: tests that a run of pytest skipped or was told to leave out, and why
    VALUE name = value      something that must be the same on every platform; `run_all` compares
    SKIP  why this machine cannot run the check, or a part of it (only for what was probed)
    LACK  a part that ran nowhere else either, and why this machine cannot run it
    FAIL  why it failed
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
#: What a script exits with that was skipped; the number that Automake's test driver knows.
SKIPPED = 77
#: A child that stays behind, such as Wine's server, may keep the pipe open; what was printed is there by then.
_SECONDS_FOR_THE_REST = 1

#: What the test suite itself needs, as pure Python: one copy serves every interpreter. The last two are what pytest
#: asks for on Python 3.10 only; pip looks at the interpreter it runs on, and would leave them out.
SUITE_NEEDS = ("pytest", "hypothesis", "typing_extensions", "exceptiongroup", "tomli")


class SkippedError(Exception):
    """This machine cannot run the check; the message says what was probed."""


class FailedError(Exception):
    """What was checked does not hold; the message says what was seen."""


def main(check: Callable[[Path], None]) -> int:
    """Run one check in a directory of its own; the exit status."""
    name = Path(sys.argv[0]).stem
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"FAIL  {name}: ended from outside"))  # so that it clears up
    with tempfile.TemporaryDirectory(prefix=f"portrange-{name}-", ignore_cleanup_errors=True) as directory:
        os.chmod(directory, 0o755)  # other users and namespaces look at what lies here
        try:
            check(Path(directory))
        except SkippedError as reason:
            say("SKIP", f"{name}: {reason}")
            return SKIPPED
        except FailedError as reason:
            say("FAIL", f"{name}: {reason}")
            return 1
        except Exception:  # noqa: BLE001 - a defect of the check itself must be as loud
            say("FAIL", f"{name}: {traceback.format_exc()}")
            return 1
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # clearing up ends soon, and must not be interrupted
    say("TIME", f"{name}: {time.monotonic() - started:.0f} s")
    return 0


def say(word: str, text: str) -> None:
    print(f"{word:<5} {text}", flush=True)


# --- programs ------------------------------------------------------------------------------------------------------


def run(
    *command: str | Path | int,
    seconds: float,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    ok: bool = True,
) -> str:
    """What a program prints, on both channels. Raises `FailedError` with it where it fails (unless not `ok`) or hangs.

    `env` is added to the environment. The program and its children are one group, and end together.
    """
    arguments = [str(part) for part in command]
    # A pipe, because Windows programs under Wine cannot write to a file that they inherit.
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


# --- what this machine can do --------------------------------------------------------------------------------------


def need_linux(machine: str | None = None) -> None:
    if sys.platform != "linux":
        raise SkippedError(f"needs Linux, this is {sys.platform}")
    if machine and os.uname().machine != machine:
        raise SkippedError(f"needs a processor of kind {machine}, this is {os.uname().machine}")


def need_root() -> None:
    if os.geteuid() != 0:
        raise SkippedError("needs root, for mounts and namespaces")


def need_commands(*names: str) -> None:
    for name in names:
        if shutil.which(name) is None:
            raise SkippedError(f"needs the command {name!r}, which is not on the PATH")


def need_programs(**packages: str) -> None:
    """Commands, each with the Debian package that brings it; what is missing is installed where that is possible."""
    missing = {name: package for name, package in packages.items() if shutil.which(name) is None}
    if not missing:
        return
    wanted = f"needs {', '.join(missing)}, not on the PATH"
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        raise SkippedError(f"{wanted}; here is no apt-get to install {', '.join(missing.values())} with")
    if os.geteuid() != 0:
        raise SkippedError(f"{wanted}; only root may install {', '.join(missing.values())}")
    install_debian(*missing.values())
    still = [name for name in missing if shutil.which(name) is None]
    if still:
        raise FailedError(f"{', '.join(missing.values())} of Debian bring no {', '.join(still)}")
    say("TOOLS", f"installed {', '.join(missing.values())} of Debian")


def need_namespaces(*flags: str) -> None:
    """Namespaces as unshare(1) makes them; a container often may not."""
    need_root()
    need_commands("unshare")
    done = subprocess.run(["unshare", *flags, "true"], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        raise SkippedError(f"unshare {' '.join(flags)} is refused here: {done.stderr.strip()}")


#: A program that starts the loopback of a new network namespace (netdevice(7)).
LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
"""


def in_own_network(*command: str) -> list[str]:
    """The arguments that run a program in a network namespace of its own; as it is, where that is not allowed.

    What else goes on on this machine then takes none of the ports that tests rely on.
    """
    try:
        need_namespaces("--net")
    except SkippedError:
        return [*command]
    enter = f"{LOOPBACK_UP}\nimport os, sys\nos.execvp(sys.argv[1], sys.argv[1:])"
    return ["unshare", "--net", sys.executable, "-I", "-c", enter, *command]


def install_debian(*packages: str) -> None:
    """Install packages of this machine's own Debian that are not there yet."""
    need_commands("apt-get", "dpkg-query")
    missing = [name for name in packages if not _is_installed(name)]
    if not missing:
        return
    need_root()
    with _one_at_a_time():
        run("apt-get", "update", "-q", seconds=120)
        run(
            *("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing),
            seconds=400,
            env={"DEBIAN_FRONTEND": "noninteractive"},
        )


def _is_installed(package: str) -> bool:
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "installed"


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Checks that run side by side take turns at apt: `apt-get update` does not wait for another one."""
    directory = os.open("/var/lib/apt", os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def install_python(target: Path, *requirements: str, python: str = "3.10", platform: str = "any") -> Path:
    """Wheels from the package index, unpacked into a directory that goes onto the module path of an interpreter."""
    run(
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-warn-conflicts"),
        *("--target", target, "--python-version", python, "--platform", platform, "--only-binary=:all:", *requirements),
        seconds=200,
        env={"PIP_ROOT_USER_ACTION": "ignore"},
    )
    return target


# --- portrange and its tests ---------------------------------------------------------------------------------------


def copy_project(into: Path, *, tests: bool = True) -> Path:
    """The package (and its tests) as they lie here, so that nothing that runs them can touch the originals."""
    into.mkdir(parents=True, exist_ok=True)
    unwanted = shutil.ignore_patterns("__pycache__", "platforms", "benchmarks")
    shutil.copytree(ROOT / "portrange", into / "portrange", ignore=unwanted)
    shutil.copytree(PROBES, into / "probes", ignore=unwanted)
    if tests:
        shutil.copytree(ROOT / "tests", into / "tests", ignore=unwanted)
        shutil.copy(ROOT / "pyproject.toml", into)
    return into


#: The tests of the package itself. The others are about the repository: its documents, its tools, its vendoring.
_PORTABLE_TESTS = ("portrange", "tests/answers", "tests/backends", "tests/contract", "tests/render", "tests/test_*.py")
_LINUX_TESTS = ("tests/host", "tests/live")
_NOT_OF_THE_PACKAGE = ("tests/test_readme.py",)


def suite(*tests: str, portable: bool = False, deselected: Iterable[str] = ()) -> list[str]:
    """The arguments of an interpreter that run tests (else those of the package), in a copy of the project.

    `portable`: only what must hold on every operating system. A test that does not hold on one of them says so itself.
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
        *options,
        *sorted({*wanted} - {*_NOT_OF_THE_PACKAGE}),
    ]


def _existing(patterns: Iterable[str]) -> list[str]:
    return [str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def report_suite(what: str, output: str, tests: str, deselected: Mapping[str, str] | None = None) -> None:
    """One PASS line for a run of pytest that ended well; it must have run something. Below it what was left out.

    `deselected`: the reason of each test that pytest was told to leave out; each must be there.
    """
    closing = re.search(r"^(?=.*\b\d+ passed)[^\n]* in [\d.:]+.*$", output, re.MULTILINE)
    if closing is None or re.search(r"\d+ (failed|errors?)\b", closing[0]):
        raise FailedError(f"{what}: the {tests} passed nothing\n{output}")
    left_out = re.search(r"\b(\d+) deselected\b", closing[0])
    if deselected and (left_out is None or int(left_out[1]) < len(deselected)):
        raise FailedError(f"{what}: of the {tests}, some that are to be left out are not there\n{output}")
    say("PASS", f"{what}: {tests}, {closing[0].strip('= ')}")
    report_left_out(output, deselected)


def report_left_out(output: str, deselected: Mapping[str, str] | None = None) -> None:
    """What a run of pytest skipped, by its reasons, and what it was told to leave out, a line each."""
    for reason, count in skip_reasons(output).most_common():
        say("", f"left out: {count} skipped: {reason}")
    for test, reason in (deselected or {}).items():
        say("", f"left out: {test}: {reason}")


def skip_reasons(output: str) -> Counter[str]:
    """How many tests a run of pytest skipped, by the reason: its lines are `SKIPPED [2] file.py:10: reason`."""
    reasons: Counter[str] = Counter()
    for count, reason in re.findall(r"^SKIPPED \[(\d+)\] (?:[A-Z]:)?[^:\n]+(?::\d+)?: (.*)$", output, re.MULTILINE):
        reasons[reason.removeprefix("Skipped: ")] += int(count)
    return reasons


def report_probe(what: str, output: str) -> None:
    """One PASS line for a probe (see probes/probing.py), and its values; it must have come to its end."""
    version = re.findall(r"^version (.*)$", output, re.MULTILINE)
    checked: Sequence[str] = re.findall(r"^checked (.*)$", output, re.MULTILINE)
    if not version or not checked or f"complete {len(checked)}\n" not in output:
        raise FailedError(f"{what}: the probe did not come to its end\n{output}")
    say("PASS", f"{what}, {version[0]}: {'; '.join(checked)}")
    for value in re.findall(r"^value (.*)$", output, re.MULTILINE):
        say("VALUE", value)
