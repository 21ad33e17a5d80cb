"""`portrange usage`: how many ephemeral ports are in use, and by which destinations."""

from __future__ import annotations

from .._answers.usage import EphemeralUsage
from .._questions.ephemeral import ephemeral_usage
from .output import COMMANDS, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

#: The widest text; longer lines are hard to read.
_WIDEST = 100


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--protocol", choices=("tcp", "udp"), default="tcp", help="the protocol (default: tcp)")


def _run(arguments: Namespace) -> Output:
    usage = ephemeral_usage(protocol=arguments.protocol, host=arguments.host)
    return Output(usage.explain(min(_WIDEST, arguments.style.columns or _WIDEST)), usage.to_dict())


COMMAND = Command(
    COMMANDS["usage"][1],
    _add_arguments,
    _run,
    f"{described(EphemeralUsage).capitalize()}.",
    [("usage", "why connect() fails with EADDRNOTAVAIL"), ("usage --protocol udp", "the same for UDP")],
)
