"""`portrange answers PORT [ADDRESS]`: which listener a connection to an address reaches."""

from __future__ import annotations

from .._answers.answer import Answer, Answers
from .._answers.listener import Listeners
from .._questions.reach import who_answers
from .cmd_list import hidden_owners, with_heading
from .inputs import address_of, one_target
from .options import option, protocol
from .output import NO, OK, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .options import Parsed

_DEFAULT = "localhost"


def _run(arguments: Parsed) -> Output:
    target = one_target(arguments.port)
    address = address_of(target, arguments.address) or _DEFAULT
    if arguments.address and arguments.address.isdecimal():
        raise ValueError(f"two ports, {arguments.port} and {arguments.address}: name one of them")
    kind: Any = target.protocol or arguments.protocol
    found = who_answers(target.first, address, protocol=kind, host=arguments.host)
    status = OK if any(answer.listeners for answer in found) else NO
    if arguments.json:
        return Output("", found.to_dict(), status)
    listeners = Listeners(tuple(dict.fromkeys(listener for answer in found for listener in answer.listeners)))
    table = with_heading(found.to_text(arguments.style.columns), arguments.style)
    return Output(table, status=status, remarks=[*_remarks(found), *hidden_owners(listeners, arguments.host)])


def _remarks(found: Answers) -> list[str]:
    contested = (
        ["the server depends on the address: these addresses lead to different owners"] if found.contested else []
    )
    assumed = ["assumed from the list of listeners: the system does not show which one it chooses"]
    return [*contested, *(assumed if any(answer.assumed for answer in found) else [])]


COMMAND = Command(
    (
        option("port", metavar="PORT", help="one port; localhost:80 and http://localhost:80/ name the address as well"),
        option("address", nargs="?", metavar="ADDRESS", help=f"address or name of this machine (default: {_DEFAULT})"),
        protocol("tcp", ("tcp", "udp")),
    ),
    _run,
    f"{described(Answers)}; each of answers is {described(Answer)}; each of its listeners is a listener as list prints "
    "it. contested is true if the addresses lead to different owners.",
    [
        ("answers 8080", "which server does localhost:8080 reach?"),
        ("answers 8080 ::1", "and which one does [::1]:8080 reach?"),
    ],
    "no listener: every address refuses the connection",
    [
        (
            "ADDRESS belongs to this machine. On Linux the kernel's own lookup decides, and no packet is sent. NAT, "
            "firewalls and eBPF programs are not considered."
        ),
        "Several owners in a row share the port (SO_REUSEPORT): the client's port decides.",
    ],
)
