"""`portrange range`: the ephemeral port range."""

from __future__ import annotations

from .._answers.address import FAMILIES
from .._answers.ephemeral import EphemeralRange, range_page
from .._questions.ephemeral import ephemeral_range
from .._render import text
from .options import add_protocol
from .output import COMMANDS, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _add_arguments(parser: ArgumentParser) -> None:
    add_protocol(parser, "tcp")
    parser.add_argument("--family", choices=FAMILIES, default="ipv4", help="the address family (default: ipv4)")


def _run(arguments: Namespace) -> Output:
    found = ephemeral_range(protocol=arguments.protocol, family=arguments.family, host=arguments.host)
    return Output(text.page("Ephemeral range", range_page(found), arguments.style), found.to_dict())


COMMAND = Command(
    COMMANDS["range"][1],
    _add_arguments,
    _run,
    f"{described(EphemeralRange).capitalize()}; reserved is an array of [first, last].",
    [
        ("range", "the ephemeral ports of TCP over IPv4"),
        ("range --protocol udp --json", "those of UDP, for a program"),
    ],
)
