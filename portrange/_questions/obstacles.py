"""Messages that explain why a bind fails and how to fix it."""

from __future__ import annotations

from .._answers.address import WILDCARDS, is_link_local
from .._answers.address import endpoint as endpoint_text
from .._answers.listener import Obstacle, by_name, owners_text, parent_of, unit_text, unit_user, user_text
from .._answers.span import contains
from .._frozen import Frozen, replace
from .._lazy import import_lock
from .._render.strings import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .._answers.address import FamilyName, ProtocolName
    from .._answers.ephemeral import PortSettings
    from .._answers.listener import BoundSocket, ObstacleKind, Process, SocketState


class Endpoint(Frozen):
    """An address and a port to bind."""

    protocol: ProtocolName
    """The transport protocol."""
    family: FamilyName
    """The address family."""
    address: str
    """The address as backends write it; it may have a zone, as in ``fe80::1%2``."""
    port: int
    """The port number; 0 means any port."""
    interface: str | None = None
    """The network interface of the zone."""


#: The message of each kind of obstacle that is a socket, in the order of results.
_MESSAGES: dict[ObstacleKind, str] = {
    "listener": "{endpoint} in use{owner}: {advice}",
    "bound": "{endpoint} in use{owner}, bound without listening: {advice}",
    "connection": "{endpoint} in use{owner}, local end of {count}{remote}{state}: {advice}",
    "closing": "{endpoint} in state {state} after {count}{remote} that its program has closed, or that ended: {advice}",
    "time-wait": "{endpoint} in state TIME-WAIT for a minute after {count}{remote}: {advice}",
}
#: The kinds of the states of sockets that are not connections.
_KINDS: dict[SocketState, ObstacleKind] = {"listen": "listener", "bound": "bound", "time-wait": "time-wait"}
#: The states after close() until the peer has closed the connection as well (RFC 9293, section 3.3.2).
_CLOSING = frozenset({"fin-wait-1", "fin-wait-2", "closing", "last-ack"})

#: What Linux does not list: SCTP endpoints before listen() (sctp_hash_endpoint, net/sctp/input.c), and TCP sockets that
#: are bound only, before inet_diag_dump_icsk (net/ipv4/inet_diag.c; DCCP uses it too) got TCPF_BOUND_INACTIVE.
_UNLISTED: dict[ProtocolName, str] = {
    "tcp": " (it lists those that are bound without listening from 6.8 on, through NETLINK_SOCK_DIAG)",
    "udp": "",
    "sctp": " (it does not list those that are bound without listening)",
    "dccp": " (it may not list those that are bound without listening)",
}

# A socket that does not listen allows a bind if both sockets have SO_REUSEADDR, and accepted sockets inherit it from
# the listener (inet_csk_bind_conflict, net/ipv4/inet_connection_sock.c; socket(7)).
_REUSE = "wait, or set SO_REUSEADDR if the earlier socket had it: the server then starts at once"

# --- sockets ---------------------------------------------------------------------------------------------------------


def of_sockets(sockets: Sequence[BoundSocket], settings: PortSettings) -> Iterator[Obstacle]:
    """Yield one obstacle for all sockets that differ only in their remote ends: a server may have thousands.

    Workers that share a port (SO_REUSEPORT), each with a socket of its own, are one obstacle with all owners.
    """
    listeners = [socket for socket in sockets if socket.state == "listen"]
    groups: dict[object, list[BoundSocket]] = {}
    for socket in sockets:
        names = frozenset(owner.name for owner in socket.owners)
        key = replace(socket, remote_address="", remote_port=0, scope="host", owners=(), possible_owners=())
        groups.setdefault((key, names), []).append(socket)
    order = list(_MESSAGES)
    for group in sorted(map(_with_all_owners, groups.values()), key=lambda group: order.index(_kind(group[0]))):
        kind = _kind(group[0])
        if kind in ("closing", "time-wait"):
            advice = _REUSE
        elif kind == "connection":
            advice = _connection_advice(group[0], listeners, settings)
        else:
            advice = _socket_advice(group[0])
        yield Obstacle(kind, _fill(_MESSAGES[kind], group, advice), socket=group[0], count=len(group))


def _with_all_owners(group: list[BoundSocket]) -> list[BoundSocket]:
    """Return sockets of which the first has the owners of all."""
    owners = dict.fromkeys(owner for socket in group for owner in socket.owners)
    possible = dict.fromkeys(owner for socket in group for owner in socket.possible_owners)
    return [replace(group[0], owners=tuple(owners), possible_owners=tuple(possible)), *group[1:]]


def _kind(socket: BoundSocket) -> ObstacleKind:
    # Without a user, the kernel has detached the socket from all processes.
    is_detached = not socket.owners and not socket.hidden and socket.uid is None
    return "closing" if socket.state in _CLOSING and is_detached else _KINDS.get(socket.state, "connection")


