"""`portrange busy PORT`: why a port cannot be bound."""

from __future__ import annotations

from .._answers.listener import Obstacle
from .._questions.busy import why_busy
from .._render import text
from .options import add_port, add_protocol
from .output import COMMANDS, NO, OK, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _add_arguments(parser: ArgumentParser) -> None:
    add_port(parser)
    add_protocol(parser, "tcp")
    parser.add_argument(
        "--address", metavar="ADDRESS", default="", help="a numeric address to bind (default: all addresses)"
    )


def _run(arguments: Namespace) -> Output:
    obstacles = why_busy(arguments.port, protocol=arguments.protocol, address=arguments.address, host=arguments.host)
    blocked = any(obstacle.blocks for obstacle in obstacles)
    lines = [
        text.Line(f"{obstacle.kind}:", obstacle.detail, "bad" if obstacle.blocks else "notice")
        for obstacle in obstacles
    ]
    if not blocked:
        subject = str(arguments.port) if arguments.port else "port 0 (any port)"
        lines.insert(0, text.Line("free:", f"{arguments.protocol} {subject} (test bind succeeded)", "good"))
    data = [obstacle.to_dict() for obstacle in obstacles]
    return Output(text.labelled(lines, arguments.style), data, NO if blocked else OK)


COMMAND = Command(
    COMMANDS["busy"][1],
    _add_arguments,
    _run,
    f"An array, worst first, empty if the port can be bound; each is {described(Obstacle)}.",
    [("busy 8000", "why a server cannot bind port 8000"), ("busy 53 --protocol udp --address 127.0.0.1", "")],
)
