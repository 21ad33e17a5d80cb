"""Record this machine as a host for the tests.

    python3 tests/hosts/record.py NAME      writes tests/hosts/NAME; any user, no installation but psutil

Recorded are the settings of ports as the kernel or its programs return them, the tables of sockets as bytes, and the
sockets of each process. Replaced are the names of users and processes, and all addresses except 0.0.0.0, ::, 127.0.0.1
and ::1. Command lines and paths of programs are not recorded. Please read the files before you publish them:
tests/recorded.py describes the format.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import platform
import re
import socket
import struct
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

HOSTS = Path(__file__).resolve().parent
sys.path[:0] = [str(HOSTS.parents[1]), str(HOSTS.parent)]

from portrange import ParseError, PortrangeError, UnsupportedPlatformError, __version__  # noqa: E402
from portrange._backends.pcblist import parse_table  # noqa: E402
from portrange._backends.portable.psutil_table import SocketRow, open_table  # noqa: E402
from portrange._backends.select import backend_for  # noqa: E402
from portrange._host.system import System  # noqa: E402

_PROTOCOLS = ("tcp", "udp", "sctp", "dccp")
_KEPT = ("0.0.0.0", "::", "127.0.0.1", "::1")
#: The replacements of addresses begin behind these: RFC 1122, RFC 3927, RFC 2544, RFC 4291, RFC 3849.
_RANGES = {
    ("loopback", 4): "127.0.0.1",
    ("link", 4): "169.254.1.0",
    ("ipv4", 4): "198.18.0.0",
    ("link", 6): "fe80::",
    ("ipv6", 6): "2001:db8::",
}
_LOCAL_TABLES = ("tcp", "tcp6", "udp", "udp6")
#: Message types of replies of sock_diag, and the attributes that are kept (linux/inet_diag.h): SHUTDOWN, SKV6ONLY,
#: CGROUP_ID. Others contain addresses (SCTP), and the keys of TCP-MD5 signatures if the superuser records them.
_SOCKET_MESSAGE = 20
_KEPT_ATTRIBUTES = (8, 11, 21)


class Recorder(System):
    """This machine, with a note of everything that was read."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.denied: list[str] = []
        self.sysctls: dict[str, dict[str, object]] = {}
        self.commands: dict[str, bytes] = {}
        self.replies: dict[str, list[bytes]] = {}
        self.failures: list[str] = []

    def read(self, path: str) -> bytes:
        return self._note_file(path, lambda: super(Recorder, self).read(path))

    def read_sysctl(self, name: str) -> bytes:
        return self._note_file(f"{self.procfs}/sys/net/{name}", lambda: super(Recorder, self).read_sysctl(name))

    def sysctl(self, name: str | tuple[int, ...]) -> bytes:
        key = name if isinstance(name, str) else ".".join(map(str, name))
        try:
            value = super().sysctl(name)
        except OSError as error:
            self.sysctls[key] = {"errno": error.errno}
            raise
        self.sysctls[key] = {"hex": value.hex()}
        return value

    def run(self, *command: str) -> bytes:
        from recorded import command_file

        try:
            output = super().run(*command)
        except OSError as error:
            self.failures.append(f"{command_file(*command)}: {error}")
            raise
        self.commands[command_file(*command)] = output
        return output

    def sock_diag(self, request: bytes) -> Generator[bytes, None, None]:
        from recorded import sock_diag_key

        datagrams = self.replies[sock_diag_key(request)[0]] = []
        for datagram in super().sock_diag(request):
            datagrams.append(datagram)
            yield datagram

    def _note_file(self, path: str, read: Callable[[], bytes]) -> bytes:
        try:
            content = read()
        except PermissionError:
            self.denied.append(path)
            raise
        self.files[path] = content
        return content


