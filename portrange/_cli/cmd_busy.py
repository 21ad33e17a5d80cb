"""`portrange busy PORT...`: why ports cannot be bound."""

from __future__ import annotations

from .._answers.address import PROTOCOLS, endpoint
from .._answers.listener import Obstacle
from .._questions.busy import why_busy
from .._render import text
from .._render.strings import visible
from .inputs import address_of, ports
from .options import PORTS, option, protocol
from .output import NO, OK, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .inputs import Target
    from .options import Parsed


def _run(arguments: Parsed) -> Output:
    wanted = ports(arguments.ports)
    if not wanted:
        raise ValueError("no ports: name some, or - for standard input")
    if any(target.first == 0 for target in wanted):
        raise ValueError("port 0 lets the system choose a free port: name a port from 1 to 65535")
    addresses = [address_of(target, arguments.address) for target in wanted]
    lines: list[tuple[str, str]] = []
    data: list[dict[str, Any]] = []
    for target, address in zip(wanted, addresses, strict=True):
        kind: Any = target.protocol or arguments.protocol
        obstacles = why_busy(target.first, protocol=kind, address=address, host=arguments.host)
        is_free = not obstacles.blocks
        if is_free:
            lines.append((f"{kind} {_subject(target, address)} free (test bind succeeded)", "good"))
        lines += [(_detail(*same), "bad" if same[0].blocks else "notice") for same in _alike(obstacles)]
        data.append(
            {
                "port": target.first,
                "protocol": kind,
                "address": address,
                "free": is_free,
                "obstacles": [obstacle.to_dict() for obstacle in obstacles],
            }
        )
    status = OK if all(entry["free"] for entry in data) else NO
    return Output("\n".join(_line(*line, arguments.style) for line in lines), data, status)


def _alike(obstacles: Iterable[Obstacle]) -> Iterable[list[Obstacle]]:
    """Return obstacles in groups that differ only in their addresses: a server may listen on many."""
    groups: dict[tuple[str, str], list[Obstacle]] = {}
    for obstacle in obstacles:
        groups.setdefault((obstacle.kind, _without_endpoint(obstacle)), []).append(obstacle)
    return groups.values()


def _without_endpoint(obstacle: Obstacle) -> str:
    socket = obstacle.socket
    return obstacle.detail if socket is None else obstacle.detail.replace(visible(socket.endpoint), "", 1)


def _detail(first: Obstacle, *others: Obstacle) -> str:
    """Return the text of obstacles that differ only in their addresses, of which the first one is named."""
    if not others or first.socket is None:
        return first.detail
    endpoint = visible(first.socket.endpoint)
    more = f"{len(others):,} more address{'es' if len(others) > 1 else ''}"
    return first.detail.replace(endpoint, f"{endpoint} and {more}", 1)


def _line(line: str, role: str, style: text.Style) -> str:
    """Return a line of text with its subject painted: the protocol and the endpoint or port, or else the reason."""
    shown = "\n".join(text.wrap(visible(line), style.columns))
    protocol, space, rest = shown.partition(" ")
    if protocol not in PROTOCOLS:
        reason, mark, remedy = shown.partition(";")
        return style.paint(role, reason) + mark + remedy
    subject, gap, rest = rest.partition(" ")
    return style.paint(role, f"{protocol}{space}{subject}") + gap + rest


def _subject(target: Target, address: str) -> str:
    return endpoint(address, target.first) if address else str(target.first)


COMMAND = Command(
    (
        PORTS,
        protocol("tcp"),
        option("--address", metavar="ADDRESS", default="", help="the numeric address to bind (default: all addresses)"),
    ),
    _run,
    "an array in the order of the arguments; each entry is an object with the keys port, protocol, address (empty for "
    f"all addresses), free, and obstacles, worst first; each obstacle is {described(Obstacle)}.",
    [
        ("busy 8000", "why a server cannot bind port 8000"),
        ("busy 127.0.0.1:53 -p udp", "the same for one address and for UDP"),
        ("busy 8080 5432 && docker compose up", "start only if both ports are free"),
        ("busy 8000-8010", "which of these ports are free?"),
    ],
    "a port cannot be bound",
)
