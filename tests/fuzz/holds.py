"""Properties of parsed values: each function asserts those of one kind of value."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from portrange._answers.span import Span
from portrange._backends.linux import usage
from portrange._backends.linux.procfs import Mount, Stat
from portrange._backends.linux.sock_diag import SocketRecord
from portrange._backends.linux.usage import Reuse
from portrange._backends.pcblist import KernelListeners, PcbTable
from portrange._backends.windows import Exclusions
from portrange._cli.manifests import Published, conflicts

PORTS = range(65536)


def is_bool(value: object) -> None:
    assert isinstance(value, bool)


def is_number(number: int) -> None:
    """An unsigned 64-bit integer."""
    assert isinstance(number, int)
    assert 0 <= number < 1 << 64


def is_c_int(number: int) -> None:
    assert -(1 << 31) <= number < 1 << 31


def is_port(number: int) -> None:
    assert isinstance(number, int)
    assert number in PORTS


def is_threshold(number: int) -> None:
    """A port number, or 65,536."""
    assert number in range(65537)


def are_bounds(found: tuple[int, int]) -> None:
    first, last = found
    is_port(first)
    is_port(last)
    assert first <= last


def are_spans(spans: Iterable[Span]) -> None:
    """Ascending, neither overlapping nor adjacent."""
    end = -2
    for first, last in spans:
        is_port(first)
        is_port(last)
        assert end + 1 < first <= last
        end = last


def are_exclusions(found: Exclusions) -> None:
    are_spans(found.administered)
    are_spans(found.runtime)


def is_text(text: str | None) -> None:
    """Text without surrogates, which can be encoded as UTF-8 and JSON."""
    if text is not None:
        text.encode("utf-8")


def are_texts(texts: Iterable[str]) -> None:
    for text in texts:
        is_text(text)


def are_properties(found: Mapping[str, str]) -> None:
    are_texts(found.keys())
    are_texts(found.values())
    assert all("\n" not in text for text in (*found.keys(), *found.values()))


def is_stat(stat: Stat) -> None:
    assert isinstance(stat.name, bytes)
    assert stat.state
    is_number(stat.started)


def are_mounts(found: Iterable[Mount]) -> None:
    for mount in found:
        assert all(isinstance(option, str) for option in mount.options)
        mount.point.encode("utf-8", "surrogateescape")


def are_pids(pids: Iterable[int]) -> None:
    assert all(pid > 0 for pid in pids)


def is_reuse(reuse: Reuse) -> None:
    assert reuse.loopback or not reuse.everywhere
    assert isinstance(reuse.expires, int)


def are_transports(names: tuple[str, ...]) -> None:
    assert {"tcp", "udp"} <= set(names) <= {"tcp", "udp", "sctp", "dccp"}


def are_sockets(records: Iterable[SocketRecord]) -> None:
    for record in records:
        for address in (record.local, record.remote):
            assert len(address.packed) in (4, 16)
            is_port(address.port)
            assert str(address)
        assert record.state in range(256)
        assert record.uid in range(1 << 32)
        is_number(record.inode)
        assert record.dual_stack in (True, False, None)


def is_pcb_table(table: PcbTable) -> None:
    """Every socket has values that the kernel writes."""
    assert len(table.pcbs) <= table.groups
    for pcb in table.pcbs:
        is_port(pcb.port)
        is_port(pcb.remote_port)
        assert len(pcb.address) == 16
        assert pcb.versions in (1, 2, 3)
        is_c_int(pcb.state)
        assert pcb.last_pid in range(1 << 31)
        assert pcb.uid in range(1 << 32)


def are_kernel_listeners(found: KernelListeners) -> None:
    """Listeners come only from a table that is used; every other table has a reason."""
    assert len(found.complete) + len(found.problems) == 2
    unused = {reason.split()[1].split(".")[2] for reason in found.problems if "is not used" in reason}
    for listener in found.listeners:
        assert listener.protocol not in unused
        assert listener.port
        is_port(listener.port)
        assert isinstance(ip_address(listener.address), IPv4Address if listener.family == "ipv4" else IPv6Address)
        assert (listener.address, listener.port) != ("127.0.0.1", 60001 if listener.protocol == "tcp" else 60002)


def are_counted(found: tuple[list[SocketRecord], usage.Tables, usage.Tables]) -> None:
    """Counts from bytes equal the counts of the listed sockets, by the low four bits of their states."""
    records, unconnected, connected = found
    expected = [0] * 16
    for record in records:
        expected[record.state % 16] += 1
    for tables in (unconnected, connected):
        assert _columns(tables, accepted=True)[usage.FIRST_STATE :] == expected[usage.FIRST_STATE :]
    before = _columns(connected, accepted=False)
    usage.move_mapped(connected)
    assert _columns(connected, accepted=False) == before


def _columns(tables: usage.Tables, *, accepted: bool) -> list[int]:
    """Return the number of sockets in each state, over all destinations."""
    rows = [counts for table in tables.values() for counts, _ in table.values()]
    if accepted:
        rows += [table.accepted[0] for table in tables.values()]
    return [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * 16


def are_modules(texts: tuple[str, str]) -> None:
    """Generated modules are a docstring and one string constant, whatever the registry contains."""
    for text in texts:
        docstring, assignment = ast.parse(text).body
        assert isinstance(docstring, ast.Expr)
        assert isinstance(assignment, ast.Assign)
        assert isinstance(ast.literal_eval(docstring.value), str)
        assert isinstance(ast.literal_eval(assignment.value), str)


def is_one_line_or_nothing(found: tuple[int, str]) -> None:
    """Status 0 without errors, or status 2 and one line without control characters."""
    status, errors = found
    if status == 0:
        assert errors == ""
    else:
        assert status == 2
        assert errors.endswith("\n")
        assert errors[:-1].isprintable()


def are_published(found: list[Published]) -> None:
    """At most as many ports as numbers exist for each entry, each with its origin."""
    for published in found:
        assert published.port in range(1, 65536)
        assert published.protocol == published.protocol.lower()
        assert isinstance(published.origin, str)
    assert all(texts for texts in conflicts(found).values())
