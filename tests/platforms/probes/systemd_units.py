"""Listeners of real units where PID 1 is systemd: systemd.py boots the machine, and names the layout of its cgroups.

Each scenario sets units up, compares `portrange` with `ss -tulnpe`, as root and as an ordinary user, and restores them.
`CHECKS` are the scenarios that hold. `WANTED` are those of open issues: `--wanted` runs them all and prints what fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import re
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import probing

USER, OTHER_USER = "alice", "nobody"
SSH, RPCBIND, ACTIVATED, LINGERING, OTHER = 22, 111, 8105, 8106, 8107
_SECONDS = 300

#: What `portrange` returns is compared as JSON: it comes from a process of the user in question.
_LISTENERS = "import json, portrange; print(json.dumps([row.to_dict() for row in portrange.listeners()]))"
_WHO_LISTENS = "import json, portrange; print(json.dumps([row.to_dict() for row in portrange.who_listens({port})]))"
_WHY_BUSY = "import json, portrange; print(json.dumps([row.to_dict() for row in portrange.why_busy({port})]))"

#: A server that sends a byte to each client. Its socket comes from systemd (sd_listen_fds(3)), or is its own.
_SERVER = """\
import os, socket, sys
if os.environ.get("LISTEN_FDS"):
    server = socket.socket(fileno=3)
else:
    server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:  # sd_notify(3)
    manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
while True:
    with server.accept()[0] as client:
        client.sendall(b"1")
"""
_SERVICE = f"[Service]\nType=notify\nExecStart={sys.executable} %h/.config/systemd/user/server.py %i\n"


class Row(NamedTuple):
    """A listening socket, in the terms that ss and portrange have in common."""

    protocol: str
    address: str
    port: int
    pids: frozenset[int] = frozenset()


class Shown(NamedTuple):
    """A row of `ss -e`, with the path of its cgroup; None where ss prints none, or cannot find it."""

    row: Row
    cgroup: str | None


# --- ss, portrange and systemctl -------------------------------------------------------------------------------------


def ss(user: str = "root") -> list[Shown]:
    """The rows of `ss -tulnpe`."""
    return [_parse(line) for line in run("ss", "-H", "-O", "-tulnpe", user=user).splitlines() if line.strip()]


def _parse(line: str) -> Shown:
    protocol, _, _, _, local, *_ = line.split()
    address, _, port = local.rpartition(":")
    address = address.partition("%")[0].strip("[]").replace("*", "::")
    pids = frozenset(map(int, re.findall(r"\bpid=(\d+)", line)))
    cgroup = re.search(r" cgroup:(/\S*)", line)
    return Shown(Row(protocol, address, int(port), pids), cgroup[1] if cgroup else None)


def listeners(user: str = "root") -> list[dict[str, Any]]:
    """The rows of `portrange.listeners()`."""
    return _python(_LISTENERS, user)


def who_listens(port: int, user: str = "root") -> list[dict[str, Any]]:
    """The rows of `portrange.who_listens(port)`."""
    return _python(_WHO_LISTENS.format(port=port), user)


def advice(port: int, user: str = "root") -> str:
    """The details of `portrange.why_busy(port)`, a line each."""
    return "\n".join(obstacle["detail"] for obstacle in _python(_WHY_BUSY.format(port=port), user))


def _python(program: str, user: str) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = json.loads(run(sys.executable, "-c", program, user=user))
    return output


def run(*command: str, user: str = "root") -> str:
    """The output of a program that a user runs in this session. A failure is an `AssertionError` with its messages."""
    account = pwd.getpwnam(user)
    environment = {**os.environ, "HOME": account.pw_dir, "XDG_RUNTIME_DIR": f"/run/user/{account.pw_uid}"}
    done = subprocess.run(
        command,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, f"{' '.join(command)} as {user}: exit status {done.returncode}\n{done.stderr}"
    return done.stdout


def systemctl(*arguments: str) -> str:
    """Run systemctl(1) on the system's units."""
    return run("systemctl", *arguments)


def user_systemctl(*arguments: str) -> str:
    """Run systemctl(1) on the units of the ordinary user."""
    return run("systemctl", "--user", *arguments, user=USER)


def main_pid(unit: str, *, of_user: bool = False) -> int:
    """The main process of a service."""
    ask = user_systemctl if of_user else systemctl
    return int(ask("show", "--property=MainPID", "--value", unit))


def user_manager() -> int:
    """The PID of the ordinary user's `systemd --user`."""
    return main_pid(f"user@{pwd.getpwnam(USER).pw_uid}.service")


