"""`portrange busy PORT...`: why ports cannot be bound."""

from __future__ import annotations

from .._answers.listener import Obstacle
from .._questions.busy import why_busy
from .._render import text
from .options import add_ports, add_protocol, given_ports
from .output import COMMANDS, NO, OK, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any


def _add_arguments(parser: ArgumentParser) -> None:
    add_ports(parser)
    add_protocol(parser, "tcp")
    parser.add_argument(
        "--address", metavar="ADDRESS", default="", help="a numeric address to bind (default: all addresses)"
    )


def _run(arguments: Namespace) -> Output:
    ports = given_ports(arguments.ports)
    if not ports:
        raise ValueError("no ports: name some, or - for standard input")
    lines: list[text.Line] = []
    data: list[dict[str, Any]] = []
    status = OK
    for port in ports:
        obstacles = why_busy(port, protocol=arguments.protocol, address=arguments.address, host=arguments.host)
        if any(obstacle.blocks for obstacle in obstacles):
            status = NO
        else:
            subject = str(port) if port else "port 0 (any port)"
            lines.append(text.Line("free:", f"{arguments.protocol} {subject} (test bind succeeded)", "good"))
        lines += [
            text.Line(f"{obstacle.kind}:", obstacle.detail, "bad" if obstacle.blocks else "notice")
            for obstacle in obstacles
        ]
        data += [{"port": port, **obstacle.to_dict()} for obstacle in obstacles]
    return Output(text.labelled(lines, arguments.style), data, status)


COMMAND = Command(
    COMMANDS["busy"][1],
    _add_arguments,
    _run,
    f"An array with the obstacles of each port, worst first, none for a port that can be bound; each is "
    f"{described(Obstacle)}, and port before them.",
    [
        ("busy 8000", "why a server cannot bind port 8000"),
        ("busy 53 --protocol udp --address 127.0.0.1", ""),
        ("busy 8080 5432 && docker compose up", "start only if both ports are free"),
    ],
)