def _fill(message: str, group: list[BoundSocket], advice: str) -> str:
    first = group[0]
    remote = f" with {endpoint_text(first.remote_address, first.remote_port)}" if first.remote_port else ""
    is_detached = _kind(first) == "closing"
    state = "" if first.state == "connection" else first.state.upper() if is_detached else f" ({first.state.upper()})"
    return visible(
        message.format(
            endpoint=f"{first.protocol} {first.endpoint}",
            owner=_by_owner(first),
            count="a connection" if len(group) == 1 else f"{len(group):,} connections",
            state=state,
            advice=advice,
            remote=remote + (" and others" if len(group) > 1 else ""),
        )
    )


def _by_owner(socket: BoundSocket) -> str:
    """Return who uses a socket, with its unit."""
    unit = f", {unit_text(socket)}" if unit_text(socket) else ""
    if socket.owners:
        text = owners_text(socket.owners)
        return f" by {text[:-1]}{unit})" if len(by_name(socket.owners)) == 1 else f" by {text}{unit}"
    is_unknown = socket.hidden and not socket.possible_owners
    user = f", user {user_text(socket)}" if is_unknown and user_text(socket) else ""
    return f", {socket.holder}{user}{unit}"


def _stop(socket: BoundSocket) -> str:
    """Return how to stop the owners of a socket: workers end with their parent, which would replace each of them."""
    if not (socket.owners or socket.possible_owners):
        return "run as root or administrator to see the owner, or " if socket.hidden else ""
    parent = parent_of(socket.owners) if len(by_name(socket.owners)) == 1 else None
    if parent is not None:
        return f"stop pid {parent} or "
    return "stop them or " if len(socket.owners) > 1 else "stop it or "


def _connection_advice(connection: BoundSocket, listeners: Iterable[BoundSocket], settings: PortSettings) -> str:
    """Return advice for a connection: made to a listener on this port, or from an ephemeral port or a bound one."""
    for listener in listeners:
        if listener.address in (connection.address, *WILDCARDS.values()):
            return f"made to the listener; {_socket_advice(listener)}"
    proxy = _proxy_advice(connection)
    if proxy is not None:
        return proxy
    another = "another port" if settings.ephemeral(connection.port) is False else "a port outside the ephemeral range"
    return f"{_stop(connection)}use {another}"


def _socket_advice(socket: BoundSocket) -> str:
    """Return advice for a socket that listens or is bound; an owner that is not a proxy can simply be stopped."""
    return _activation_advice(socket) or _proxy_advice(socket) or f"{_stop(socket)}use another port"


# --- service managers: systemd or launchd owns a port on behalf of a service -----------------------------------------
# To stop the service does not help: the manager keeps the socket and starts the service again (systemd.socket(5),
# launchd.plist(5)). To stop the service manager of a user ends the user's session.

_MANAGER = "systemd"


def _activation_advice(socket: BoundSocket) -> str | None:
    """Return advice for a socket that a service manager keeps for a service; None for other sockets.

    To stop the socket unit alone leaves a service that was started: it has the socket as well.
    """
    if any((owner.pid, owner.name) == (1, "launchd") for owner in socket.owners or socket.possible_owners):
        return "launchd keeps it for a service; unload its job (launchctl list) or use another port"
    managers = [owner for owner in socket.owners if owner.name == _MANAGER]
    is_socket_unit = bool(socket.unit) and str(socket.unit).endswith(".socket")
    if not managers and not is_socket_unit:
        return None
    user = unit_user(socket) or next((owner.user for owner in managers if "--user" in (owner.cmdline or ())), None)
    command = f"as {user}, systemctl --user" if user else "systemctl"
    possible = [owner for owner in (*socket.owners, *socket.possible_owners) if owner.name != _MANAGER]
    # Otherwise all of them are of the service with the name of the socket unit.
    is_elsewhere = socket.scope == "host" and (bool(socket.owners) or not possible)
    # systemctl(1) needs the escapes, which `unit` does not have. See `cgroup.unit` for the underscore.
    name = (socket.cgroup or "").rpartition("/")[2].removeprefix("_")
    if not is_socket_unit or not _is_unit_name(name):
        remedy = f"stop its socket unit and the service ({command} list-sockets)"
    else:
        names = [name, f"{name.removesuffix('.socket')}.service"] if possible and not is_elsewhere else [name]
        quoted = " ".join(f"'{unit}'" if "\\" in unit else unit for unit in names)
        remedy = f"{command} stop {quoted}"
        if is_elsewhere:
            remedy += f" and the service that it starts ({command} list-sockets)"
    return f"systemd keeps it for a service; {remedy}, or use another port"