def as_row(listener: dict[str, Any]) -> Row:
    pids = frozenset(owner["pid"] for owner in listener["owners"])
    return Row(listener["protocol"], listener["address"], listener["port"], pids)


def on(port: int, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["port"] == port]


def shown_on(port: int, user: str = "root") -> list[Shown]:
    return [shown for shown in ss(user) if shown.row.port == port]


def unit_of(path: str) -> str | None:
    """The unit that a cgroup belongs to: its last part that is the name of one (systemd.unit(5))."""
    suffixes = (".service", ".scope", ".socket", ".mount", ".swap")
    return next((part for part in reversed(path.split("/")) if part.endswith(suffixes)), None)


# --- units -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ssh_socket() -> Iterator[None]:
    """systemd listens for ssh.service, which is not started yet."""
    systemctl("stop", "ssh.service")
    try:
        systemctl("start", "ssh.socket")
        yield
    finally:
        systemctl("stop", "ssh.socket", "ssh.service")
        systemctl("reset-failed")  # the number of starts is limited (systemd.unit(5), StartLimitBurst=)
        systemctl("start", "ssh.service")


def connect_to_ssh() -> None:
    """Connect, so that systemd starts ssh.service, and wait until its child for this connection has ended.

    For a moment the child has the listening socket as well (sshd.c, server_accept_loop).
    """
    with socket.create_connection(("127.0.0.1", SSH), timeout=_SECONDS) as client:
        assert client.recv(4) == b"SSH-"
    pid = main_pid("ssh.service")
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + _SECONDS
    while children.read_text("ascii"):
        assert time.monotonic() < deadline, f"children of sshd: {children.read_text('ascii')}"
        time.sleep(0.01)


@contextlib.contextmanager
def user_unit(started: str, units: dict[str, str]) -> Iterator[None]:
    """Units of the ordinary user, by their file names, one of which is started.

    The user's manager runs without a session (loginctl(1), enable-linger).
    """
    account = pwd.getpwnam(USER)
    run("loginctl", "enable-linger", USER)
    systemctl("start", f"user@{account.pw_uid}.service")  # wait for it: logind does not
    directory = Path(account.pw_dir, ".config/systemd/user")
    run("mkdir", "-p", str(directory), user=USER)
    files = {**units, "server.py": _SERVER}
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8")
    user_systemctl("daemon-reload")
    try:
        user_systemctl("start", started)
        yield
    finally:
        user_systemctl("stop", started, started.replace(".socket", ".service"))
        for name in files:
            (directory / name).unlink()
        user_systemctl("daemon-reload")


@contextlib.contextmanager
def user_socket() -> Iterator[None]:
    """The ordinary user's usock.socket has started usock.service."""
    activation = f"[Socket]\nListenStream=127.0.0.1:{ACTIVATED}\n"
    with user_unit("usock.socket", {"usock.socket": activation, "usock.service": _SERVICE}):
        with socket.create_connection(("127.0.0.1", ACTIVATED), timeout=_SECONDS) as client:
            assert client.recv(1) == b"1"
        yield


@contextlib.contextmanager
def user_service() -> Iterator[None]:
    """The ordinary user's web@8106.service listens on its own socket."""
    with user_unit(f"web@{LINGERING}.service", {"web@.service": _SERVICE}):
        yield


# --- scenarios that hold ---------------------------------------------------------------------------------------------


def rows_equal_ss_as_root() -> None:
    """listeners() equals ss -tulnp as root"""
    _assert_rows_equal("root")


def rows_equal_ss_as_user() -> None:
    """listeners() equals ss -tulnp as an ordinary user, and owners of other users are hidden"""
    _assert_rows_equal(USER)
    for row in on(SSH, listeners(USER)) + on(RPCBIND, listeners(USER)):
        assert (row["owners"], row["hidden"]) == ([], True), row


def _assert_rows_equal(user: str) -> None:
    expected = sorted(shown.row for shown in ss(user))
    assert {SSH, RPCBIND} <= {row.port for row in expected}, expected
    found = sorted(map(as_row, listeners(user)))
    assert found == expected, f"as {user}: {found} instead of {expected}"
    for port in {row.port for row in expected}:
        rows = sorted(map(as_row, who_listens(port, user)))
        assert rows == [row for row in expected if row.port == port], f"as {user}: {rows} instead of {expected}"


def units_equal_ss() -> None:
    """cgroups and units equal those of ss -e, for both users"""
    for user in ("root", USER):
        expected = {shown.row: shown.cgroup for shown in ss("root")}
        assert None not in expected.values(), expected
        for row in listeners(user):
            (path,) = {path for key, path in expected.items() if key[:3] == as_row(row)[:3]}
            assert row["cgroup"] == path, row
            assert row["unit"] == unit_of(path or ""), row


