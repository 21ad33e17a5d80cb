"""The ephemeral port range of an operating system, and its other settings for port numbers."""

from __future__ import annotations

from operator import index

from .._lazy import import_lock
from .record import Record
from .span import Span, contains, listed, overlap, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Literal, TypeAlias

    from .address import FamilyName, ProtocolName
    from .span import Spans

    SettingName: TypeAlias = Literal["pools", "reserved", "excluded", "privileged"]

#: The source of an ephemeral range where the documented default replaces a setting that could not be read.
DOCUMENTED_DEFAULT = "documented default"
#: The lowest and the highest port of each of IANA's bands (RFC 6335, section 6).
BAND_BOUNDS = {"system": (0, 1023), "user": (1024, 49151), "dynamic": (49152, 65535)}


class EphemeralRange(Record):
    """The ports that the operating system allocates automatically, to sockets that are not bound to a port.

    `len()`, `in` and iteration take the ports from `first` to `last` without the reserved ones.

    >>> from portrange import Span
    >>> ephemeral = EphemeralRange(32768, 60999, reserved=(Span(33000, 33009),), source="an example")
    >>> len(ephemeral), 33005 in ephemeral, 33010 in ephemeral
    (28222, False, True)
    """

    _derived = ("size",)
    _not_in_repr = frozenset({"reserved"})

    first: int
    """The lowest port."""
    last: int
    """The highest port."""
    protocol: ProtocolName = "tcp"
    """The protocol: "tcp", "udp", "sctp" or "dccp"."""
    family: FamilyName = "ipv4"
    """The address family: "ipv4" or "ipv6"."""
    reserved: Spans = ()
    """Ports that are never allocated automatically, some of which may be outside the range."""
    source: str = DOCUMENTED_DEFAULT
    """The file, command or system call that `first` and `last` were read from."""
    assumed: bool = False
    """True if a documented default replaces a setting that could not be read."""

    @property
    def size(self) -> int:
        """The number of ports that the system allocates automatically, as `len()` returns it."""
        return len(self)

    def __len__(self) -> int:
        return max(0, self.last - self.first + 1) - overlap(self.reserved, self.first, self.last)

    def __contains__(self, port: object) -> bool:
        try:
            number = index(port)  # type: ignore[arg-type]  # raises TypeError for everything else
        except TypeError:
            return False
        return self.first <= number <= self.last and not contains(self.reserved, number)

    def __iter__(self) -> Iterator[int]:
        return (port for port in range(self.first, self.last + 1) if not contains(self.reserved, port))

    def __bool__(self) -> bool:
        """Return True, even if all ports are reserved: the range itself is known."""
        return True

    def __str__(self) -> str:
        assumed = ", assumed" if self.assumed else ""
        return f"{self.first}-{self.last} ({len(self):,} ports; {self.source}{assumed})"

    def explain(self) -> str:
        """Return a short page of text: the range, the reserved ports, and the source."""
        with import_lock:
            from .._render import text

        return text.page(self._title(), range_page(self))

    def _title(self) -> str:
        return "Ephemeral range"

    def _entries(self) -> Iterable[tuple[str, object]]:
        return range_page(self).items()

    def _picture(self) -> str:
        return ports_picture([self], self.reserved)


class PortSettings(Record):
    """The settings of an operating system for port numbers.

    None means that a setting could not be read, never "no"; `incomplete` has the reasons.
    """

    platform: str
    """The operating system, such as "linux"."""
    pools: tuple[EphemeralRange, ...] | None = None
    """The distinct ephemeral ranges; several where they differ by protocol or address family."""
    reserved: Spans | None = None
    """Ports that are never allocated automatically; programs can still bind them."""
    excluded: Spans | None = None
    """Ports that no program can bind."""
    privileged: Spans | None = None
    """Ports that need a privilege to be bound."""
    sources: tuple[tuple[str, str], ...] = ()
    """Pairs of a setting ("pools", "reserved", "excluded", "privileged") and a source that it was read from."""
    incomplete: tuple[str, ...] = ()
    """Why settings are unknown, one sentence each."""

    def source(self, fact: SettingName) -> str | None:
        """Return the sources of a setting ("pools", "reserved", "excluded", "privileged"), None if there is none."""
        return ", ".join(source for name, source in self.sources if name == fact) or None

    def ephemeral(self, port: int) -> bool | None:
        """Return whether the system allocates *port* automatically; None if the settings could not be read."""
        if self.pools is None:
            return None
        if not any(pool.first <= port <= pool.last for pool in self.pools):
            return False
        if self.reserved is None:
            return None
        return any(port in pool for pool in self.pools)


def range_page(ephemeral: EphemeralRange) -> dict[str, list[str]]:
    """Return the page of an ephemeral range: labels, each with its lines."""
    nothing = "unknown: a setting could not be read" if ephemeral.assumed else "none"
    assumed = " (assumed: a setting could not be read)" if ephemeral.assumed else ""
    return {
        "Ports": [f"{ephemeral.first}-{ephemeral.last}, {len(ephemeral):,} of them allocated automatically"],
        "Reserved": [listed(ephemeral.reserved) or nothing],
        "Source": [ephemeral.source + assumed],
    }


# --- pictures --------------------------------------------------------------------------------------------------------


def ports_picture(
    pools: Sequence[EphemeralRange] | None,
    reserved: Spans | None,
    excluded: Spans | None = (),
    port: int | None = None,
) -> str:
    """Return the axis of all ports: IANA's bands, ephemeral ranges, reserved and excluded ports, and *port*."""
    with import_lock:
        from .._render import picture

    rows = [
        *(picture.Row(label, spans, picture.BLUE) for label, spans in _range_rows(pools)),
        *(picture.Row(label, spans, picture.ORANGE) for label, spans in _span_rows("reserved", reserved)),
        *(picture.Row(label, spans, picture.RED) for label, spans in _span_rows("excluded", excluded)),
    ]
    bands = [picture.Stretch(name, first, last) for name, (first, last) in BAND_BOUNDS.items()]
    ends = [end for pool in pools or () for end in (pool.first, pool.last)]
    return picture.axis(bands, rows, ends, port)


def _range_rows(pools: Iterable[EphemeralRange] | None) -> Iterator[tuple[str, Spans]]:
    """Yield label and ports of each distinct range; most systems use the same range for all protocols."""
    if pools is None:
        yield "ephemeral: unknown", ()
        return
    alike: dict[Span, list[EphemeralRange]] = {}
    for pool in pools:
        alike.setdefault(Span(pool.first, pool.last), []).append(pool)
    for span, same in alike.items():
        kinds = f" ({', '.join(f'{pool.protocol} {pool.family}' for pool in same)})" if len(alike) > 1 else ""
        yield f"ephemeral: {span}{kinds}", (span,) if span.first <= span.last else ()


def _span_rows(name: str, spans: Spans | None) -> Iterator[tuple[str, Spans]]:
    """Yield label and ports of a row for spans, if there are any."""
    if spans is None:
        yield f"{name}: unknown", ()
    elif spans:
        ports = f"{size(spans):,} ports" if size(spans) > 1 else f"port {spans[0].first}"
        yield f"{name}: {spans[0] if len(spans) == 1 else ports}", spans