def _is_unit_name(name: str) -> bool:
    """Return whether a shell and systemctl(1) take *name* for a unit: any user can create a cgroup of any name.

    Names of units have ASCII letters, digits and some punctuation (systemd.unit(5)).
    """
    rest = name.translate({ord(character): None for character in ":-_.@\\"})
    return rest.isascii() and rest.isalnum() and not name.startswith("-")


# --- proxies: processes that own a port on behalf of another program -------------------------------------------------
# To stop a proxy does not help, or stops far more than this port.


def _publishes(command: str, what: str = "container") -> str:
    return f"it publishes a {what}'s port; stop that {what} ({command} lists it) or use another port"


#: By the name of the process, without .exe, and for some names by pid as well. Any process can have such a name, so it
#: only selects the advice. The sources are the documentation of each project.
_PROXIES: dict[str | tuple[int, str], str] = {
    # Docker: docker-proxy with the userland proxy, dockerd without it ("Packet filtering and firewalls"); RootlessKit
    # in rootless mode; Docker Desktop (com.docker.backend, before that vpnkit).
    "docker-proxy": _publishes("docker ps"),
    "dockerd": (
        "it publishes a container's port, or serves Docker's API; stop that container (docker ps lists it) or use "
        "another port"
    ),
    "rootlesskit": _publishes("docker ps or nerdctl ps"),
    "com.docker.backend": _publishes("docker ps"),
    "com.docker.vpnkit": _publishes("docker ps"),
    "vpnkit": _publishes("docker ps"),
    "wslrelay": "it forwards to a program inside WSL (wsl ss -tlnp lists it); stop that program or use another port",
    # Podman: conmon as root, the others without root (podman-run(1), --network); gvproxy for podman machine.
    "conmon": _publishes("podman ps"),
    "slirp4netns": _publishes("podman ps"),
    "rootlessport": _publishes("podman ps"),
    "pasta": _publishes("podman ps"),
    "pasta.avx2": _publishes("podman ps"),
    "gvproxy": _publishes("podman ps"),
    # passt(1) connects virtual machines, of libvirt for instance.
    "passt": _publishes("virsh list", "virtual machine"),
    "passt.avx2": _publishes("virsh list", "virtual machine"),
    # Services of type NodePort, external IPs and health checks.
    "kube-proxy": (
        "it serves a Kubernetes service; change that service (kubectl get services --all-namespaces lists it) or use "
        "another port"
    ),
    # Servers that start other programs: inetd(8), xinetd(8); see `_activation_advice` for systemd and launchd.
    "inetd": "it starts a program for each connection; remove its line from inetd.conf or use another port",
    "xinetd": "it starts a program for each connection; disable it in /etc/xinetd.d or use another port",
    "ControlCenter": "it is the AirPlay receiver of macOS; turn it off (AirDrop & Handoff) or use another port",
    # http.sys listens for IIS, WinRM and others, srv2.sys and netbt.sys for shared files.
    (4, "System"): (
        "the Windows kernel listens: the file server (ports 139 and 445), or http.sys on behalf of a program that "
        "netsh http show servicestate lists"
    ),
    # One process for several services, such as IP Helper (iphlpsvc) for port proxies.
    "svchost": (
        "it runs Windows services; stop that service (tasklist /svc lists them), remove the port proxy (netsh "
        "interface portproxy show all) or use another port"
    ),
}


def _proxy_advice(socket: BoundSocket) -> str | None:
    """Return what to do about a port of a proxy; None if an owner is not a known proxy.

    If the owner is hidden, its possible owners decide.
    """
    advice = [_advice_for(process) for process in socket.owners or socket.possible_owners]
    known = [text for text in advice if text is not None]
    # dockerd and its docker-proxy processes are in one cgroup.
    return known[-1] if known and len(known) == len(advice) else None


def _advice_for(process: Process) -> str | None:
    name = (process.name or "").removesuffix(".exe")
    return _PROXIES.get((process.pid, name)) or _PROXIES.get(name)


# --- ports -----------------------------------------------------------------------------------------------------------


def is_excluded(port: int, settings: PortSettings) -> bool:
    """Return whether the system is known to refuse a port to all programs."""
    return settings.excluded is not None and contains(settings.excluded, port)