def socket_unit_is_shown() -> None:
    """ssh.socket before the first connection: unit ssh.socket, owner PID 1"""
    with ssh_socket():
        _assert_owners(SSH, {1})
        _assert_units(SSH, "ssh.socket")


def started_socket_unit_is_shown() -> None:
    """ssh.socket after the first connection: unit ssh.socket, owners PID 1 and sshd"""
    with ssh_socket():
        connect_to_ssh()
        _assert_owners(SSH, {1, main_pid("ssh.service")})
        _assert_units(SSH, "ssh.socket")


def user_service_has_owner() -> None:
    """a user's service: owner is its main process, for root and that user"""
    with user_service():
        for user in ("root", USER):
            _assert_owners(LINGERING, {main_pid(f"web@{LINGERING}.service", of_user=True)}, user)


def rpcbind_has_two_owners() -> None:
    """rpcbind.socket with rpcbind.service: unit rpcbind.socket, owners PID 1 and rpcbind"""
    _assert_owners(RPCBIND, {1, main_pid("rpcbind.service")})
    _assert_units(RPCBIND, "rpcbind.socket")


def socket_unit_has_owners() -> None:
    """ssh.socket: owner PID 1, and sshd after the first connection"""
    with ssh_socket():
        _assert_owners(SSH, {1})
        connect_to_ssh()
        _assert_owners(SSH, {1, main_pid("ssh.service")})


def rpcbind_owners() -> None:
    """rpcbind.socket with rpcbind.service: owners PID 1 and rpcbind"""
    _assert_owners(RPCBIND, {1, main_pid("rpcbind.service")})


def _assert_owners(port: int, pids: set[int], user: str = "root") -> None:
    """Check the owners of all sockets on a port, in ss, listeners() and who_listens()."""
    shown = [row for row, _ in shown_on(port, user)]
    assert shown, f"ss shows nothing on port {port}"
    assert all(row.pids == pids for row in shown), f"ss shows {shown} instead of {pids}"
    for name, rows in (("listeners", on(port, listeners(user))), ("who_listens", who_listens(port, user))):
        assert sorted(map(as_row, rows)) == sorted(shown), f"{name}: {sorted(map(as_row, rows))} instead of {shown}"


def _assert_units(port: int, unit: str, users: Iterable[str] = ("root", USER)) -> None:
    """Check the unit of all sockets on a port, in listeners() and who_listens()."""
    for user in users:
        for name, rows in (("listeners", on(port, listeners(user))), ("who_listens", who_listens(port, user))):
            units = {row["unit"] for row in rows}
            assert units == {unit}, f"{name} as {user}: units {units} instead of {unit}"


# --- service managers, and units without their own cgroup ------------------------------------------------------------


def user_socket_has_owners() -> None:
    """a user's socket unit: owners are the server and `systemd --user`"""
    with user_socket():
        _assert_owners(ACTIVATED, {user_manager(), main_pid("usock.service", of_user=True)})


def user_socket_has_owners_as_user() -> None:
    """a user's socket unit: that user sees its owners as well"""
    with user_socket():
        _assert_owners(ACTIVATED, {user_manager(), main_pid("usock.service", of_user=True)}, USER)


def user_socket_has_possible_owners() -> None:
    """a user's socket unit: possible owners for another user are the server and `systemd --user`"""
    with user_socket():
        _assert_possible_owners(ACTIVATED, {user_manager(), main_pid("usock.service", of_user=True)}, OTHER_USER)


def user_socket_is_not_in_init_scope() -> None:
    """a user's socket unit: init.scope is not shown as the unit"""
    with user_socket():
        for user in ("root", USER, OTHER_USER):
            for row in on(ACTIVATED, listeners(user)) + who_listens(ACTIVATED, user):
                assert row["unit"] != "init.scope", f"as {user}: {row}"


def user_socket_advice() -> None:
    """a user's socket unit: the advice names systemctl --user, for root and that user"""
    with user_socket():
        for user in ("root", USER):
            assert "systemctl --user" in advice(ACTIVATED, user), f"as {user}: {advice(ACTIVATED, user)}"


def user_service_is_marked() -> None:
    """a user's service: user_unit, and the user's name in every text"""
    with user_service():
        for user in ("root", USER):
            (row,) = who_listens(LINGERING, user)
            assert (row["unit"], row["user_unit"]) == (f"web@{LINGERING}.service", True), f"as {user}: {row}"
            texts = [run(sys.executable, "-m", "portrange", *ports, user=user) for ports in ((), (str(LINGERING),))]
            for text in (*texts, advice(LINGERING, user)):
                assert f"web@{LINGERING}.service (user {USER})" in text, f"as {user}: {text}"


