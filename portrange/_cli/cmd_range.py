"""`portrange range`: the ephemeral port range."""

from __future__ import annotations

from .._answers.address import FAMILIES
from .._answers.ephemeral import EphemeralRange, range_page
from .._questions.ephemeral import ephemeral_range
from .._render import text
from .options import option, protocol
from .output import Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .options import Parsed


def _run(arguments: Parsed) -> Output:
    found = ephemeral_range(protocol=arguments.protocol, family=arguments.family, host=arguments.host)
    return Output(text.page("Ephemeral range", range_page(found), arguments.style), found.to_dict())


COMMAND = Command(
    (
        protocol("tcp"),
        option("--family", choices=FAMILIES, default="ipv4", metavar="NAME", help="ipv4 or ipv6 (default: ipv4)"),
    ),
    _run,
    f"{described(EphemeralRange)}; reserved is an array of [first, last].",
    [
        ("range", "the ephemeral ports of TCP over IPv4"),
        ("range --protocol udp --json", "those of UDP, for a program"),
    ],
)
