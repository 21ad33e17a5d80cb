"""Find the listeners that connections to an address of this machine reach."""

from __future__ import annotations

from .._answers.address import HIGHEST_INDEX, WILDCARDS, address_text, is_link_local, unmapped, zoned
from .._answers.answer import Answer, Answers
from .._answers.span import parse_decimal, port_number
from .._backends.base import Target
from .._backends.select import backend_for
from .._host.host import system_of
from .._lazy import import_lock
from .arguments import one_of
from .listen import who_listens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal, SupportsIndex

    from .._answers.listener import Listener
    from .._host.host import Host
    from .._host.system import System

_LOOPBACK = {4: b"\x7f\0\0\1", 16: bytes(15) + b"\1"}
_REMEDY = "name an address of this machine, or a name of it such as 'localhost'"
#: Remedies where a loopback address does not belong to the machine, as in a new network namespace.
_LOOPBACK_REMEDIES = {
    4: "set the loopback interface up (on Linux: ip link set lo up)",
    16: "use 127.0.0.1, or enable IPv6 and set the loopback interface up (on Linux: ip link set lo up)",
}


def who_answers(
    port: SupportsIndex,
    address: str = "localhost",
    *,
    protocol: Literal["tcp", "udp"] = "tcp",
    host: Host | None = None,
) -> Answers:
    """Return the listeners that a connection to *address* and *port* reaches, apart from NAT, firewalls and eBPF.

    A name gives one `Answer` for each of its addresses, in the order in which ``connect()`` tries them
    (getaddrinfo(3)), without those of other machines, which `incomplete` lists. An answer without listeners means that
    the system refuses the connection. Connected UDP sockets, which get the datagrams of their peer only, are not
    returned.

    On Linux the kernel's own lookup decides (inet_lookup and udp_lookup; sock_diag(7) without NLM_F_DUMP): the most
    specific address, IPV6_V6ONLY, SO_BINDTODEVICE and SO_REUSEPORT are respected, no packet is sent, and no privilege
    is needed. On other systems, and in a snapshot, the most specific listener is returned with `Answer.assumed`.

    :param port: The port number, 0 to 65535.
    :param address: A numeric address of this machine, or a name.
    :param protocol: "tcp" or "udp".
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `TypeError` and `InvalidPortError` if *port* is not a port, `ValueError` for another protocol, an unknown
    name, or an address that does not belong to this machine, and the errors of `who_listens`.

    >>> import portrange, socket
    >>> server = socket.create_server(("127.0.0.1", 0))
    >>> [answer] = portrange.who_answers(server.getsockname()[1], "127.0.0.1")
    >>> answer.listeners == tuple(portrange.who_listens(server.getsockname()[1]))
    True
    >>> server.close()
    """
    number = port_number(port)
    name = one_of("protocol", protocol, ("tcp", "udp"))
    system = system_of(host)
    targets, incomplete = _targets(system, address, name)
    found = None
    if number and not system.is_snapshot:
        found = backend_for(system).reached(system, name, number, tuple(targets.values()))
    assumed = found is None and number != 0
    if found is None:
        table = who_listens(number, protocol=name, host=host)
        found = tuple(_most_specific(system, table, target) for target in targets.values())
        incomplete = (*incomplete, *table.incomplete)
    answers = [
        Answer(text, _family(target), number, name, listeners, assumed=assumed)
        for (text, target), listeners in zip(targets.items(), found, strict=True)
    ]
    return Answers(tuple(answers), incomplete)


def _family(target: Target) -> Literal["ipv4", "ipv6"]:
    return "ipv4" if len(target.packed) == 4 else "ipv6"


# --- addresses -------------------------------------------------------------------------------------------------------