def ssh_socket_advice() -> None:
    """ssh.socket, not started and started: the advice is to stop ssh.socket, and that frees the port"""
    with ssh_socket():
        for state in ("before the first connection", "after it"):
            for user in ("root", USER):
                text = advice(SSH, user)
                assert "systemctl stop ssh.socket" in text, f"as {user}, {state}: {text}"
            _follow(advice(SSH))
            systemctl("start", "ssh.socket")
            connect_to_ssh()
        _follow(advice(SSH))


def _follow(text: str) -> None:
    """Run the command that the advice names, after which nothing listens on the port of ssh."""
    (units,) = set(re.findall(r"systemctl stop ([^,]*),", text))
    systemctl("stop", *units.split())
    assert not shown_on(SSH), f"{text}\n{shown_on(SSH)}"


def started_socket_unit_advice() -> None:
    """ssh.socket after the first connection, no cgroup of the socket: the advice names its socket unit, for root"""
    with ssh_socket():
        connect_to_ssh()
        text = advice(SSH)
        assert "socket unit" in text or "ssh.socket" in text, text


def socket_units_are_settled_by_their_service() -> None:
    """socket units: PID 1, waiting, or PID 1 and the service of the same name settle the search, for root"""
    with ssh_socket():
        for row in who_listens(SSH):
            assert row["scope"] == "service", row
        connect_to_ssh()
        for row in who_listens(SSH) + who_listens(RPCBIND):
            assert row["scope"] == "service", row


def socket_units_have_possible_owners() -> None:
    """socket units: possible owners for an ordinary user are PID 1 and the processes of the service"""
    with ssh_socket():
        connect_to_ssh()
        _assert_possible_owners(SSH, {1, main_pid("ssh.service")}, USER)
        _assert_possible_owners(RPCBIND, {1, main_pid("rpcbind.service")}, USER)


def _assert_possible_owners(port: int, pids: set[int], user: str) -> None:
    for name, rows in (("listeners", on(port, listeners(user))), ("who_listens", who_listens(port, user))):
        assert rows, f"{name} as {user} returns nothing on port {port}"
        for row in rows:
            found = {process["pid"] for process in row["possible_owners"]}
            assert row["owners"] == [], f"{name} as {user}: {row}"
            assert found >= pids, f"{name} as {user}: possible owners {found} instead of {pids}"


def socket_unit_of_another_service() -> None:
    """a socket unit that starts a service of another name: both owners, and advice that frees the port"""
    units = Path("/run/systemd/system")
    server = units / "server.py"
    files = {
        "first.socket": f"[Socket]\nListenStream=127.0.0.1:{OTHER}\nService=second.service\n",
        "second.service": f"[Service]\nType=notify\nExecStart={sys.executable} {server}\n",
        server.name: _SERVER,
    }
    for name, content in files.items():
        (units / name).write_text(content, "utf-8")
    systemctl("daemon-reload")
    try:
        systemctl("start", "first.socket")
        (row,) = who_listens(OTHER)
        assert row["scope"] == "service", row
        with socket.create_connection(("127.0.0.1", OTHER), timeout=_SECONDS) as client:
            assert client.recv(1) == b"1"
        _assert_owners(OTHER, {1, main_pid("second.service")})
        _assert_units(OTHER, "first.socket")
        text = advice(OTHER)
        assert "stop first.socket and the service that it starts (systemctl list-sockets)" in text, text
        assert "second.service" in systemctl("list-sockets"), systemctl("list-sockets")
    finally:
        systemctl("stop", "first.socket", "second.service")
        for name in files:
            (units / name).unlink()
        systemctl("daemon-reload")


def rpcbind_advice() -> None:
    """rpcbind: the advice is to stop rpcbind.socket, for both users"""
    for user in ("root", USER):
        assert "systemctl stop rpcbind.socket" in advice(RPCBIND, user), f"as {user}: {advice(RPCBIND, user)}"


def stopped_socket_unit_leaves_owners() -> None:
    """ssh.service after `systemctl stop ssh.socket`: owner sshd"""
    with _stopped_ssh_socket():
        _assert_owners(SSH, {main_pid("ssh.service")})


def stopped_socket_unit_leaves_the_service() -> None:
    """ssh.service after `systemctl stop ssh.socket`: the cgroup of the socket is gone, unit ssh.service, for root"""
    with _stopped_ssh_socket():
        assert {cgroup for _, cgroup in shown_on(SSH)} == {None}, shown_on(SSH)
        _assert_units(SSH, "ssh.service", users=("root",))


