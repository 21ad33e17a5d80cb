"""The commands: what each asks, and how it says the answer."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from .._answers.listener import Listener, Listeners
from .._answers.obstacle import Obstacle
from .._answers.port import RISK_KINDS, PortInfo, Risk
from .._questions.busy import why_busy
from .._questions.classify import classify
from .._questions.listen import listeners
from .._questions.services import services
from .._render import text
from .._render.look import Look
from .arguments import add_listening, add_port, add_protocol, port
from .output import NO, OK, Command, Output, described
from .pages import full_page, listening
from .pool import RANGE, SUGGEST, USAGE

# --- every listener ------------------------------------------------------------------------------------------------


def _list_arguments(parser: ArgumentParser) -> None:
    add_listening(parser)
    parser.add_argument("--all-namespaces", action="store_true", help="every network namespace (Linux, as root)")


def _list(arguments: Namespace) -> Output:
    found = listeners(
        protocol=arguments.protocol,
        exhaustive=arguments.exhaustive,
        namespaces="all" if arguments.all_namespaces else "own",
        host=arguments.host,
    )
    return Output(_headed(found, arguments.look), found.to_dict())


def _headed(found: Listeners, look: Look) -> str:
    """The table, its row of headers set off."""
    shown = found.to_text(look.columns)
    if not found.listeners:
        return shown
    headers, _, rows = shown.partition("\n")
    return f"{look.paint('heading', headers)}\n{rows}"


# --- one port ------------------------------------------------------------------------------------------------------


def _page_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("port", type=_port_or_hint, metavar="PORT", help="a port number, 0 to 65535")
    add_listening(parser)


def _port_or_hint(argument: str) -> int:
    """The port; of a word, which may be meant as a command or as a service, what to type instead."""
    try:
        return port(argument)
    except ArgumentTypeError:
        if not argument[:1].isalpha():
            raise
    registered = [f"{service.first} ({', '.join(service.protocols)})" for service in services(argument)]
    hint = f"; {argument} is registered for {', '.join(registered)}" if registered else ""
    raise ArgumentTypeError(f"{argument!r} is neither a port number nor a command ({', '.join(COMMANDS)}){hint}")


def _page(arguments: Namespace) -> Output:
    info = classify(arguments.port, host=arguments.host)
    found, failure = listening(
        arguments.port, arguments.host, protocol=arguments.protocol, exhaustive=arguments.exhaustive
    )
    data = {"port": info.to_dict(), "listening": None if found is None else found.to_dict()}
    return Output(full_page(info, found, arguments.look), data, failure=failure)


def _busy_arguments(parser: ArgumentParser) -> None:
    add_port(parser)
    add_protocol(parser, "tcp")
    parser.add_argument(
        "--address", metavar="ADDRESS", default="", help="a numeric address to bind (default: all addresses)"
    )


def _busy(arguments: Namespace) -> Output:
    obstacles = why_busy(arguments.port, protocol=arguments.protocol, address=arguments.address, host=arguments.host)
    blocked = any(obstacle.blocks for obstacle in obstacles)
    lines = [text.Line(f"{one.kind}:", one.detail, "bad" if one.blocks else "notice") for one in obstacles]
    if not blocked:
        what = f"port {arguments.port}" if arguments.port else "port 0, which stands for any,"
        free = f"{arguments.protocol} {what} was bound for a moment, and worked"
        lines.insert(0, text.Line("free:", free, "good"))
    data = [obstacle.to_dict() for obstacle in obstacles]
    return Output(text.labelled(lines, arguments.look), data, NO if blocked else OK)


# --- several ports -------------------------------------------------------------------------------------------------


_KINDS = [kind for kinds in RISK_KINDS.values() for kind in kinds]


def _check_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ports", type=port, nargs="+", metavar="PORT", help="port numbers to judge")
    parser.add_argument("--strict", action="store_true", help="let any risk fail, also a low one")
    parser.add_argument(
        "--accept",
        action="append",
        choices=_KINDS,
        default=[],
        metavar="KIND",
        help=f"let this kind of risk pass; may be repeated: {', '.join(_KINDS)}",
    )


def _check(arguments: Namespace) -> Output:
    asked = arguments.host.snapshot()
    checked = [classify(number, host=asked) for number in arguments.ports]
    failing = [
        [risk for risk in info.risks if risk.kind not in arguments.accept and (arguments.strict or _is_high(risk))]
        for info in checked
    ]
    lines = [line for info, reasons in zip(checked, failing, strict=True) for line in _verdict(info, reasons)]
    shown = text.labelled(lines, arguments.look)
    return Output(shown, [info.to_dict() for info in checked], NO if any(failing) else OK)


def _is_high(risk: Risk) -> bool:
    return risk.severity == "high"


def _verdict(info: PortInfo, failing: list[Risk]) -> list[text.Line]:
    """Whether the port passes, then a line for each risk, with its kind as `--accept` takes it."""
    number = f"{info.number:<5}"
    verdict = ("fails:", "not safe to rely on", "bad") if failing else ("passes:", "safe to rely on", "good")
    risks = [
        (f"{risk.severity}:", f"{risk.detail} [{risk.kind}]", "bad" if risk in failing else "notice")
        for risk in info.risks
    ]
    return [text.Line(f"{number}  {label}", words, role) for label, words, role in (verdict, *risks)]


# --- all of them ---------------------------------------------------------------------------------------------------

#: By the word that asks for them; without a word it is the page of a port, or the table of all listeners.
COMMANDS: dict[str, Command] = {
    "range": RANGE,
    "busy": Command(
        "why a port cannot be bound; exit 1 where it cannot",
        _busy_arguments,
        _busy,
        f"An array, worst first, empty where nothing is in the way; each is {described(Obstacle)}.",
        [("busy 8000", "what keeps a server from port 8000"), ("busy 53 --protocol udp --address 127.0.0.1", "")],
    ),
    "check": Command(
        "whether fixed ports are safe to rely on; exit 1 where one is not",
        _check_arguments,
        _check,
        f"An array in the order of the arguments; each is {described(PortInfo)}.",
        [
            ("check 8080 5432", "may a project rely on these?"),
            ("check 443 --accept privileged", "yes, by a service that has the right to"),
            ("check 26756 --strict --accept other-range", "not even a small risk but this one?"),
        ],
    ),
    "usage": USAGE,
    "suggest": SUGGEST,
}

_LISTENERS = f"{described(Listeners)}; each of listeners is {described(Listener)}"

PAGE = Command(
    "what a port is, how this machine treats it, and who listens on it",
    _page_arguments,
    _page,
    f"An object: port is {described(PortInfo)}; listening is {_LISTENERS}.",
    [("443", "all about port 443"), ("443 --exhaustive", "with every process that holds its sockets")],
)
LIST = Command(
    "every listening socket of this machine",
    _list_arguments,
    _list,
    f"{_LISTENERS}.".capitalize(),
    [
        ("", "every listener, with who holds it"),
        ("60860", "all about port 60860"),
        ("check 8080 || exit 1", "stop a build over a port that is not safe"),
        ("--json", "every listener, for a program"),
    ],
)
