"""Fuzzing harnesses: one table of parsers, with the properties of their results and examples of real input.

A parser returns a value that satisfies `holds` or raises one of `refuses`. Anything else is a defect.
Input is decoded as the reader of the source does it, or more leniently.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import Any, NamedTuple

from fakes import SystemHost
from fuzz import holds, seeds
from fuzz.seeds import SEQUENCE, recorded
from pcblist_tables import PID, PROBE_PORTS, UID
from registry import generate as generator

from portrange import ParseError
from portrange._backends import aix, pcblist, sunos, sysctl, windows
from portrange._backends.linux import cgroup, members, procfs, settings, sock_diag, sockets, usage
from portrange._backends.linux.sock_diag import SocketRecord
from portrange._cli import choose, manifests
from portrange._cli.inputs import parse_target
from portrange._cli.options import plain
from portrange._cli.output import load
from portrange._cli.parser import parse
from portrange._host.binding import HeldProbes
from portrange._render.strings import decode, visible

SOURCE = "the source"
_LONGEST_REFUSAL = 2000


class Harness(NamedTuple):
    """One parser: `parse` takes any bytes, `holds` asserts the properties of every value."""

    parse: Callable[[bytes], Any]
    holds: Callable[[Any], None]
    seeds: tuple[bytes, ...]
    refuses: tuple[type[Exception], ...] = (ParseError,)


def run(name: str, data: bytes) -> None:
    """Parse *data*; raise unless the result is a valid value or an allowed error."""
    harness = HARNESSES[name]
    try:
        value = harness.parse(data)
    except harness.refuses as error:
        # Messages quote only the beginning of the rejected text.
        assert not isinstance(error, ParseError) or len(str(error)) < _LONGEST_REFUSAL
    else:
        harness.holds(value)


# --- sock_diag ------------------------------------------------------------------------------------------------------

_DUMP = (ParseError, OSError, sock_diag.DumpInterruptedError)
_ALL_PORTS = b"\1" * 65536


def _one_unconnected() -> usage.Tables:
    """Return tables with one unconnected IPv4 socket on all addresses; sockets with its port count as accepted."""
    tables = usage.Tables()
    tables[usage.AF_INET].at(bytes(20))[8080] = 1
    return tables


_ONE_UNCONNECTED = _one_unconnected()


def datagrams(data: bytes) -> list[bytes]:
    """Split all but the first byte into datagrams; the first byte is their size in units of 4 bytes, 0 for no split."""
    size = data[0] * 4 if data else 0
    rest = data[1:]
    return [rest[start : start + size] for start in range(0, len(rest), size)] if size else [rest]


def list_sockets(data: bytes) -> list[SocketRecord]:
    return sock_diag.records(datagrams(data), SEQUENCE, "tcp")[0]


def count_sockets(data: bytes) -> tuple[list[SocketRecord], usage.Tables, usage.Tables]:
    """Pass a reply to all three readers. Listing must reject what counting rejects."""
    reply = datagrams(data)
    try:
        unconnected = usage.count_unconnected(reply, SEQUENCE, _ALL_PORTS)
        connected = usage.count_connected(reply, SEQUENCE, _ALL_PORTS, _ONE_UNCONNECTED, 59_000)
    except _DUMP:
        listed = list_sockets(data)
        raise AssertionError(f"counting rejects sockets that can be listed: {listed}") from None
    return list_sockets(data), unconnected, connected


# --- sources without a separate parser ------------------------------------------------------------------------------


class UniformHost(SystemHost):
    """A fake host on which every file has the same content."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def read(self, path: str) -> bytes:
        return self.content

    def read_sysctl(self, name: str) -> bytes:
        return self.content