@contextlib.contextmanager
def _stopped_ssh_socket() -> Iterator[None]:
    with ssh_socket():
        connect_to_ssh()
        systemctl("stop", "ssh.socket")
        yield


def units_are_those_of_the_owners() -> None:
    """no cgroup of the socket: the unit of its oldest owner, for root"""
    rows = listeners()
    assert {row["unit"] for row in on(SSH, rows)} == {"ssh.service"}, on(SSH, rows)
    # PID 1 is the oldest owner, and init.scope is never shown as a unit.
    assert {row["unit"] for row in on(RPCBIND, rows)} <= {"rpcbind.service", "rpcbind.socket"}, on(RPCBIND, rows)


def units_without_cgroup2_are_incomplete() -> None:
    """no cgroup of the socket, owners hidden: incomplete names the missing units"""
    program = "import json, portrange; print(json.dumps([{'reasons': portrange.listeners().incomplete}]))"
    ((reasons),) = (row["reasons"] for row in _python(program, USER))
    assert any("unit" in reason for reason in reasons), reasons


@contextlib.contextmanager
def _unused_cgroup2() -> Iterator[None]:
    """cgroup2 is mounted, and every process is in its root."""
    mount = Path("/run/cgroup2")
    mount.mkdir()
    run("mount", "-t", "cgroup2", "-o", "ro", "cgroup2", str(mount))
    try:
        yield
    finally:
        run("umount", str(mount))
        mount.rmdir()


def units_of_services_beside_unused_cgroup2() -> None:
    """cgroup2 mounted beside version 1 but unused: ssh.service has its unit, for root"""
    with _unused_cgroup2():
        assert {row["unit"] for row in on(SSH, listeners())} == {"ssh.service"}, on(SSH, listeners())


def units_beside_unused_cgroup2() -> None:
    """cgroup2 mounted beside version 1 but unused: the unit of the oldest owner, and never init.scope, for root"""
    with _unused_cgroup2():
        units_are_those_of_the_owners()


Scenario = Callable[[], None]

_ALWAYS: tuple[Scenario, ...] = (
    rows_equal_ss_as_root,
    rows_equal_ss_as_user,
    user_service_has_owner,
    user_service_is_marked,
    user_socket_has_owners,
    user_socket_has_owners_as_user,
    user_socket_is_not_in_init_scope,
    user_socket_advice,
    stopped_socket_unit_leaves_owners,
    stopped_socket_unit_leaves_the_service,
)
_WITH_CGROUP2: tuple[Scenario, ...] = (
    *_ALWAYS,
    units_equal_ss,
    socket_unit_is_shown,
    started_socket_unit_is_shown,
    rpcbind_has_two_owners,
    user_socket_has_possible_owners,
    ssh_socket_advice,
    rpcbind_advice,
    socket_units_are_settled_by_their_service,
    socket_units_have_possible_owners,
    socket_unit_of_another_service,
)
#: Without cgroup2 the kernel names no unit, and every process is searched.
_WITHOUT_CGROUP2: tuple[Scenario, ...] = (
    *_ALWAYS,
    socket_unit_has_owners,
    rpcbind_owners,
    units_of_services_beside_unused_cgroup2,
    started_socket_unit_advice,
    units_are_those_of_the_owners,
    units_beside_unused_cgroup2,
    units_without_cgroup2_are_incomplete,
)
CHECKS = {"cgroup2": _WITH_CGROUP2, "hybrid": _WITH_CGROUP2, "v1": _WITHOUT_CGROUP2}
#: None at present.
WANTED: dict[str, tuple[Scenario, ...]] = {"cgroup2": (), "hybrid": (), "v1": ()}


def run_wanted(scenarios: Iterable[Scenario]) -> None:
    """Run all scenarios, and print which of them hold."""
    for scenario in scenarios:
        text = " ".join((scenario.__doc__ or "").split())
        try:
            scenario()
        except Exception as error:  # noqa: BLE001 - a missing field or a traceback of the command fails it as well
            reason = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
            print(f"wanted  {scenario.__name__}: {text}\n        {reason}".rstrip(), flush=True)
        else:
            print(f"holds   {scenario.__name__}: {text}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", choices=CHECKS)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="names of functions (all)")
    parser.add_argument("--wanted", action="store_true", help="run the scenarios of open issues")
    arguments = parser.parse_args()
    named = {scenario.__name__: scenario for scenario in (WANTED if arguments.wanted else CHECKS)[arguments.layout]}
    chosen = [named[name] for name in arguments.names or named if name in named]
    if arguments.wanted:
        run_wanted(chosen)
    else:
        probing.run(*chosen)
