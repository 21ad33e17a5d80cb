"""The commands: what each asks, and how it says the answer."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .._answers.listener import Listener, Listeners
from .._answers.obstacle import Obstacle
from .._answers.port import PortInfo
from .._questions.busy import why_busy
from .._questions.classify import classify
from .._questions.listen import listeners
from .._render import text
from .._render.look import Look
from .arguments import add_port, add_protocol, port
from .output import NO, OK, Command, Output, described
from .pages import full_page, listening
from .pool import RANGE, SUGGEST, USAGE

# --- every listener ------------------------------------------------------------------------------------------------


def _list_arguments(parser: ArgumentParser) -> None:
    add_protocol(parser)
    parser.add_argument("--exhaustive", action="store_true", help="look into every process for further holders")
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


def _page(arguments: Namespace) -> Output:
    info = classify(arguments.port, host=arguments.host)
    lines, found, failure = listening(arguments.port, arguments.host)
    shown = full_page(info, lines, arguments.look)
    return Output(shown, {"port": info.to_dict(), "listening": found}, failure=failure)


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
        free = f"{arguments.protocol} port {arguments.port} was bound for a moment, and worked"
        lines.insert(0, text.Line("free:", free, "good"))
    data = [obstacle.to_dict() for obstacle in obstacles]
    return Output(text.labelled(lines, arguments.look), data, NO if blocked else OK)


# --- several ports -------------------------------------------------------------------------------------------------


def _check_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ports", type=port, nargs="+", metavar="PORT", help="port numbers to judge")
    parser.add_argument("--strict", action="store_true", help="let any risk fail, also a low one")


def _check(arguments: Namespace) -> Output:
    asked = arguments.host.frozen()
    checked = [classify(number, host=asked) for number in arguments.ports]
    lines = [line for info in checked for line in _verdicts(info)]
    failed = any(info.risks if arguments.strict else not info.safe for info in checked)
    shown = text.labelled(lines, arguments.look)
    return Output(shown, [info.to_dict() for info in checked], NO if failed else OK)


def _verdicts(info: PortInfo) -> list[text.Line]:
    number = f"{info.number:<5}"
    roles = {"high": "bad", "low": "notice"}
    risks = [text.Line(f"{number}  {risk.severity}:", risk.detail, roles[risk.severity]) for risk in info.risks]
    return risks or [text.Line(f"{number}  fine:", "nothing is known to speak against it", "good")]


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
        [("check 8080 5432", "may a project rely on these?"), ("check --strict 8080", "not even a small risk?")],
    ),
    "usage": USAGE,
    "suggest": SUGGEST,
}

_LISTENERS = f"{described(Listeners)}; each of listeners is {described(Listener)}"

PAGE = Command(
    "what a port is, how this machine treats it, and who listens on it",
    add_port,
    _page,
    f"An object: port is {described(PortInfo)}; listening is {_LISTENERS}.",
    [("443", "all about port 443")],
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