class UniformMac(SystemHost):
    """A fake Mac on which every sysctl has the same value, with the probe sockets of the hand-made tables."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    @property
    def uid(self) -> int | None:
        return UID

    def sysctl(self, name: str | tuple[int, ...]) -> bytes:
        return b"24.6.0\0"

    def sysctl_with_size(self, name: str) -> tuple[bytes, int]:
        return self.content, len(self.content)

    @contextmanager
    def held_probes(self) -> Iterator[HeldProbes]:
        yield HeldProbes(PID, PROBE_PORTS)


def generate(data: bytes) -> tuple[str, str]:
    return generator.table_module(data), generator.date_module(data)


def parse_arguments(data: bytes) -> tuple[int, str]:
    """Parse a command line and return the exit status (0 if it is valid) and the error output. No query runs."""
    arguments = [argument.decode("utf-8", "surrogateescape") for argument in data.split(b"\0")]
    name, word, rest = choose(arguments)
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        try:
            parsed = plain(load(word).arguments, rest) or parse(name, word, rest, "1.0")
            for argument in getattr(parsed, "ports", ()):
                parse_target(argument)
        except ValueError as error:
            return 2, f"{name}: {visible(str(error))}\n"
        except SystemExit as ended:
            assert isinstance(ended.code, int)
            return ended.code, errors.getvalue()
    return 0, errors.getvalue()


# --- the table ------------------------------------------------------------------------------------------------------


def text(parse: Callable[[str, str], Any], errors: str = "backslashreplace") -> Callable[[bytes], Any]:
    """Return a parser of bytes for a parser of text with a source."""
    return lambda data: parse(data.decode("utf-8", errors), SOURCE)


def sockets_of(parse: Callable[[str, str], Any]) -> Callable[[bytes], Any]:
    """Return a parser of bytes for a parser that yields the sockets of a table."""
    return text(lambda content, source: list(parse(content, source)))


def _low(content: str, source: str) -> int:
    return aix.parse_tunable(content, "tcp_ephemeral_low", source)


#: Harnesses by name, which is also the name of the directory of inputs in the corpus.
HARNESSES: dict[str, Harness] = {
    "sock_diag": Harness(list_sockets, holds.are_sockets, seeds.replies("="), _DUMP),
    "counting": Harness(count_sockets, holds.are_counted, seeds.replies("="), _DUMP),
    "proc-net": Harness(
        sockets_of(partial(sockets.parse_table, protocol="tcp")), holds.are_sockets, (seeds.TCP, seeds.TCP6)
    ),
    "proc-net-sctp": Harness(
        sockets_of(sockets.parse_sctp_table), holds.are_sockets, (seeds.SCTP_ENDPOINTS, seeds.SCTP_ASSOCIATIONS)
    ),
    "proc-net-protocols": Harness(
        lambda data: sockets.available(UniformHost(data)), holds.are_transports, (seeds.PROTOCOLS,), ()
    ),
    "manifest": Harness(
        lambda data: manifests.parse_published(data, SOURCE), holds.are_published, seeds.MANIFESTS, (ValueError,)
    ),
    "proc-stat": Harness(text(procfs.parse_boot_time), holds.is_number, (seeds.BOOT_TIME,)),
    "pid-stat": Harness(lambda data: procfs.parse_stat(data, SOURCE), holds.is_stat, (seeds.PID_STAT,)),
    "pid-status": Harness(text(procfs.parse_uid), holds.is_number, (seeds.PID_STATUS,)),
    "pid-status-nspid": Harness(
        lambda data: procfs.shares_pid_namespace(UniformHost(data)), holds.is_bool, (seeds.PID_STATUS,), ()
    ),
    "pid-status-capabilities": Harness(text(procfs.parse_capabilities), holds.is_number, (seeds.PID_STATUS,)),
    "pid-uid-map": Harness(text(procfs.parse_uid_map), holds.is_number, seeds.UID_MAPS),
    "pid-cgroup": Harness(text(cgroup.parse_memberships), holds.is_text, seeds.MEMBERSHIPS),
    "pid-cmdline": Harness(procfs.parse_cmdline, holds.are_texts, seeds.CMDLINES, ()),
    "mountinfo": Harness(text(procfs.parse_mounts, "surrogateescape"), holds.are_mounts, (seeds.MOUNTINFO,)),
    "cgroup-unit": Harness(lambda data: cgroup.unit(decode(data)), holds.is_text, seeds.CGROUPS, ()),
    "cgroup-container": Harness(lambda data: cgroup.container(decode(data)), holds.is_text, seeds.CGROUPS, ()),
    "cgroup-procs": Harness(
        lambda data: [pid for pid in members.read_pids(UniformHost(data), "/g") if pid],
        holds.are_pids,
        (b"1\n4711\n0\n",),
        (),
    ),
    "linux-range": Harness(text(settings.parse_range), holds.are_bounds, recorded("linux*/**/ip_local_port_range")),
    "linux-reserved": Harness(
        text(settings.parse_reserved), holds.are_spans, recorded("linux*/**/ip_local_reserved_ports")
    ),
    "linux-start": Harness(
        text(settings.parse_unprivileged_start), holds.is_threshold, recorded("linux*/**/ip_unprivileged_port_start")
    ),
    "linux-time-wait": Harness(
        lambda data: usage.Reuse.of(UniformHost(data)), holds.is_reuse, (b"1\n", b"2\n", b"1000\n"), ()
    ),
    "linux-release": Harness(
        lambda data: usage._lists_bound(UniformHost(data)), holds.is_bool, recorded("linux*/**/osrelease"), ()
    ),
    "netsh-range": Harness(
        text(windows.parse_dynamic_ports), holds.are_bounds, recorded("win32*/commands/*dynamicport*")
    ),
    "netsh-excluded": Harness(
        text(windows.parse_exclusions), holds.are_exclusions, recorded("win32*/commands/*excludedportrange*")
    ),
    "sysctl-number": Harness(
        lambda data: sysctl.parse_number(data, SOURCE), holds.is_c_int, (b"\0\xc0\0\0", b"\xff" * 4)
    ),
    "sysctl-ports": Harness(
        lambda data: sysctl.parse_ports(data, SOURCE), holds.are_spans, (bytes(8191) + b"\1", b"\5" * 8192)
    ),
    "pcblist-tcp": Harness(
        lambda data: pcblist.parse_table(data, "tcp", SOURCE), holds.is_pcb_table, seeds.socket_tables("tcp")
    ),
    "pcblist-udp": Harness(
        lambda data: pcblist.parse_table(data, "udp", SOURCE), holds.is_pcb_table, seeds.socket_tables("udp")
    ),
    "pcblist-listeners": Harness(
        lambda data: pcblist.read_listeners(UniformMac(data), ("tcp", "udp")),
        holds.are_kernel_listeners,
        (*seeds.socket_tables("tcp"), *seeds.socket_tables("udp")),
        (),
    ),
    "ipadm": Harness(text(sunos.parse_properties), holds.are_properties, recorded("sunos*/commands/ipadm*")),
    "ndd-port": Harness(text(sunos.parse_port), holds.is_threshold, recorded("sunos*/commands/ndd*port.txt")),
    "ndd-ports": Harness(text(sunos.parse_ports), holds.are_spans, recorded("sunos*/commands/ndd*ports.txt")),
    "no-tunable": Harness(text(_low), holds.is_number, recorded("aix*/commands/no*")),
    "registry-csv": Harness(generate, holds.are_modules, seeds.registries(), (generator.UnexpectedRegistryError,)),
    "arguments": Harness(parse_arguments, holds.is_one_line_or_nothing, seeds.COMMAND_LINES, ()),
}
