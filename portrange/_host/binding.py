"""Bind probe sockets, and interpret the errors of bind()."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack, contextmanager

from .._answers.address import address_text
from .._frozen import Frozen
from .._lazy import probe_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

# --- errors of socket() and bind() -----------------------------------------------------------------------------------
# The numbers beside the names are Winsock's, for results that come from Windows and are processed elsewhere. On Windows
# Python's names have these values already, except WSAEACCES, which becomes EACCES.

_ABSENT_NAMES = ("EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT")  # not every system defines all of them

#: The machine does not support this family or protocol.
ABSENT = frozenset({10043, 10044, 10047, *(getattr(errno, name) for name in _ABSENT_NAMES if hasattr(errno, name))})
#: The caller lacks the permission to bind the port.
REFUSED = frozenset({errno.EACCES, errno.EPERM, 10013})
#: The port is in use; for port 0, no port is left.
IN_USE = frozenset({errno.EADDRINUSE, 10048})
#: The address does not belong to this machine. For a wildcard address: the machine does not have this family.
NOT_LOCAL = frozenset({errno.EADDRNOTAVAIL, 10049})
#: The address cannot be bound, whatever the port: it is not local, or lacks a network interface.
UNUSABLE = NOT_LOCAL | {errno.EINVAL, errno.ENODEV, 10022}

#: No route leads to the address: it does not belong to this machine.
UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.ENODEV}) | NOT_LOCAL

# --- probes ----------------------------------------------------------------------------------------------------------

_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
# Numbers of IANA's protocol registry; the socket module lacks some of the names on some systems.
_KINDS = {
    "tcp": (socket.SOCK_STREAM, 6),
    "udp": (socket.SOCK_DGRAM, 17),
    "sctp": (socket.SOCK_STREAM, 132),
    "dccp": (getattr(socket, "SOCK_DCCP", 6), 33),
}
_UNKNOWN_INTERFACE = "No interface has such a name"


def probe(protocol: str, family: str, address: str, port: int) -> None:
    """Bind a new socket to *address* and *port*, and close it. Raises the `OSError` of socket() or bind().

    An IPv6 socket is bound with IPV6_V6ONLY, so that the result is about that family. On Windows the socket asks for
    exclusive use: otherwise bind() succeeds beside a listener that shares its port (SO_EXCLUSIVEADDRUSE, Winsock).
    """
    kind, number = _KINDS[protocol]
    with probe_lock, socket.socket(_FAMILIES[family], kind, number) as bound:
        if family == "ipv6":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        exclusive: int | None = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
        if exclusive is not None:
            bound.setsockopt(socket.SOL_SOCKET, exclusive, 1)
        bound.bind(_socket_address(address, port, bound.family, kind))


class HeldProbes(Frozen):
    """Probe sockets on 127.0.0.1 that are bound, and that neither listen nor are connected."""

    pid: int
    """The pid of their owner, this process."""
    ports: Mapping[str, int]
    """Their ports, by protocol: "tcp" and "udp"."""


@contextmanager
def held_probes() -> Generator[HeldProbes, None, None]:
    """Bind a TCP and a UDP socket to 127.0.0.1 and port 0, and close them at the end of the context.

    A table of sockets that does not show them correctly is not the documented table. Raises the `OSError` of socket()
    or bind().
    """
    with probe_lock, ExitStack() as stack:
        ports: dict[str, int] = {}
        for protocol in ("tcp", "udp"):
            bound = stack.enter_context(socket.socket(socket.AF_INET, *_KINDS[protocol]))
            bound.bind(("127.0.0.1", 0))
            ports[protocol] = bound.getsockname()[1]
        yield HeldProbes(os.getpid(), ports)


def source_address(address: str, port: int) -> str:
    """Return the local address that the system chooses for a peer: connect() of a UDP socket sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as connected:
        connected.connect((address, port))
        chosen: str = connected.getsockname()[0]
        return chosen.partition("%")[0]


def can_share(protocol: str, address: str, port: int) -> bool:
    """Return whether a socket with SO_REUSEPORT can share a port that a listener has; True if that is unknown.

    It can if the listener has SO_REUSEPORT as well and was created by the same user (socket(7)). The probe socket keeps
    no such socket from the port, and every other one is kept from it by the listener.
    """
    option: int | None = getattr(socket, "SO_REUSEPORT", None)
    if option is None:
        return False
    kind, number = _KINDS[protocol]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with probe_lock, socket.socket(family, kind, number) as bound:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
            bound.bind(_socket_address(address, port, family, kind))
    except OSError as error:
        return error.errno not in IN_USE
    return True


def can_bind_address(packed: bytes, interface: int) -> bool:
    """Return whether a UDP socket can be bound to an address, on any port; such an address belongs to this machine."""
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    text = address_text(packed)
    place = (text, 0) if len(packed) == 4 else (text, 0, 0, interface)
    try:
        with probe_lock, socket.socket(family, socket.SOCK_DGRAM) as bound:
            bound.bind(place)
    except OSError as error:
        if error.errno in ABSENT | UNUSABLE:
            return False
        raise
    return True


def _socket_address(address: str, port: int, family: int, kind: int) -> tuple[Any, ...]:
    """Return the argument of bind(), with the zone of a link-local address (fe80::1%eth0) as a number.

    Raises `OSError` with EINVAL for an unknown zone.
    """
    try:
        # As bytes: Python would encode a string as a domain name (IDNA), which the name of an interface is not.
        name = os.fsencode(address)
        if b"\0" in name:
            raise OSError(errno.EINVAL, _UNKNOWN_INTERFACE)  # the system would ignore the rest
        return socket.getaddrinfo(name, port, family, kind, flags=socket.AI_NUMERICHOST)[0][4]
    except socket.gaierror as error:  # its numbers are not error numbers of the system
        raise OSError(errno.EINVAL, error.strerror) from error
    except UnicodeError as error:
        raise OSError(errno.EINVAL, _UNKNOWN_INTERFACE) from error


def v6only_by_default() -> bool:
    """Return whether IPV6_V6ONLY is set on new IPv6 sockets (ipv6(7)); True on machines without IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as created:
            return bool(created.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    except OSError:
        return True
