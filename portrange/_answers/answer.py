"""The listeners that connections to the addresses of a name reach."""

from __future__ import annotations

from .._render.strings import joined, visible
from .address import endpoint
from .listener import Listener, flat_socket, socket_facts
from .record import Record
from .results import Results

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .._render.text import Names
    from .address import FamilyName, ProtocolName
    from .listener import Process
    from .results import Facts


class Answer(Record):
    """An address, and the listeners that a connection or datagram to it reaches."""

    address: str
    """The address, with its zone if it has one: ``fe80::1%eth0``."""
    family: FamilyName
    """The address family: "ipv4" or "ipv6"; "ipv4" for an IPv4-mapped IPv6 address."""
    port: int
    """The port."""
    protocol: ProtocolName
    """The protocol: "tcp" or "udp"."""
    listeners: tuple[Listener, ...] = ()
    """The listener that the system chooses; several if they share the port (SO_REUSEPORT), because the choice then
    depends on the client's port; empty if the system refuses the connection."""
    assumed: bool = False
    """True if the listener is the most specific one in the list of listeners, because the system does not show which
    one it chooses."""

    @property
    def endpoint(self) -> str:
        """Address and port in the usual notation, such as ``127.0.0.1:80`` or ``[::1]:80``."""
        return endpoint(self.address, self.port)

    @property
    def owners(self) -> str:
        """The owners of the listeners as text, or why none is known; "no listener" if there is none."""
        return joined(dict.fromkeys(listener.holder for listener in self.listeners)) or "no listener"

    def __str__(self) -> str:
        return visible(f"{self.protocol} {self.endpoint}  {self.owners}")

    def __repr__(self) -> str:
        return visible(f"<Answer {self.protocol} {self.endpoint} {self.owners}>")


class Answers(Results[Answer]):
    """An immutable sequence of answers, one for each address, in the order in which ``connect()`` tries them."""

    _headers = ("PROTO", "ADDRESS", "OWNER", "USER", "UNIT")
    _nothing = "no addresses"
    _derived = ("contested",)

    answers: tuple[Answer, ...] = ()
    """The answers as a tuple."""
    incomplete: tuple[str, ...] = ()
    """What could not be inspected, one sentence each."""

    @property
    def contested(self) -> bool:
        """True if two addresses lead to different owners, so that the server depends on the address that is used.

        Processes that share a listener are one server, and so are the docker-proxy processes of one container.
        """
        served = [answer for answer in self.answers if answer.listeners]
        return any(_differ(first, second) for first in served for second in served)

    def _facts(self, item: Answer) -> Iterable[Facts]:
        return map(socket_facts, item.listeners)

    def _contains(self, item: Answer, port: int) -> bool:
        return item.port == port

    def _flat(self, item: Answer) -> dict[str, Any]:
        listener = item.listeners[0] if item.listeners else Listener(item.protocol, item.family, "", item.port)
        place = {"address": item.address, "owners": item.owners, "assumed": item.assumed}
        return {**flat_socket(listener), **place}

    def _rows(self) -> Iterator[tuple[str | Names, ...]]:
        for answer in self.answers:
            flat = self._flat(answer)
            yield answer.protocol, answer.endpoint, answer.owners, flat["user"] or "", flat["unit"] or ""


def _differ(first: Answer, second: Answer) -> bool:
    """Return whether two answers are known to have different owners; several processes of one server are the same."""
    if first.listeners == second.listeners:
        return False
    owners = [{process for listener in answer.listeners for process in listener.owners} for answer in (first, second)]
    if all(owners):
        return not any(_serve_the_same(one, other) for one in owners[0] for other in owners[1])
    users, other_users = ({(item.uid, item.cgroup) for item in answer.listeners} for answer in (first, second))
    return not users & other_users


def _serve_the_same(one: Process, other: Process) -> bool:
    """Return whether two processes are one, or the proxies of one container: docker-proxy has a process per address."""
    if one.pid == other.pid:
        return True
    container = _container_of(one)
    return container is not None and one.parent == other.parent and container == _container_of(other)


def _container_of(process: Process) -> tuple[str, str] | None:
    """Return the address and port of the container that a docker-proxy connects to; None for another process."""
    arguments = process.cmdline or ()
    if process.name != "docker-proxy" or not {"-container-ip", "-container-port"}.issubset(arguments[:-1]):
        return None
    return arguments[arguments.index("-container-ip") + 1], arguments[arguments.index("-container-port") + 1]