def refusal(wanted: Endpoint, settings: PortSettings) -> Obstacle:
    """Return why the system refuses a port that is not in use."""
    if is_excluded(wanted.port, settings):
        source = settings.source("excluded")
        return Obstacle(
            "excluded",
            f"the system refuses port {wanted.port} to all programs ({source}); use another port, or remove the "
            "exclusion",
        )
    if settings.privileged is not None and contains(settings.privileged, wanted.port):
        source = settings.source("privileged")
        return Obstacle(
            "privileged",
            f"binding port {wanted.port} needs a privilege ({source}); run as root, on Linux with "
            "CAP_NET_BIND_SERVICE, or use a higher port",
        )
    message = f"the system refuses port {wanted.port} to this program"
    if settings.platform != "windows":
        return Obstacle("refused", f"{message}; ask the administrator about its security policy")
    # Winsock's list of errors, WSAEACCES
    message += ": another program may have it for its exclusive use"
    if settings.excluded is None:
        message += (
            ", or it is in an excluded range, which could not be read: netsh int "
            f"{wanted.family} show excludedportrange protocol={wanted.protocol} lists them"
        )
    return Obstacle("refused", f"{message}; use another port, or ask the administrator about the security policy")


def restricted(wanted: Endpoint, settings: PortSettings) -> Obstacle:
    """Return an obstacle for a restricted port that is "in use" without a visible socket.

    XNU has one bitmap for TCP and UDP, although it restricts some ports for one of them only
    (bsd/net/restricted_in_port.c).
    """
    return Obstacle(
        "excluded",
        f"the system restricts port {wanted.port} to permitted programs ({settings.source('excluded')}; some such "
        "ports for TCP or UDP only), or another user's program has it: use another port, or run again as root",
    )


def exhausted(wanted: Endpoint, settings: PortSettings) -> Obstacle:
    """Return an obstacle for a bind of port 0: no port is left, or Linux misses the last one (`LocalAddress.free`)."""
    with import_lock:
        from .._answers.usage import may_miss_last_port

    message = f"no ephemeral {wanted.protocol} port is free on {wanted.address}"
    odd = [pool for pool in settings.pools or () if may_miss_last_port(settings.platform, wanted.protocol, pool)]
    if odd:
        message += f", or only one, which Linux may miss because {odd[0].first}-{odd[0].last} is an odd number of ports"
    return Obstacle("exhausted", visible(f"{message}; choose a port outside the ephemeral range"))


def notes(port: int, settings: PortSettings) -> tuple[Obstacle, ...]:
    """Return obstacles that do not block a bind."""
    if settings.reserved and contains(settings.reserved, port):
        source = settings.source("reserved")
        message = (
            f"port {port} is reserved by the administrator ({source}): bind it only if it is meant for your program"
        )
        return (Obstacle("reserved", message, blocks=False),)
    return ()


def hidden(wanted: Endpoint, error: OSError, settings: PortSettings) -> Obstacle:
    """Return an obstacle for a failed bind without a visible cause. Linux lists the sockets of all users to anyone."""
    message = f"binding {wanted.protocol} {wanted.address} port {wanted.port} fails ({error.strerror or error}), and "
    if settings.platform == "linux":
        message += f"Linux lists no such socket{_UNLISTED[wanted.protocol]}: use another port"
    else:
        message += (
            "the system shows no socket: it may be bound without listening, or belong to another user; run again as "
            "administrator, or use another port"
        )
    return Obstacle("hidden", visible(message))


# --- addresses -------------------------------------------------------------------------------------------------------


def needs_interface(address: str) -> bool:
    """Return whether an address, without its zone, is meaningful only together with a network interface.

    These are fe80::/10 and interface-local and link-local multicast addresses (RFC 4291, sections 2.5.6 and 2.7).
    """
    # ff02::1, ff12::1: the fourth digit is the scope.
    is_multicast = address.startswith("ff") and address.partition(":")[0][3:] in ("1", "2")
    return is_link_local(address) or is_multicast


def unusable(wanted: Endpoint, error: OSError, *, is_local: bool) -> Obstacle:
    """Return an obstacle for an address that cannot be bound, whatever the port."""
    if is_local:
        message = f"{wanted.address} cannot be bound ({error.strerror or error}); {_address_advice(wanted)}"
    else:
        message = (
            f"{wanted.address} is not an address of this machine, or not yet; bind one of its addresses, or all of them"
        )
    return Obstacle("address", visible(message))


def _address_advice(wanted: Endpoint) -> str:
    """Return how to change an address so that it can be bound."""
    address, _, zone = wanted.address.partition("%")
    if wanted.protocol != "udp" and _is_multicast(address):
        return f"it is a multicast address, which {wanted.protocol} does not support; bind an address of this machine"
    if needs_interface(address):
        return f"a link-local address needs the name of a network interface of this machine, as in {address}%eth0"
    if zone:
        return f"only link-local addresses (fe80::/10) have a network interface: remove %{zone}"
    return "bind an address that this machine has, or all of them"


def _is_multicast(address: str) -> bool:
    """Return whether an address is in ff00::/8 (RFC 4291, section 2.7) or 224.0.0.0/4 (RFC 5771)."""
    with import_lock:
        from ipaddress import ip_address

    return ip_address(address).is_multicast
