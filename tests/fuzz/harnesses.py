"""What is fuzzed: one table of parsers, what each may answer to any bytes, and how its input really looks.

A parser gives a value that fulfils what `holds` asserts, or raises one of `refuses`. Anything else is a defect.
Input is decoded as whoever reads the source does, or in a way that lets more through.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from typing import Any, NamedTuple

from fuzz import holds, seeds
from fuzz.seeds import SEQUENCE, recorded
from registry import generate as generator

from portrange import Host, ParseError
from portrange._backends import aix, sunos, sysctl, windows
from portrange._backends.linux import (
    cgroup,
    counting,
    mounts,
    proc_net,
    processes,
    settings,
    sock_diag,
    sockets,
    time_wait,
    usage,
    users,
)
from portrange._backends.linux.socket_record import SocketRecord
from portrange._cli.choose import choose
from portrange._cli.parser import parser_for

SOURCE = "the source"
_LONGEST_REFUSAL = 2000


class Harness(NamedTuple):
    """One parser: `parse` takes any bytes, `holds` asserts what every value must fulfil."""

    parse: Callable[[bytes], Any]
    holds: Callable[[Any], None]
    seeds: tuple[bytes, ...]
    refuses: tuple[type[Exception], ...] = (ParseError,)


def run(name: str, data: bytes) -> None:
    """Parse some bytes and check what comes of it; raises where that is neither a value nor an allowed refusal."""
    harness = HARNESSES[name]
    try:
        value = harness.parse(data)
    except harness.refuses as error:
        # What users get to see repeats no more than the beginning of what was found.
        assert not isinstance(error, ParseError) or len(str(error)) < _LONGEST_REFUSAL
    else:
        harness.holds(value)


# --- sock_diag ------------------------------------------------------------------------------------------------------

_DUMP = (ParseError, OSError, sock_diag.DumpInterruptedError)
_ALL_PORTS = b"\1" * 65536


def _one_waiting() -> counting.Tables:
    """A socket that waits for IPv4 on all addresses: what others have with its port is beside it."""
    tables = counting.Tables()
    tables[counting.AF_INET].at(bytes(20))[8080] = 1
    return tables


_ONE_WAITING = _one_waiting()


def datagrams(data: bytes) -> list[bytes]:
    """The first byte says how the rest is cut into datagrams; 0 leaves it whole."""
    size = data[0] * 4 if data else 0
    rest = data[1:]
    return [rest[start : start + size] for start in range(0, len(rest), size)] if size else [rest]


def list_sockets(order: str, data: bytes) -> list[SocketRecord]:
    return list(sock_diag.records(datagrams(data), "tcp", SEQUENCE, order))


def count_sockets(data: bytes) -> tuple[list[SocketRecord], counting.Tables, counting.Tables]:
    """The same reply through all three readers. What counting refuses, listing must refuse as well."""
    reply = datagrams(data)
    try:
        waiting = counting.count_waiting(reply, SEQUENCE, _ALL_PORTS)
        connected = counting.count_connected(reply, SEQUENCE, _ALL_PORTS, _ONE_WAITING, 59_000)
    except _DUMP:
        listed = list_sockets(sock_diag.NATIVE, data)
        raise AssertionError(f"counting refuses what is listed: {listed}") from None
    return list_sockets(sock_diag.NATIVE, data), waiting, connected


# --- what has no parser of its own ----------------------------------------------------------------------------------


class Saying(Host):
    """A machine on which every file says the same."""

    def __init__(self, said: bytes) -> None:
        super().__init__()
        self.said = said

    def read(self, path: str) -> bytes:
        return self.said

    def read_sysctl(self, name: str) -> bytes:
        return self.said


def generate(data: bytes) -> tuple[str, str]:
    return generator.table_module(data), generator.date_module(data)


def parse_arguments(data: bytes) -> tuple[int, str]:
    """The exit status of a command line and what was said; 0 where it was understood. Nothing is asked."""
    arguments = [argument.decode("utf-8", "surrogateescape") for argument in data.split(b"\0")]
    name, command, rest = choose(arguments)
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        try:
            parser_for(name, command, "1.0").parse_args(rest)
        except SystemExit as ended:
            assert isinstance(ended.code, int)
            return ended.code, errors.getvalue()
    return 0, errors.getvalue()


# --- the table ------------------------------------------------------------------------------------------------------


def text(parse: Callable[[str, str], Any], errors: str = "backslashreplace") -> Callable[[bytes], Any]:
    """A parser of text, told its source."""
    return lambda data: parse(data.decode("utf-8", errors), SOURCE)


def sockets_of(parse: Callable[[str, str], Any]) -> Callable[[bytes], Any]:
    """A parser of a table, whose sockets come one by one."""
    return text(lambda content, source: list(parse(content, source)))


def _low(content: str, source: str) -> int:
    return aix.parse_tunable(content, "tcp_ephemeral_low", source)


#: By a name that is also the name of a directory of inputs. The fields are those of `Harness`.
HARNESSES: dict[str, Harness] = {
    "sock_diag-little": Harness(partial(list_sockets, "<"), holds.are_sockets, seeds.replies("<"), _DUMP),
    "sock_diag-big": Harness(partial(list_sockets, ">"), holds.are_sockets, seeds.replies(">"), _DUMP),
    "counting": Harness(count_sockets, holds.are_counted, seeds.replies("="), _DUMP),
    "proc-net": Harness(sockets_of(proc_net.PARSERS["tcp"]), holds.are_sockets, (seeds.TCP, seeds.TCP6)),
    "proc-net-sctp": Harness(sockets_of(proc_net.PARSERS["sctp"]), holds.are_sockets, (seeds.SCTP_ENDPOINTS,)),
    "proc-net-protocols": Harness(
        lambda data: sockets.present(Saying(data)), holds.are_transports, (seeds.PROTOCOLS,), ()
    ),
    "proc-stat": Harness(text(processes.parse_boot_time), holds.is_number, (seeds.BOOT_TIME,)),
    "pid-stat": Harness(lambda data: processes.parse_stat(data, SOURCE), holds.is_stat, (seeds.PID_STAT,)),
    "pid-status": Harness(text(processes.parse_uid), holds.is_number, (seeds.PID_STATUS,)),
    "pid-status-nspid": Harness(
        lambda data: processes.counts_as_caller(Saying(data)), holds.is_bool, (seeds.PID_STATUS,), ()
    ),
    "pid-status-capabilities": Harness(text(processes.parse_capabilities), holds.is_number, (seeds.PID_STATUS,)),
    "pid-uid-map": Harness(text(users.parse_uid_map), holds.is_number, seeds.UID_MAPS),
    "pid-cgroup": Harness(text(cgroup.parse_memberships), holds.is_text, seeds.MEMBERSHIPS),
    "pid-cmdline": Harness(processes.parse_cmdline, holds.are_texts, seeds.CMDLINES, ()),
    "mountinfo": Harness(text(mounts.parse_mounts, "surrogateescape"), holds.are_mounts, (seeds.MOUNTINFO,)),
    "cgroup-unit": Harness(lambda data: cgroup.unit(processes.decode(data)), holds.is_text, seeds.CGROUPS, ()),
    "cgroup-container": Harness(
        lambda data: cgroup.container(processes.decode(data)), holds.is_text, seeds.CGROUPS, ()
    ),
    "cgroup-procs": Harness(
        lambda data: cgroup.processes(Saying(data), cgroup.Cgroup("/g", "/g")), holds.are_pids, (b"1\n4711\n0\n",), ()
    ),
    "linux-range": Harness(text(settings.parse_range), holds.is_pool, recorded("linux*/**/ip_local_port_range")),
    "linux-reserved": Harness(
        text(settings.parse_reserved), holds.are_spans, recorded("linux*/**/ip_local_reserved_ports")
    ),
    "linux-start": Harness(
        text(settings.parse_unprivileged_start), holds.is_threshold, recorded("linux*/**/ip_unprivileged_port_start")
    ),
    "linux-time-wait": Harness(
        lambda data: time_wait.Reuse.of(Saying(data)), holds.is_reuse, (b"1\n", b"2\n", b"1000\n"), ()
    ),
    "linux-release": Harness(
        lambda data: usage._lists_bound(Saying(data)), holds.is_bool, recorded("linux*/**/osrelease"), ()
    ),
    "netsh-pool": Harness(text(windows.parse_dynamic_ports), holds.is_pool, recorded("win32*/commands/*dynamicport*")),
    "netsh-excluded": Harness(
        text(windows.parse_exclusions), holds.are_exclusions, recorded("win32*/commands/*excludedportrange*")
    ),
    "sysctl-number": Harness(
        lambda data: sysctl.parse_number(data, SOURCE, "little"), holds.is_c_int, (b"\0\xc0\0\0", b"\xff" * 4)
    ),
    "sysctl-ports": Harness(
        lambda data: sysctl.parse_ports(data, SOURCE, "little"), holds.are_spans, (bytes(8191) + b"\1", b"\5" * 8192)
    ),
    "ipadm": Harness(text(sunos.parse_properties), holds.are_properties, recorded("sunos*/commands/ipadm*")),
    "ndd-port": Harness(text(sunos.parse_port), holds.is_threshold, recorded("sunos*/commands/ndd*port.txt")),
    "ndd-ports": Harness(text(sunos.parse_ports), holds.are_spans, recorded("sunos*/commands/ndd*ports.txt")),
    "no-tunable": Harness(text(_low), holds.is_number, recorded("aix*/commands/no*")),
    "registry-csv": Harness(generate, holds.are_modules, seeds.registries(), (generator.UnexpectedRegistryError,)),
    "arguments": Harness(parse_arguments, holds.is_one_line_or_nothing, seeds.COMMAND_LINES, ()),
}
