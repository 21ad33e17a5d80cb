"""One way to read what a system does with port numbers; each backend says only where its settings stand.

A fact is read by a function of host, protocol and family that gives a `Found`, or raises `SourceError` (the source
cannot be read) or `ParseError` (it holds something else than is documented).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from .._answers.number import HIGHEST_PORT
from .._answers.pool import DOCUMENTED_DEFAULT, EphemeralRange, PortSettings
from .._answers.span import Span, Spans, merge
from .._errors import ParseError, SourceError, UnsupportedPlatformError
from .._host import Host

T = TypeVar("T")

#: What systems keep settings apart for, as protocol and family. Transports other than TCP and UDP are left out of what
#: is collected: they share theirs, or are rarely there.
TOGETHER = (("tcp", "ipv4"),)
BY_PROTOCOL = (("tcp", "ipv4"), ("udp", "ipv4"))
BY_FAMILY = (("tcp", "ipv4"), ("tcp", "ipv6"))
BY_PROTOCOL_AND_FAMILY = (*BY_PROTOCOL, ("tcp", "ipv6"), ("udp", "ipv6"))


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A value and where it was read; the source is empty for what holds on every machine of a system."""

    value: T
    source: str = ""


class Bounds(NamedTuple):
    """The first and the last port of a pool."""

    first: int
    last: int


Reader: TypeAlias = Callable[[Host, str, str], Found[T]]


def found_in(source: str, read: Callable[[], T]) -> Found[T]:
    """What `read` gives, with its source; its `OSError` becomes a `SourceError` that names the source."""
    try:
        return Found(read(), source)
    except SourceError:
        raise
    except OSError as error:
        raise SourceError.from_os_error(source, error) from error


def always(value: T, source: str = "") -> Reader[T]:
    """A fact that is the same on every machine of a system; `source` says who documents it."""
    return lambda _host, _protocol, _family: Found(value, source)


def bounds(one: int, other: int, source: str, text: str | None = None) -> Bounds:
    """A pool between two ports, whichever is the lower: some systems count down from the higher to the lower.

    `text` is what the numbers were found in, for the error.
    """
    first, last = sorted((one, other))
    if first > 0 and last <= HIGHEST_PORT:
        return Bounds(first, last)
    raise ParseError(source, f"ports from 1 to {HIGHEST_PORT}", f"{one} and {other}" if text is None else text)


def below(first_free: int) -> Spans:
    """The ports 1 to `first_free` - 1. Port 0 is not among them: binding it asks for any port."""
    return (Span(1, first_free - 1),) if first_free > 1 else ()


@dataclass(frozen=True, slots=True)
class SettingsReader:
    """Reads the settings of one system.

    - `protocols`: the transports that the system picks ports for.
    - `apart`: which of its settings differ, one of the constants above.
    - `default`: the documented pool, for where the setting cannot be read.
    - `bounds`, `reserved`, `excluded`, `privileged`: as in `PortSettings`, of one protocol and family.
    """

    platform: str
    protocols: tuple[str, ...]
    apart: tuple[tuple[str, str], ...]
    default: Callable[[Host], Bounds]
    bounds: Reader[Bounds]
    reserved: Reader[Spans]
    excluded: Reader[Spans]
    privileged: Reader[Spans]

    def pool(self, host: Host, protocol: str, family: str) -> EphemeralRange:
        """The pool of one protocol and family; the documented default, marked as assumed, where it is unreadable."""
        if protocol not in self.protocols:
            raise UnsupportedPlatformError(
                f"{self.platform} keeps no ephemeral range of {protocol}; ask for one of {', '.join(self.protocols)}"
            )
        picture = self._picture(host)
        assumed = False
        try:
            found = self.bounds(picture, protocol, family)
        except OSError:
            found, assumed = Found(self.default(picture), DOCUMENTED_DEFAULT), True
        set_aside: list[Spans] = []
        for reader in (self.reserved, self.excluded):
            try:
                set_aside.append(reader(picture, protocol, family).value)
            except OSError:
                assumed = True
        return EphemeralRange(*found.value, protocol, family, _joined(set_aside), found.source, assumed)

    def settings(self, host: Host) -> PortSettings:
        """All of it, protocols and families taken together; what cannot be read is None, and named in `incomplete`."""
        return host.once("settings", lambda: self._settings(self._picture(host)))

    def _picture(self, host: Host) -> Host:
        """Where settings are kept apart, several stand in one source, which is read only once for an answer."""
        return host if self.apart is TOGETHER else host.snapshot()

    def _settings(self, host: Host) -> PortSettings:
        log = _Log(host, self.apart)
        limits = log.collect("pools", self.bounds)
        reserved = log.collect("reserved", self.reserved)
        excluded = log.collect("excluded", self.excluded)
        privileged = log.collect("privileged", self.privileged)
        assumed = reserved is None or excluded is None
        pools: list[EphemeralRange] = []
        for key, found in (limits or {}).items():
            aside = _joined(facts[key].value for facts in (reserved, excluded) if facts)
            pools.append(EphemeralRange(*found.value, *key, aside, found.source, assumed))
        return PortSettings(
            platform=self.platform,
            pools=None if limits is None else tuple(pools),
            reserved=_union(reserved),
            excluded=_union(excluded),
            privileged=_union(privileged),
            sources=tuple(log.sources),
            incomplete=tuple(log.incomplete),
        )


class _Log:
    """What was read where, and what was not read, while one answer is put together; each only once."""

    def __init__(self, host: Host, apart: tuple[tuple[str, str], ...]) -> None:
        self.host = host
        self.apart = apart
        self.sources: dict[tuple[str, str], None] = {}
        self.incomplete: dict[str, None] = {}

    def collect(self, fact: str, read: Reader[T]) -> dict[tuple[str, str], Found[T]] | None:
        """A fact by protocol and family; None where one of them cannot be read, for half an answer is none."""
        collected: dict[tuple[str, str], Found[T]] = {}
        complete = True
        for key in self.apart:
            try:
                collected[key] = read(self.host, *key)
            except (ParseError, SourceError) as error:
                self.incomplete[str(error)] = None
                complete = False
        if not complete:
            return None
        self.sources |= {(fact, found.source): None for found in collected.values() if found.source}
        return collected


def _union(facts: dict[tuple[str, str], Found[Spans]] | None) -> Spans | None:
    return None if facts is None else _joined(found.value for found in facts.values())


def _joined(several: Iterable[Spans]) -> Spans:
    """The ports of all of them. Mostly there is only one that has any, and `classify` reads settings for each port."""
    filled = [spans for spans in several if spans]
    return merge(chain.from_iterable(filled)) if len(filled) > 1 else filled[0] if filled else ()