def _targets(system: System, address: object, protocol: str) -> tuple[dict[str, Target], tuple[str, ...]]:
    """Return the addresses of a name that belong to this machine, by their text, and remarks about the others."""
    with import_lock:
        import ipaddress

    if not isinstance(address, str):
        raise TypeError(f"an address is a string such as 'localhost', not {type(address).__name__}: {address!r}")
    try:
        numeric = ipaddress.ip_address(address)
    except ValueError:
        candidates = _resolve(system, address, protocol)
    else:
        zone = getattr(numeric, "scope_id", None)
        candidates = {address: _address(system, numeric.packed, zone, address)}
    interfaces = {text: system.local_interface(*candidate) for text, candidate in candidates.items()}
    targets = {
        text: Target(candidates[text][0], interface) for text, interface in interfaces.items() if interface is not None
    }
    others = [text for text in candidates if text not in targets]
    if not targets:
        raise ValueError(f"{', '.join(others)} is not an address of this machine: {_remedy(candidates.values())}")
    # A machine without IPv6 still has ::1 as an address of localhost; connect() fails at once and tries the next one.
    foreign = [text for text in others if candidates[text][0] not in _LOOPBACK.values()]
    return targets, tuple(f"{text} is not an address of this machine" for text in foreign)


def _remedy(candidates: Iterable[tuple[bytes, int]]) -> str:
    """Return how to make a query succeed that has none but these addresses, which this machine does not have."""
    sizes = {len(packed) for packed, _ in candidates if packed in _LOOPBACK.values()}
    return _LOOPBACK_REMEDIES[min(sizes)] if sizes else _REMEDY


def _resolve(system: System, name: str, protocol: str) -> dict[str, tuple[bytes, int]]:
    """Return the addresses of a name and their zones by their text, in the order of getaddrinfo(3)."""
    with import_lock:
        import socket

    if not name or "\0" in name:
        raise ValueError(f"{name!r} is not an address: {_REMEDY}")
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(name, None, type=kind)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot resolve {name!r}: {reason}; {_REMEDY}") from None
    candidates: dict[str, tuple[bytes, int]] = {}
    for family, _, _, _, place in found:
        if family in (socket.AF_INET, socket.AF_INET6):
            text, _, zone = str(place[0]).partition("%")
            index = place[3] if len(place) > 3 else 0
            interface = zone or (system.interface_name(int(index)) if index else None)
            candidates[zoned(text, interface)] = _address(system, socket.inet_pton(family, text), interface, name)
    return candidates


def _address(system: System, packed: bytes, zone: str | None, address: str) -> tuple[bytes, int]:
    """Return the address that a client reaches, and the index of its zone, 0 for none."""
    packed = unmapped(packed)
    if not any(packed):
        packed = _LOOPBACK[len(packed)]  # connect() to a wildcard address means the loopback address
    if not is_link_local(address_text(packed)):
        return packed, 0
    if not zone:
        raise ValueError(f"{address} is a link-local address and needs its interface: {address}%eth0, for example")
    index = parse_decimal(zone, HIGHEST_INDEX)
    if index is None:
        try:
            index = system.interface_index(zone)
        except (OSError, ValueError):
            raise ValueError(f"{address}: this machine has no network interface {zone!r}") from None
    return packed, index


# --- without the system's own choice ---------------------------------------------------------------------------------


def _most_specific(system: System, listeners: Iterable[Listener], target: Target) -> tuple[Listener, ...]:
    """Return the listeners with the most specific address that fits a target."""
    family, text = _family(target), address_text(target.packed)
    ranks: dict[int, list[Listener]] = {}
    for listener in listeners:
        rank = _rank(listener, family, text)
        if rank is not None and _fits(system, listener, target):
            ranks.setdefault(rank, []).append(listener)
    return tuple(ranks[min(ranks)]) if ranks else ()


def _rank(listener: Listener, family: str, address: str) -> int | None:
    """Return how specific a listener is for an address, 0 for the most; None if it does not take its connections.

    A listener whose address or IPV6_V6ONLY is unknown can take them.
    """
    if not listener.address:
        return 3
    if listener.family == family:
        known = (address, WILDCARDS[listener.family])
        return known.index(listener.address) if listener.address in known else None
    is_both = listener.address == WILDCARDS["ipv6"] and listener.dual_stack is not False
    return 2 if family == "ipv4" and is_both else None


def _fits(system: System, listener: Listener, target: Target) -> bool:
    """Return whether a listener that is bound to an interface takes what arrives there."""
    if not listener.interface or not target.interface:
        return not listener.interface or not is_link_local(listener.address)
    return listener.interface == system.interface_name(target.interface)
