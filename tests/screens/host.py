"""Print the screens of commands on a small host, as JSON: run as process 1 of new network, mount and PID namespaces.

    unshare --net --mount --pid --fork --mount-proc python tests/screens/host.py REQUEST

REQUEST is a JSON object: `columns` and `lines` of the terminal, the `user` who types, the `commands`, their `settings`
(contents of files below /proc/sys while a command runs), a `directory` for mounts and the socket of tmux, the `source`
of the package, and `cgroups`, the directories of servers by their names.

The host has the same servers, pids and addresses each time, so that screens can be compared with files.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Server: TypeAlias = tuple[str, str, list[str], list[tuple[str, str, int]], int]
#: Servers in the order of their pids: name, user, arguments after the name, sockets, and the number of workers.
SERVERS: tuple[Server, ...] = (
    ("sshd", "root", ["-D"], [("tcp", "0.0.0.0", 22), ("tcp", "::", 22)], 0),
    ("nginx", "root", ["-g", "daemon off;"], [("tcp", "0.0.0.0", 80), ("tcp", "::", 80), ("tcp", "0.0.0.0", 443)], 2),
    (
        "dnsmasq",
        "root",
        ["--conf-file=/etc/dnsmasq.d/a-rather-long-name-of-a-configuration-file.conf", "--keep-in-foreground"],
        [
            (protocol, address, 53)
            for protocol in ("tcp", "udp")
            for address in ("127.0.0.1", "10.20.30.40", "ADDRESSES")
        ],
        0,
    ),
    ("docker-proxy", "root", ["-container-port", "5432"], [("tcp", "127.0.0.1", 15432)], 0),
    ("postgres", "root", ["-D", "/var/lib/postgresql"], [("tcp", "127.0.0.1", 5432)], 0),
    ("gunicorn", "nobody", ["--workers", "14", "app:application"], [("tcp", "127.0.0.1", 8000)], 14),
    ("node", "nobody", ["server.js"], [("tcp", "::1", 8080)], 0),
    ("python3", "nobody", ["-m", "http.server", "8080"], [("tcp", "127.0.0.1", 8080)], 0),
)
#: Addresses that widen a column, on the loopback interface.
ADDRESSES = (
    "fd00:1234:5678:9abc:def0:1234:5678:9abc",
    "fd00:1234:5678:9abc:def0:1234:5678:9abd",
    "2001:db8:85a3:8d3:1319:8a2e:370:7348",
)
#: Becomes the user, the sockets, the name and the workers of a server; read from standard input, so that the arguments
#: of the process are those of the server.
PROGRAM = """
import ctypes, os, socket, time
os.setgid({gid})
os.setuid({uid})
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: the user can inspect its own process, as after execve()
made = []
for protocol, address, port in {sockets}:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    each = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    each.bind((address, port))
    if protocol == "tcp":
        each.listen()
    made.append(each)
with open("/proc/self/comm", "w") as file:
    file.write({name!r})
for _ in range({workers}):
    if not os.fork():
        time.sleep(3600)
