"""`portrange usage`: how many ephemeral ports are in use, and by which destinations."""

from __future__ import annotations

from .._answers.usage import EphemeralUsage
from .._questions.ephemeral import ephemeral_usage
from .options import protocol
from .output import NO, OK, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .options import Parsed

#: The widest text; longer lines are hard to read.
_WIDEST = 100


def _run(arguments: Parsed) -> Output:
    usage = ephemeral_usage(protocol=arguments.protocol, host=arguments.host)
    text = usage.explain(min(_WIDEST, arguments.style.columns or _WIDEST))
    return Output(text, usage.to_dict(), NO if usage.exhausted else OK)


COMMAND = Command(
    (protocol("tcp", ("tcp", "udp")),),
    _run,
    f"{described(EphemeralUsage)}.",
    [("usage", "why connect() fails with EADDRNOTAVAIL"), ("usage -p udp", "the same for UDP")],
    "no port is left for a destination or on an address",
)
