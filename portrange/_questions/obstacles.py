"""The words for what is in the way of binding a port: one sentence each that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .._answers.obstacle import Obstacle
from .._answers.span import contains
from .._answers.usage import may_overlook
from .._backends.base import WILDCARDS
from .._render.text import visible
from . import stand_ins
from .endpoints import needs_interface

if TYPE_CHECKING:
    from .._answers.listener import BoundSocket
    from .._answers.pool import PortSettings
    from .endpoints import Endpoint


#: The kind of obstacle that each state of a socket makes, and what to say of it.
_SENTENCES = {
    "listen": ("listener", "{endpoint} is listened on ({holder}); {advice}"),
    "bound": ("bound", "{endpoint} is bound but not listened on ({holder}); {advice}"),
    "connection": (
        "connection",
        "{endpoint} is the local end of {count}{remote} ({holder}); {advice}",
    ),
    "time-wait": (
        "time-wait",
        "{endpoint} is kept for a minute after {count}{remote}; wait, or set SO_REUSEADDR if the earlier socket had it",
    ),
}

_END = "stop that program or "


def of_sockets(sockets: Sequence[BoundSocket], settings: PortSettings) -> Iterator[Obstacle]:
    """One obstacle for all sockets that differ in their other ends at most: a server may have thousands."""
    listeners = [one for one in sockets if one.state == "listen"]
    groups: dict[BoundSocket, list[BoundSocket]] = {}
    for one in sockets:
        groups.setdefault(replace(one, remote_address="", remote_port=0, scope=""), []).append(one)
    order = list(_SENTENCES)
    for group in sorted(groups.values(), key=lambda group: order.index(group[0].state)):
        kind, sentence = _SENTENCES[group[0].state]
        advice = _about_connections(group[0], listeners, settings) if kind == "connection" else _about(group[0])
        yield Obstacle(kind, _fill(sentence, group, advice), socket=group[0], count=len(group))


def _fill(sentence: str, group: list[BoundSocket], advice: str) -> str:
    first = group[0]
    host = f"[{first.remote_address}]" if ":" in first.remote_address else first.remote_address
    return visible(
        sentence.format(
            endpoint=f"{first.protocol} {first.endpoint}",
            holder=first.holder + (f", {first.unit}" if first.unit else ""),
            count="a connection" if len(group) == 1 else f"{len(group):,} connections",
            advice=advice,
            remote=(f" with {host}:{first.remote_port}" if first.remote_port else "")
            + (" and others" if len(group) > 1 else ""),
        )
    )


def _about_connections(connection: BoundSocket, listeners: Iterable[BoundSocket], settings: PortSettings) -> str:
    """Connections that were made to a listener have its port; all others were given one of the pool, or bound it."""
    if any(one.address in (connection.address, *WILDCARDS.values()) for one in listeners):
        return "made to the program that listens: stop that, or take another port"
    another = "another port" if settings.ephemeral(connection.port) is False else "a port outside the pool"
    return f"{_END if _has_holder(connection) else ''}take {another}"


def _about(socket: BoundSocket) -> str:
    """Of several holders one that is no stand-in is a program that can be stopped."""
    known = [stand_ins.advice(owner) for owner in socket.owners]
    told = [sentence for sentence in known if sentence is not None]
    if told and len(told) == len(known):
        return told[0]
    return f"{_END if _has_holder(socket) else ''}take another port"


def _has_holder(socket: BoundSocket) -> bool:
    """Whether there is, or may be, a program that could be ended."""
    return bool(socket.owners) or socket.hidden


def is_excluded(port: int, settings: PortSettings) -> bool:
    """Whether the system keeps a port from all programs."""
    return settings.excluded is not None and contains(settings.excluded, port)


def refusal(endpoint: Endpoint, settings: PortSettings) -> Obstacle:
    """Why the system refuses a port although nobody has it."""
    if is_excluded(endpoint.port, settings):
        source = settings.source("excluded")
        detail = (
            f"the system keeps port {endpoint.port} from all programs ({source}); take another, or end the exclusion"
        )
        return Obstacle("excluded", detail)
    if settings.privileged is not None and contains(settings.privileged, endpoint.port):
        source = settings.source("privileged")
        detail = (
            f"binding port {endpoint.port} needs a privilege ({source}); run as the superuser, on Linux with "
            "CAP_NET_BIND_SERVICE, or take a higher port"
        )
        return Obstacle("privileged", detail)
    detail = f"the system refuses port {endpoint.port} to this program"
    if settings.platform != "windows":
        return Obstacle("refused", f"{detail}; ask whoever set its security policy")
    # Winsock's list of errors, WSAEACCES.
    detail += ": another program may have it for its exclusive use"
    if settings.excluded is None:
        detail += (
            ", or it is excluded, which could not be read: netsh int "
            f"{endpoint.family} show excludedportrange protocol={endpoint.protocol} lists what is"
        )
    return Obstacle("refused", f"{detail}; take another port, or ask whoever set the security policy")


def restricted(endpoint: Endpoint, settings: PortSettings) -> Obstacle:
    """A port that is in use by nobody to be seen, and kept by the system.

    XNU has a bitmap for both transports, though it keeps some ports for one alone (bsd/net/restricted_in_port.c).
    """
    detail = (
        f"the system keeps port {endpoint.port} from programs that it has not permitted "
        f"({settings.source('excluded')}; some such ports for TCP or UDP alone), or another user's program has it: "
        "take another, or look again as the superuser"
    )
    return Obstacle("excluded", detail)


def unusable(wanted: Endpoint, error: OSError, *, is_local: bool) -> Obstacle:
    """An address that cannot be bound whatever its port."""
    detail = f"{wanted.address} is no address of this machine, or not yet; bind one that it has, or all of them"
    if is_local:
        detail = f"{wanted.address} cannot be bound ({error.strerror or error}); {_usable(wanted)}"
    return Obstacle("address", visible(detail))


def _usable(wanted: Endpoint) -> str:
    """What would make an address that can be bound."""
    from ipaddress import ip_address

    address, _, zone = wanted.address.partition("%")
    if wanted.protocol != "udp" and ip_address(address).is_multicast:
        return f"it stands for a group of machines, which {wanted.protocol} does not know; bind an address of this one"
    if needs_interface(address):
        return f"a link-local address needs the name of a network interface of this machine, as in {address}%eth0"
    if zone:
        return f"only a link-local address (fe80::/10) is tied to a network interface: leave out %{zone}"
    return "bind an address that this machine has, or all of them"


def exhausted(wanted: Endpoint, settings: PortSettings) -> Obstacle:
    """Port 0 stands for any port: it can only be the pool that has none left, or that Linux overlooks the last one.

    See `LocalAddress.free` for that.
    """
    left = f"no {wanted.protocol} port on {wanted.address} is left to be handed out"
    odd = [pool for pool in settings.pools or () if may_overlook(settings.platform, wanted.protocol, pool)]
    if odd:
        left += (
            f", or one alone, which Linux may overlook because {odd[0].first}-{odd[0].last} is an odd number of them"
        )
    return Obstacle("exhausted", visible(f"{left}; name one outside of the pool"))


def worth_knowing(port: int, settings: PortSettings) -> tuple[Obstacle, ...]:
    """What does not keep anybody from binding."""
    if settings.reserved and contains(settings.reserved, port):
        source = settings.source("reserved")
        detail = f"port {port} is set aside by the administrator ({source}): bind it only if it is meant for you"
        return (Obstacle("reserved", detail, blocks=False),)
    return ()


def hidden(wanted: Endpoint, error: OSError) -> Obstacle:
    detail = (
        f"binding {wanted.protocol} {wanted.address} port {wanted.port} fails ({error.strerror or error}) and the "
        "system shows no socket there: one that is bound without listening (Linux shows those from 6.8 on), or "
        "another user's; look again as the administrator"
    )
    return Obstacle("hidden", visible(detail))
