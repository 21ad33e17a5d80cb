"""Which port should I write into my configuration?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias, cast

from .._answers.number import port_number
from .._answers.pool import PortSettings
from .._answers.port import Assignment
from .._answers.span import Span, Spans, contains, merge, overlap
from .._backends.select import backend_for
from .._errors import PortrangeError, UnsupportedPlatformError
from .._registry.pools import COMMON_SYSTEMS, DEFAULT_POOLS
from .._registry.refused import BAD_PORTS, MACOS_RESTRICTED
from .arguments import host_asked

if TYPE_CHECKING:
    from .._host import Host

#: What can be avoided: a port, the first and the last of several, a `range`, or an operating system's default pool.
Avoided: TypeAlias = "int | tuple[int, int] | range | str"

#: Above the ports of system services, below the default pools of Linux, macOS and Windows.
FIRST, LAST = 1024, 32767
#: The least prime number that is not below the number of these ports: then every step leads to each of them once. The
#: few numbers that it has too many lie in the pool of Linux, and are passed over as such.
_PRIME = 31751

_POOLS = {pool.system: Span(pool.first, pool.last) for pool in DEFAULT_POOLS}
_COMMON_POOLS = merge(span for system, span in _POOLS.items() if system in COMMON_SYSTEMS)
_REFUSED = BAD_PORTS | MACOS_RESTRICTED


def suggest_port(name: str, *, avoid: Iterable[Avoided] = (), host: Host | None = None) -> int:
    """A port to write down for a project, a service or a test setup of this name; always the same one.

    It is not privileged (1024 or above), lies outside the default pools of Linux, macOS and Windows, is unassigned at
    IANA, and is refused neither by browsers (bad ports of the Fetch standard) nor by macOS. What this host hands out,
    has set aside, refuses or asks a privilege for is passed over as well. `avoid` names more: ports, pairs of a first
    and a last port, `range` objects, and operating systems (``"freebsd"``) whose default pool is to be avoided too.

    The number depends on the name, the registry's date (`REGISTRY_DATE`) and `avoid`, and on nothing else, so it is the
    same on every machine: a host only has a say where its own settings rule the number out. Then, and where a new
    registry or `avoid` does, the next number takes its place; all other names keep theirs. To have one number on a
    fleet in which some hosts have a wider pool, name that pool in `avoid`. (OpenBSD's default pool, 1024-49151, leaves
    nothing that Linux and macOS leave.)

    It is a number to write down, not a reservation: whether somebody listens there now makes no difference, and two
    names can meet on one number (of 20 names, two do in one case of 140). A program that needs just any free port at
    run time binds port 0 instead, and reads what it was given:

    >>> import portrange, socket
    >>> with socket.create_server(("127.0.0.1", 0)) as server:
    ...     port = server.getsockname()[1]
    >>> port > 0
    True

    How it is computed, so that others can: let d be the SHA-256 digest of the name in UTF-8, a the first 8 bytes of d
    and b the next 8, both read as big-endian numbers. The candidates are 1024 + (a + k * s) mod 31751 for k = 0, 1, 2
    and so on, with s = 1 + b mod 31750. The first one that meets the above is the answer.

    This host's settings are read anew for each call: for many names pass ``host=Host().snapshot()``.

    Raises `TypeError` for a name that is no string or an `avoid` that is no collection of the above, `ValueError` for
    an empty name, an unknown system or a number outside 0-65535, `PortrangeError` where no port is left.

    >>> port = portrange.suggest_port("my-service")
    >>> port == portrange.suggest_port("my-service"), portrange.classify(port).safe
    (True, True)
    """
    from .._registry.lookup import registry

    candidates = _candidates(_utf8(name))
    avoided = merge(_avoided(avoid))
    settings = _settings(host_asked(host))
    known = registry()
    for port in candidates:
        if (
            not contains(_COMMON_POOLS, port)
            and port not in _REFUSED
            and not contains(avoided, port)
            and known.at(port).assignment is Assignment.UNASSIGNED
            and not _ruled_out(settings, port)
        ):
            return port
    raise PortrangeError(_nothing_left(name, avoided, settings))


def _candidates(name: bytes) -> Iterator[int]:
    """Each port from FIRST to LAST once, and a few beyond, in an order that the name decides."""
    import hashlib

    digest = hashlib.sha256(name).digest()
    place = int.from_bytes(digest[:8], "big") % _PRIME
    step = 1 + int.from_bytes(digest[8:16], "big") % (_PRIME - 1)
    for _ in range(_PRIME):
        yield FIRST + place
        place = (place + step) % _PRIME


def _settings(host: Host) -> PortSettings:
    try:
        return backend_for(host).settings(host)
    except UnsupportedPlatformError:
        return PortSettings(platform=host.platform)  # then nothing is known of this host, and it has no say


def _ruled_out(settings: PortSettings, port: int) -> bool:
    """Whether this host is known to have other plans for the port; what could not be read rules nothing out."""
    kept = (settings.reserved, settings.excluded, settings.privileged)
    return bool(settings.ephemeral(port)) or any(spans is not None and contains(spans, port) for spans in kept)


def _nothing_left(name: str, avoided: Spans, settings: PortSettings) -> str:
    kept = sum(_ruled_out(settings, port) for port in range(FIRST, LAST + 1))
    pools = ", ".join(dict.fromkeys(f"{pool.first}-{pool.last}" for pool in settings.pools or ())) or "unknown"
    named = overlap(avoided, FIRST, LAST)
    remedies = ["avoid fewer"] * bool(named) + ["give this host a smaller pool"] * bool(kept)
    return (
        f"no port is left for {name!r}: of the {LAST - FIRST + 1:,} ports from {FIRST} to {LAST}, avoid names "
        f"{named:,} and this host keeps {kept:,} for itself (its pool: {pools}); {', or '.join(remedies)}"
    )


# --- arguments -----------------------------------------------------------------------------------------------------


def _utf8(name: object) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"a name is a string, not {type(name).__name__}: {name!r}")
    if not name.strip():
        raise ValueError(f"a name is needed, such as that of a project or a service: {name!r} is empty")
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the name {name!r} cannot be written in UTF-8: {error.reason}") from None


def _avoided(avoid: object) -> Iterator[Span]:
    if isinstance(avoid, (str, bytes)) or not isinstance(avoid, Iterable):
        raise TypeError(f"avoid is a collection of ports, ranges and systems, such as ['freebsd', 8080], not {avoid!r}")
    for item in cast("Iterable[object]", avoid):
        if isinstance(item, str):
            yield _pool_of(item)
        elif isinstance(item, range):
            yield from _each(item)
        elif isinstance(item, (tuple, list)):
            yield _pair(cast("tuple[object, ...] | list[object]", item))
        else:
            port = port_number(item)
            yield Span(port, port)


def _pool_of(system: str) -> Span:
    if system.lower() not in _POOLS:
        raise ValueError(
            f"unknown system {system!r} in avoid: use one of {', '.join(map(repr, _POOLS))}; ports are numbers, and "
            "ranges pairs of numbers"
        )
    return _POOLS[system.lower()]


def _each(ports: range) -> Iterator[Span]:
    if ports:
        first, last = sorted((port_number(ports[0]), port_number(ports[-1])))
        if abs(ports.step) == 1:
            yield Span(first, last)
        else:
            yield from (Span(port, port) for port in ports)


def _pair(ports: tuple[object, ...] | list[object]) -> Span:
    if len(ports) != 2:
        raise ValueError(f"a range in avoid is a pair of its first and last port, not {ports!r}")
    first, last = map(port_number, ports)
    if first > last:
        raise ValueError(f"a range in avoid begins with its lower port, not {ports!r}")
    return Span(first, last)
