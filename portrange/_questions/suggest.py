"""Suggest a port number for a name."""

from __future__ import annotations

from .._answers.span import Span, contains, merge, overlap, port_number
from .._backends.select import settings_of
from .._errors import PortrangeError
from .._host.host import system_of
from .._lazy import import_lock
from .._registry.facts import (
    BAD_PORTS,
    COMMON_PORTS,
    DEFAULT_RANGES,
    DEFAULT_TARGETS,
    MACOS_RESTRICTED,
    ORCHESTRATOR_RANGES,
)
from .._registry.lookup import registered
from .risks import FIRST, LAST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    from .._answers.ephemeral import PortSettings
    from .._answers.span import Spans
    from .._host.host import Host

    #: A port, a pair of the first and the last port of a range, a `range`, or the name of a system or an orchestrator.
    Avoided: TypeAlias = int | tuple[int, int] | range | str

#: The lowest prime that is not below the number of candidates, so that every step visits each of them once. The few
#: numbers above LAST are in the default range of an orchestrator and are skipped with it.
_PRIME = 18979

#: The default ranges that `avoid` knows by name.
AVOIDABLE = {
    **{ports.system: Span(ports.first, ports.last) for ports in DEFAULT_RANGES},
    **{ports.name: Span(ports.first, ports.last) for ports in ORCHESTRATOR_RANGES},
}
_ALWAYS_AVOIDED = merge(
    [AVOIDABLE[name] for name in (*DEFAULT_TARGETS, *(ports.name for ports in ORCHESTRATOR_RANGES))]
)
_REFUSED = BAD_PORTS | MACOS_RESTRICTED | COMMON_PORTS


def suggest_port(name: str, *, avoid: Iterable[Avoided] = (), host: Host | None = None) -> int:
    """Return a port number for a project, a service or a test setup of this name, always the same for a name.

    The port is not privileged (1024 or above), is outside the default ephemeral ranges of Linux, macOS and Windows and
    the default ranges of orchestrators (Kubernetes NodePort, Nomad, Docker Swarm, Mesos), is unassigned in IANA's
    registry, is not commonly used by a widespread program (`PortInfo.common_uses`), and is refused neither by browsers
    (bad ports of the Fetch standard) nor by macOS. Ports that are ephemeral, reserved, excluded or privileged on this
    host are skipped as well, so where the settings of the host can be read, `classify` finds no risk. Where they cannot
    be read, the result has the high risk "unknown", as every port above 1023 has there: the host may allocate or
    exclude it, so ``portrange check`` fails.

    The number depends only on the name, on the registry (`REGISTRY_DATE`), on the table of common uses and on `avoid`,
    so it is the same on every machine, except where the settings of a host exclude it. If they do, or if a new table
    or `avoid` does, the next candidate replaces it; the numbers of other names do not change. To get the same number
    on a fleet in which some hosts have a wider ephemeral range, pass that range in `avoid`. (OpenBSD's default range,
    1024-49151, leaves no port outside of the default ranges of Linux and macOS.)

    The port is not reserved: whether a socket uses it now makes no difference, and two names may have the same number
    (among 20 names, two do in one of 70 cases). A program that can use any free port at run time binds port 0
    instead, and reads the number:

    >>> import portrange, socket
    >>> with socket.create_server(("127.0.0.1", 0)) as server:
    ...     port = server.getsockname()[1]
    >>> port > 0
    True

    The algorithm, for other implementations: let d be the SHA-256 digest of the name in UTF-8, a the first 8 bytes of d
    and b the next 8, both as big-endian numbers. The candidates are 1024 + (a + k * s) mod 18979 for k = 0, 1, 2 and so
    on, with s = 1 + b mod 18978. The result is the first candidate that meets the conditions above.

    Each call reads the settings of the host again: for many names pass ``host=Host().snapshot()``.

    :param name: The name of the project, the service or the test setup.
    :param avoid: More ports to skip: ports, pairs of the first and the last port of a range, `range` objects, and
        names of operating systems ("freebsd") and orchestrators ("kubernetes") for their default ranges.
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `TypeError` if the name is not a string or `avoid` is not a collection of such items, `ValueError` for an
    empty name, an unknown name in `avoid` or a number outside 0-65535, `PortrangeError` if no port is left.

    >>> port = portrange.suggest_port("my-service")
    >>> port == portrange.suggest_port("my-service"), portrange.classify(port).assignment
    (True, <Assignment.UNASSIGNED: 'unassigned'>)
    """
    encoded = _encoded(name)
    avoided = merge(_spans(avoid))
    settings = settings_of(system_of(host))
    for port in _candidates(encoded):
        if (
            not contains(_ALWAYS_AVOIDED, port)
            and port not in _REFUSED
            and not contains(avoided, port)
            and registered(port).assignment == "unassigned"
            and not _unsuitable(settings, port)
        ):
            return port
    raise PortrangeError(_no_port_left(name, avoided, settings))


