"""Read the port settings of a system, from one reader function per setting.

A reader takes a system, a protocol and an address family, and returns a value and its source. It raises `SourceError`
if the source cannot be read, `ParseError` if its contents are not in the documented format.
"""

from __future__ import annotations

from itertools import chain

from .._answers.ephemeral import DOCUMENTED_DEFAULT, EphemeralRange, PortSettings
from .._answers.span import HIGHEST_PORT, Span, merge
from .._errors import ParseError, SourceError, UnsupportedPlatformError
from .._frozen import Frozen
from .._lazy import import_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias, TypeVar

    from .._answers.address import FamilyName, ProtocolName
    from .._answers.span import Spans
    from .._host.system import System

    T = TypeVar("T")
    Reader: TypeAlias = Callable[[System, ProtocolName, FamilyName], tuple[T, str]]
    #: A protocol and an address family.
    Key: TypeAlias = tuple[ProtocolName, FamilyName]

#: The protocols and families for which a system has separate settings. Protocols other than TCP and UDP are left out
#: of `PortSettings`: they share these settings, or are rare.
TOGETHER: tuple[Key, ...] = (("tcp", "ipv4"),)
BY_PROTOCOL: tuple[Key, ...] = (("tcp", "ipv4"), ("udp", "ipv4"))
BY_FAMILY: tuple[Key, ...] = (("tcp", "ipv4"), ("tcp", "ipv6"))
BY_PROTOCOL_AND_FAMILY: tuple[Key, ...] = (*BY_PROTOCOL, ("tcp", "ipv6"), ("udp", "ipv6"))


def read_from(source: str, read: Callable[[], T]) -> tuple[T, str]:
    """Return ``read()`` and its source; an `OSError` becomes a `SourceError` that names the source."""
    try:
        return read(), source
    except SourceError:
        raise
    except OSError as error:
        raise SourceError.from_os_error(source, error) from error


def always(value: T, source: str = "") -> Reader[T]:
    """Return a reader of a value that is the same on every machine; *source* is the documentation, empty for none."""
    return lambda _system, _protocol, _family: (value, source)


def range_between(first: int, second: int, source: str, text: str | None = None) -> Span:
    """Return the range between two ports in any order: some systems allocate downwards, from the higher port.

    Raises `ParseError` with *text*, or the two numbers, if they are not ports from 1 to 65535.
    """
    low, high = sorted((first, second))
    if low > 0 and high <= HIGHEST_PORT:
        return Span(low, high)
    raise ParseError(source, f"ports from 1 to {HIGHEST_PORT}", f"{first} and {second}" if text is None else text)


def below(first_unprivileged: int) -> Spans:
    """Return the ports from 1 to *first_unprivileged* - 1. A bind to port 0 asks for any port."""
    return (Span(1, first_unprivileged - 1),) if first_unprivileged > 1 else ()


class SettingsReader(Frozen):
    """Reads the port settings of one operating system."""

    platform: str
    """The operating system, as results name it."""
    protocols: tuple[str, ...]
    """The protocols for which the system allocates ports automatically."""
    apart: tuple[Key, ...]
    """The protocols and families with separate settings: one of the constants of this module."""
    default: Callable[[System], Span]
    """Returns the documented default range, for a range that cannot be read."""
    bounds: Reader[Span]
    """Reads the first and last port of the ephemeral range."""
    reserved: Reader[Spans]
    """Reads `PortSettings.reserved`, of one protocol and family."""
    excluded: Reader[Spans]
    """Reads `PortSettings.excluded`, of one protocol and family."""
    privileged: Reader[Spans]
    """Reads `PortSettings.privileged`, of one protocol and family."""

    def ephemeral_range(self, system: System, protocol: ProtocolName, family: FamilyName) -> EphemeralRange:
        """Return the ephemeral range of a protocol and family.

        If it cannot be read, the documented default is returned with `assumed`. Raises `UnsupportedPlatformError` for
        a protocol without an ephemeral range, `ParseError` for a setting in another format.
        """
        if protocol not in self.protocols:
            with import_lock:
                from .._render.strings import joined
            raise UnsupportedPlatformError(
                f"{self.platform} has no ephemeral range for {protocol}: use {joined(self.protocols, 'or')}"
            )
        system = self._read_once(system)
        assumed = False
        try:
            ports, source = self.bounds(system, protocol, family)
        except OSError:
            ports, source, assumed = self.default(system), DOCUMENTED_DEFAULT, True
        never_allocated: list[Spans] = []
        for read in (self.reserved, self.excluded):
            try:
                never_allocated.append(read(system, protocol, family)[0])
            except OSError:
                assumed = True
        return EphemeralRange(ports.first, ports.last, protocol, family, _merged(never_allocated), source, assumed)

    def port_settings(self, system: System) -> PortSettings:
        """Return all settings of all protocols and families; those that cannot be read are None, see `incomplete`."""
        return system.cached("settings", self._read_all, system)

    def _read_once(self, system: System) -> System:
        """Return *system*, or a snapshot where settings of several protocols or families share a source."""
        return system if self.apart is TOGETHER else system.snapshot()

    def _read_all(self, system: System) -> PortSettings:
        collector = _Collector(self._read_once(system), self.apart)
        ranges = collector.collect("pools", self.bounds)
        reserved = collector.collect("reserved", self.reserved)
        excluded = collector.collect("excluded", self.excluded)
        privileged = collector.collect("privileged", self.privileged)
        assumed = reserved is None or excluded is None
        pools: list[EphemeralRange] = []
        for (protocol, family), (ports, source) in (ranges or {}).items():
            never_allocated = _merged(values[protocol, family][0] for values in (reserved, excluded) if values)
            pools.append(EphemeralRange(ports.first, ports.last, protocol, family, never_allocated, source, assumed))
        return PortSettings(
            platform=self.platform,
            pools=None if ranges is None else tuple(pools),
            reserved=_union(reserved),
            excluded=_union(excluded),
            privileged=_union(privileged),
            sources=tuple(collector.sources),
            incomplete=tuple(collector.incomplete),
        )


class _Collector:
    """Reads settings for several protocols and families, and collects sources and failures without repetition."""

    def __init__(self, system: System, apart: tuple[Key, ...]) -> None:
        self.system = system
        self.apart = apart
        self.sources: dict[tuple[str, str], None] = {}
        self.incomplete: dict[str, None] = {}

    def collect(self, fact: str, read: Reader[T]) -> dict[Key, tuple[T, str]] | None:
        """Return a setting by protocol and family; None if any of them cannot be read."""
        collected: dict[Key, tuple[T, str]] = {}
        complete = True
        for protocol, family in self.apart:
            try:
                collected[protocol, family] = read(self.system, protocol, family)
            except (ParseError, SourceError) as error:
                self.incomplete[str(error)] = None
                complete = False
        if not complete:
            return None
        self.sources |= {(fact, source): None for _, source in collected.values() if source}
        return collected


def _union(values: dict[Key, tuple[Spans, str]] | None) -> Spans | None:
    return None if values is None else _merged(spans for spans, _ in values.values())


def _merged(values: Iterable[Spans]) -> Spans:
    """Return the ports in any of the values. Usually only one is not empty, and `classify` reads settings per port."""
    filled = [spans for spans in values if spans]
    return merge(chain.from_iterable(filled)) if len(filled) > 1 else filled[0] if filled else ()