class Names:
    """Replacements for names and addresses, the same one for the same original."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def name(self, kind: str, original: str | None) -> str | None:
        if original is None or (kind, original) == ("user", "root"):
            return original
        number = 1 + sum(known == kind for known, _ in self._known)
        return self._known.setdefault((kind, original), f"{kind}{number}")

    def address(self, text: str) -> str:
        """Return an address of the same kind in a range that no real machine uses."""
        if not text or text in _KEPT:
            return text
        address = ipaddress.ip_address(text)
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            return f"::ffff:{self.address(str(mapped))}"
        kind = "loopback" if address.is_loopback else "link" if address.is_link_local else f"ipv{address.version}"
        key = (f"{kind}-{address.version}", text)
        number = 1 + sum(known == key[0] for known, _ in self._known)
        return self._known.setdefault(key, str(ipaddress.ip_address(_RANGES[kind, address.version]) + number))

    def packed(self, original: bytes) -> bytes:
        return ipaddress.ip_address(self.address(str(ipaddress.ip_address(original)))).packed


# --- tables of sockets -----------------------------------------------------------------------------------------------


def replace_proc_net(text: str, names: Names) -> str:
    """Return a table of /proc/net with other addresses, and without the addresses of kernel structures."""

    def end(match: re.Match[str]) -> str:
        # 32-bit numbers in native byte order.
        words = [int(match[1][start : start + 8], 16) for start in range(0, len(match[1]), 8)]
        packed = names.packed(struct.pack(f"={len(words)}I", *words))
        return "".join(f"{word:08X}" for word in struct.unpack(f"={len(words)}I", packed)) + match[2]

    text = re.sub(r"\b([0-9A-F]{32}|[0-9A-F]{8})(:[0-9A-F]{4} )", end, text)
    return re.sub(r"\b[0-9a-f]{16}\b", "0" * 16, text)


def replace_pcblist(value: bytes, names: Names) -> bytes:
    """Return a table of macOS with other addresses, and without the addresses of kernel structures."""
    content = bytearray(value)
    position = 24
    while position + 8 <= len(content):
        length, kind = struct.unpack_from("<II", content, position)
        if length <= 24:
            break
        if kind == 0x10:
            is_ipv6 = content[position + 44] & 2
            for start in (position + 48, position + 64):
                part = slice(start if is_ipv6 else start + 12, start + 16)
                content[part] = _without_scope(bytes(content[part]), names)
            content[position + 8 : position + 16] = bytes(8)
            content[position + 96 : position + 100] = bytes(4)
        elif kind == 0x01:
            content[position + 8 : position + 16] = content[position + 28 : position + 36] = bytes(8)
        position += (length + 7) & ~7
    return bytes(content)


def _without_scope(packed: bytes, names: Names) -> bytes:
    """Replace an address; the kernel stores the interface of a link-local one in its third and fourth byte."""
    if packed[:2] != b"\xfe\x80":
        return names.packed(packed)
    replaced = names.packed(packed[:2] + bytes(2) + packed[4:])
    return replaced[:2] + packed[2:4] + replaced[4:]


def replace_sock_diag(datagram: bytes, names: Names) -> bytes:
    """Return a datagram of sock_diag with other addresses, without cookies, sequence numbers and further attributes."""
    content, position = bytearray(), 0
    while position < len(datagram):
        length, kind, flags = struct.unpack_from("=IHH", datagram, position)
        body = bytearray(datagram[position + 16 : position + length])
        if kind == _SOCKET_MESSAGE:
            size = {2: 4, 10: 16}[body[0]]  # AF_INET, AF_INET6 of Linux
            for start in (8, 24):
                body[start : start + size] = names.packed(bytes(body[start : start + size]))
            body[44:52] = bytes(8)
            body[72:] = _kept_attributes(bytes(body[72:]))
        content += struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body
        content += bytes(-len(content) % 4)
        position += (length + 3) & ~3
    return bytes(content)


def _kept_attributes(attributes: bytes) -> bytes:
    kept, position = b"", 0
    while position + 4 <= len(attributes):
        length, number = struct.unpack_from("=HH", attributes, position)
        end = position + ((length + 3) & ~3)
        if number in _KEPT_ATTRIBUTES:
            kept += attributes[position:end]
        position = end
    return kept


def record_pcblists(system: Recorder, names: Names) -> None:
    """Record the tables of macOS."""
    for protocol in ("tcp", "udp"):
        name = f"net.inet.{protocol}.pcblist_n"
        try:
            value, size = system.sysctl_with_size(name)
            parse_table(value, protocol, name)
        except (OSError, ParseError) as error:
            # Without a known layout the addresses in it cannot be replaced.
            system.failures.append(f"{name}: {error}")
            continue
        system.sysctls[name] = {"hex": replace_pcblist(value, names).hex(), "size": size}


def record_psutil(names: Names) -> dict[str, Any]:
    """Return the sockets that psutil shows: of the system, and of each process."""
    table = open_table()
    found: dict[str, Any] = {"system": _rows(lambda: table.sockets(("tcp", "udp")), names), "processes": {}}
    for pid in table.pids():
        rows = _rows(lambda pid=pid: table.sockets_of(pid, ("tcp", "udp")), names)
        process = table.describe(pid)
        if process is not None:
            found["processes"][str(pid)] = {
                "name": names.name("program", process.name),
                "user": names.name("user", process.user),
                "started": process.started,
                "sockets": rows,
            }
    return found


def _rows(read: Callable[[], list[SocketRow]], names: Names) -> list[list[object]] | str:
    """Return rows as lists; the error as text if psutil refuses them."""
    try:
        rows = read()
    except (OSError, ParseError) as error:
        return type(error).__name__
    return [
        [
            row.protocol,
            row.family,
            names.address(row.address),
            row.port,
            row.state,
            names.address(row.remote_address),
            row.remote_port,
            row.scope,
            row.pid,
        ]
        for row in rows
    ]


# --- the host --------------------------------------------------------------------------------------------------------


def record_settings(system: Recorder) -> None:
    """Read every setting; errors are noted by the recorder."""
    backend = backend_for(system)
    backend.port_settings(system)
    for protocol in _PROTOCOLS:
        for family in ("ipv4", "ipv6"):
            try:
                backend.ephemeral_range(system, protocol, family)
            except UnsupportedPlatformError:
                continue
            except PortrangeError as error:
                system.failures.append(str(error))


def record_linux_tables(system: Recorder, names: Names) -> None:
    from portrange._backends.linux import sockets
    from portrange._backends.linux.sock_diag import ANY_STATE, SocketFilter

    for protocol in sockets.available(system):
        for states in (frozenset({sockets.LISTENING[protocol]}), ANY_STATE):
            try:
                sockets.matching(system, SocketFilter(protocol, states))
            except PortrangeError as error:
                system.failures.append(str(error))
    for table in _LOCAL_TABLES:
        path = f"/proc/net/{table}"
        try:
            table_text = system.read(path).decode("ascii")
        except OSError as error:
            system.failures.append(f"{path}: {error.strerror}")
        else:
            system.files[path] = replace_proc_net(table_text, names).encode()


def record(directory: Path) -> list[str]:
    """Record this machine in a directory; return what could not be read."""
    system, names = Recorder(), Names()
    record_settings(system)
    if system.platform == "darwin":
        with contextlib.suppress(OSError):
            system.sysctl("kern.osrelease")
    facts: dict[str, Any] = {
        "platform": system.platform,
        "uid": system.uid,
        "console_encoding": system.console_encoding,
        "is_v6only": system.is_v6only,
    }
    sockets: dict[str, Any] | None = None
    with system.held_probes() as probes:
        facts["probes"] = {"pid": probes.pid, **probes.ports}
        if system.platform.startswith("linux"):
            record_linux_tables(system, names)
        if system.platform == "darwin":
            record_pcblists(system, names)
            facts["interfaces"] = {str(index): name for index, name in socket.if_nameindex()}
        try:
            sockets = record_psutil(names)
        except OSError as error:
            system.failures.append(str(error))
    if system.denied:
        facts["denied"] = sorted(set(system.denied))
    replies = {
        request: [replace_sock_diag(datagram, names).hex() for datagram in datagrams]
        for request, datagrams in system.replies.items()
    }
    directory.mkdir(parents=True)
    for path, content in system.files.items():
        file = directory / f"files{path}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_plain_release(content) if path.endswith("/osrelease") else content)
    for name, output in system.commands.items():
        (directory / "commands").mkdir(exist_ok=True)
        (directory / "commands" / name).write_bytes(output)
    for file_name, value in (
        ("host.json", facts),
        ("sysctl.json", system.sysctls),
        ("sock_diag.json", replies),
        ("psutil.json", sockets),
    ):
        if value:
            _write_json(directory / file_name, value)
    failures = [f"not read: {failure}" for failure in system.failures]
    origin = (
        f"recorded by tests/hosts/record.py of portrange {__version__} on {_system_name()} ({platform.machine()}),"
        f" Python {platform.python_version()}; names of users and processes, and addresses, are replaced."
    )
    (directory / "ORIGIN").write_text("\n".join([origin, *failures]) + "\n", "utf-8")
    return failures


def _system_name() -> str:
    """Return the system and its version, with a mark for Wine."""
    version = re.match(r"[0-9.]*", platform.release())
    name = f"{platform.system()} {version[0] if version else ''}"
    if sys.platform == "win32":
        import ctypes

        if hasattr(ctypes.windll.ntdll, "wine_get_version"):
            return f"Wine (as {name})"
    return name


def _plain_release(content: bytes) -> bytes:
    """Return the version of a Linux kernel without the name of its build, except Microsoft's, which marks WSL."""
    return content if b"icrosoft" in content else re.sub(rb"^([\d.]+).*", rb"\1", content)


def _write_json(path: Path, value: object) -> None:
    text = json.dumps(value, indent=1)
    # One line for each row of numbers and names.
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text)
    path.write_text(text + "\n", "utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", help="the system and its version, such as darwin-25.1 or freebsd-14.3")
    name = parser.parse_args(arguments).name
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        parser.error(f"NAME consists of lower-case letters, digits, hyphens and periods, not {name!r}")
    directory = HOSTS / name
    if directory.exists():
        parser.error(f"tests/hosts/{name} exists: use another NAME, or remove it")
    for failure in record(directory):
        print(failure)
    print(f"recorded in tests/hosts/{name}: read the files before you publish them")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