def _candidates(name: bytes) -> Iterator[int]:
    """Yield each port from FIRST to LAST once, and a few above, in an order that depends on the name."""
    with import_lock:
        import hashlib

    digest = hashlib.sha256(name).digest()
    offset = int.from_bytes(digest[:8], "big") % _PRIME
    step = 1 + int.from_bytes(digest[8:16], "big") % (_PRIME - 1)
    for _ in range(_PRIME):
        yield FIRST + offset
        offset = (offset + step) % _PRIME


#: The settings of a host that make a port unsuitable, with the remedy if no port is left.
_REMEDIES = {
    "ephemeral": "reduce the ephemeral range of this host",
    "reserved": "reserve fewer ports on this host",
    "excluded": "exclude fewer ports on this host",
    "privileged": "require a privilege for fewer ports on this host",
}


def _unsuitable(settings: PortSettings, port: int) -> list[str]:
    """Return why a port is known to be unsuitable on the host: keys of `_REMEDIES`."""
    spans = {"reserved": settings.reserved, "excluded": settings.excluded, "privileged": settings.privileged}
    found = [name for name, ports in spans.items() if ports is not None and contains(ports, port)]
    return ["ephemeral", *found] if settings.ephemeral(port) else found


def _no_port_left(name: str, avoided: Spans, settings: PortSettings) -> str:
    reasons = [_unsuitable(settings, port) for port in range(FIRST, LAST + 1)]
    by_host, by_argument = sum(map(bool, reasons)), overlap(avoided, FIRST, LAST)
    counts = {reason: sum(reason in found for found in reasons) for reason in _REMEDIES}
    named = ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count)
    remedies = ["avoid fewer ports"] * bool(by_argument) + [_REMEDIES[name] for name, count in counts.items() if count]
    return (
        f"no port is left for {name!r}: of the {LAST - FIRST + 1:,} candidates from {FIRST} to {LAST}, avoid excludes "
        f"{by_argument:,} and the settings of this host exclude {by_host:,}{f' ({named})' if named else ''}; "
        f"{', or '.join(remedies)}"
    )


# --- arguments -------------------------------------------------------------------------------------------------------


def _encoded(name: object) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"a name is a string, not {type(name).__name__}: {name!r}")
    if not name.strip():
        raise ValueError(f"a name is needed, such as that of a project or a service, not {name!r}")
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the name {name!r} cannot be encoded as UTF-8: {error.reason}") from None


def _spans(avoid: Iterable[Avoided | list[int]]) -> Iterator[Span]:
    """Yield the ports that `avoid` excludes."""
    if isinstance(avoid, (str, bytes)):
        raise _not_a_collection(avoid)
    try:
        items = iter(avoid)
    except TypeError:
        raise _not_a_collection(avoid) from None
    for item in items:
        if isinstance(item, str):
            yield _default_range(item)
        elif isinstance(item, range):
            yield from _range_spans(item)
        elif isinstance(item, (tuple, list)):
            yield _pair(item)
        else:
            port = port_number(item)
            yield Span(port, port)


def _not_a_collection(avoid: object) -> TypeError:
    return TypeError(
        f"avoid is a collection of ports, ranges and names of systems, such as ['freebsd', 8080], not {avoid!r}"
    )


def _default_range(name: str) -> Span:
    span = AVOIDABLE.get(name.lower())
    if span is None:
        raise ValueError(
            f"unknown system {name!r} in avoid: use one of {', '.join(map(repr, AVOIDABLE))}; a port is a number, a "
            "range a pair of numbers"
        )
    return span


def _range_spans(ports: range) -> Iterator[Span]:
    if ports:
        first, last = sorted((port_number(ports[0]), port_number(ports[-1])))
        if abs(ports.step) == 1:
            yield Span(first, last)
        else:
            yield from (Span(port, port) for port in ports)


def _pair(ports: Sequence[int]) -> Span:
    if len(ports) != 2:
        raise ValueError(f"a range in avoid is a pair of its first and last port, not {ports!r}")
    first, last = map(port_number, ports)
    if first > last:
        raise ValueError(f"a range in avoid begins with its lower port, not {ports!r}")
    return Span(first, last)