os.write({writer}, b"x")
os.close({writer})
time.sleep(3600)
"""


def start(server: Server, python: str, cgroup: str) -> None:
    """Fork a server; return when it listens and has its name, arguments and workers."""
    name, user, arguments, sockets, workers = server
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        assert os.read(reader, 1) == b"x", name
        os.close(reader)
        return
    os.close(reader)
    os.set_inheritable(writer, True)
    if cgroup:
        with open(f"{cgroup}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    entry = pwd.getpwnam(user)
    expanded = [
        (protocol, each, port)
        for protocol, address, port in sockets
        for each in (ADDRESSES if address == "ADDRESSES" else [address])
    ]
    facts = {"uid": entry.pw_uid, "gid": entry.pw_gid, "sockets": expanded, "name": name, "workers": workers}
    script = os.memfd_create("program", 0)
    os.write(script, PROGRAM.format(writer=writer, **facts).encode())
    os.lseek(script, 0, os.SEEK_SET)
    os.dup2(script, 0)
    # The name says nothing about where the interpreter's library is.
    os.execve(python, [name, "-", *arguments], {"PYTHONHOME": os.path.dirname(os.path.dirname(python))})


class Terminal:
    """A terminal emulator without a window."""

    def __init__(self, directory: str, columns: int, lines: int) -> None:
        self._directory = directory
        self._size = ["-x", str(columns), "-y", str(lines)]
        self._numbers = itertools.count()

    def screen(self, command: str) -> str:
        # A server of its own for each screen: one that is about to end may still accept a session.
        tmux = ["tmux", "-S", f"{self._directory}/tmux-{next(self._numbers)}", "-f", "/dev/null"]
        script = f"{command}; printf 'exit status %s\\n' $?; printf 'over\\n'; exec cat"
        subprocess.run(
            [*tmux, "new-session", "-d", *self._size, "-s", "main", "sh", "-c", script], check=True, timeout=300
        )
        try:
            while True:
                capture = [*tmux, "capture-pane", "-p", "-t", "main"]
                shown = subprocess.run(capture, check=True, capture_output=True, timeout=300).stdout.decode()
                if "\nover\n" in shown:
                    return shown.partition("\nover\n")[0] + "\n"
                time.sleep(0.05)
        finally:
            subprocess.run([*tmux, "kill-server"], check=False, timeout=300, stderr=subprocess.DEVNULL)


def bind_mount(source: str, target: str) -> str:
    os.makedirs(target)
    subprocess.run(["mount", "--bind", source, target], check=True)
    return target


def name_localhost(directory: str) -> None:
    """Give localhost both loopback addresses, on every machine."""
    hosts = f"{directory}/hosts"
    with open(hosts, "w", encoding="ascii") as file:
        file.write("127.0.0.1 localhost\n::1 localhost\n")
    os.chmod(hosts, 0o644)
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


@contextlib.contextmanager
def set_up(settings: dict[str, str]) -> Iterator[None]:
    """Change files below /proc/sys for a while."""
    paths = {Path("/proc/sys", name): value for name, value in settings.items()}
    before = {path: path.read_text(encoding="ascii") for path in paths}
    for path, value in paths.items():
        path.write_text(value, encoding="ascii")
    yield
    for path, value in before.items():
        path.write_text(value, encoding="ascii")


def main() -> None:
    request = json.loads(sys.argv[1])
    directory = request["directory"]
    # The interpreter and the package may be in directories that other users cannot enter.
    prefix = bind_mount(sys.base_prefix, f"{directory}/python")
    package = bind_mount(request["source"], f"{directory}/source")
    python = f"{prefix}/{os.path.relpath(os.path.realpath(sys.executable), sys.base_prefix)}"
    name_localhost(directory)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ("10.20.30.40/32", *(f"{address}/128" for address in ADDRESSES)):
        subprocess.run(["ip", "address", "add", address, "dev", "lo", *["nodad"] * (":" in address)], check=True)
    for index, server in enumerate(SERVERS):
        with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as file:
            file.write(str(99 + 20 * index))
        start(server, python, request["cgroups"].get(server[0], ""))
    # The kernel may use a port for both destinations, so these are chosen here.
    connections = [socket.create_connection(("127.0.0.1", 5432), None, ("127.0.0.1", 40000 + i)) for i in range(30)]
    connections += [socket.create_connection((ADDRESSES[0], 53), None, (ADDRESSES[0], 40100 + i)) for i in range(3)]
    terminal = Terminal(directory, request["columns"], request["lines"])
    become = "" if request["user"] == "root" else f"setpriv --reuid {request['user']} --regid nogroup --clear-groups "
    program = f"cd /; PYTHONPATH={shlex.quote(package)} {become}{shlex.quote(python)} -m portrange"
    screens = {}
    for command in request["commands"]:
        with set_up(request["settings"].get(command, {})):
            screens[command] = terminal.screen(f"{program} {command}")
    print(json.dumps(screens))


if __name__ == "__main__":
    main()
