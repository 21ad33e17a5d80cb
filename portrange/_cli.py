"""The terminal front: the public calls as commands, each with readable output or JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from ._answers.explain import port_page
from ._answers.listener import Listeners
from ._backends.base import FAMILIES, PROTOCOLS
from ._compat import override
from ._errors import InvalidPortError, PortrangeError
from ._host import Host
from ._questions.busy import why_busy
from ._questions.classify import classify
from ._questions.ephemeral import ephemeral_range
from ._questions.listen import listeners, who_listens
from ._render import text

#: Exit statuses; 1 is an answer ("not safe", "busy"), the others are failures.
_OK, _NO, _BAD_INPUT, _NO_ANSWER = range(4)

#: How much of a command line a page shows; --json has all of it.
_COMMAND_LINE = 200

_STATUS_HELP = """exit status: 0 yes or shown, 1 no (a port is not safe to hard-code, or busy), 2 bad input,
3 the operating system could not be asked. --json prints one JSON value for programs."""


class Output(NamedTuple):
    """What a command has to say: for people, for programs (`--json`), and as an exit status."""

    text: str
    data: object
    status: int = _OK


class Command(NamedTuple):
    """One command: what it answers, the arguments it takes beyond the common ones, and how it answers."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], object]
    run: Callable[[argparse.Namespace], Output]


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_INPUT, f"{self.prog}: {text.visible(message)}\n")


def _port(argument: str) -> int:
    """A port as a person types it: decimal digits."""
    digits = argument.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise argparse.ArgumentTypeError(f"{argument!r} is not a port: give a whole number from 0 to 65535")
    if len(digits) > 6 or not 0 <= int(argument) <= 65535:
        raise argparse.ArgumentTypeError(f"{argument[:40]} is not a port: ports are whole numbers from 0 to 65535")
    return int(argument)


def _columns() -> int | None:
    """How wide a table may be: the terminal's width, anything where nobody watches."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# --- the commands --------------------------------------------------------------------------------------------------


def _protocol_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--protocol", choices=PROTOCOLS, help="one transport only")


def _listeners_arguments(parser: argparse.ArgumentParser) -> None:
    _protocol_argument(parser)
    parser.add_argument("--exhaustive", action="store_true", help="look into every process for further holders")
    parser.add_argument("--all-namespaces", action="store_true", help="every network namespace (Linux, as root)")


def _list(arguments: argparse.Namespace) -> Output:
    found = listeners(
        protocol=arguments.protocol,
        exhaustive=arguments.exhaustive,
        namespaces="all" if arguments.all_namespaces else "own",
        host=arguments.host,
    )
    return Output(found.to_text(_columns()), found.to_dict())


def _port_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("port", type=_port, metavar="PORT", help="a port number, 0 to 65535")


def _page(arguments: argparse.Namespace) -> Output:
    info = classify(arguments.port, host=arguments.host)
    found = who_listens(arguments.port, host=arguments.host)
    entries = port_page(info)
    listening = [("" if index else "Listening", line) for index, line in enumerate(_listening(found))]
    place = next((index for index, (label, _) in enumerate(entries) if label == "Fixed use"), len(entries))
    entries[place:place] = listening
    return Output(text.page(f"Port {info.number}", entries), {"port": info.to_dict(), "listening": found.to_dict()})


def _listening(found: Listeners) -> list[str]:
    """Who listens, a line a socket, with the command line of each owner below it."""
    lines: list[str] = []
    for one in found:
        context = [one.unit or one.container or "", f"user {one.user or one.uid}" if one.user or one.uid else ""]
        lines.append(", ".join(filter(None, [f"{one.protocol} {one.endpoint}   {one.holder}", *context])))
        lines += [f"  {owner.pid}: {' '.join(owner.cmdline)}"[:_COMMAND_LINE] for owner in one.owners if owner.cmdline]
    lines += [f"not looked at: {gap}" for gap in found.gaps]
    return lines or ["nobody"]


def _range_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--protocol", choices=PROTOCOLS, default="tcp", help="the transport (default: tcp)")
    parser.add_argument("--family", choices=FAMILIES, default="ipv4", help="the address family (default: ipv4)")


def _range(arguments: argparse.Namespace) -> Output:
    pool = ephemeral_range(protocol=arguments.protocol, family=arguments.family, host=arguments.host)
    aside = ", ".join(map(str, pool.reserved)) or "nothing"
    page = text.page(
        "Ephemeral range",
        [
            ("Ports", f"{pool.first}-{pool.last}, {len(pool):,} of them handed out by the system"),
            ("Set aside", aside),
            ("Read from", pool.source + (" (assumed: a setting could not be read)" if pool.assumed else "")),
        ],
    )
    return Output(page, pool.to_dict())


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ports", type=_port, nargs="+", metavar="PORT", help="port numbers to judge")
    parser.add_argument("--strict", action="store_true", help="let any risk fail, also a low one")


def _check(arguments: argparse.Namespace) -> Output:
    asked = arguments.host.frozen()
    checked = [classify(port, host=asked) for port in arguments.ports]
    lines: list[str] = []
    for info in checked:
        lines += [f"{info.number}  {risk}" for risk in info.risks] or [f"{info.number}  nothing speaks against it"]
    failed = any(info.risks if arguments.strict else not info.safe for info in checked)
    return Output("\n".join(lines), [info.to_dict() for info in checked], _NO if failed else _OK)


def _busy_arguments(parser: argparse.ArgumentParser) -> None:
    _port_arguments(parser)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="tcp", help="the transport (default: tcp)")
    parser.add_argument("--address", default="", help="a numeric address to bind (default: all addresses)")


def _busy(arguments: argparse.Namespace) -> Output:
    obstacles = why_busy(arguments.port, protocol=arguments.protocol, address=arguments.address, host=arguments.host)
    blocked = any(obstacle.blocks for obstacle in obstacles)
    lines = [str(obstacle) for obstacle in obstacles]
    if not blocked:
        lines.insert(0, f"free: {arguments.protocol} port {arguments.port} was bound for a moment, and worked")
    visible = "\n".join(map(text.visible, lines))
    return Output(visible, [obstacle.to_dict() for obstacle in obstacles], _NO if blocked else _OK)


#: By the word that asks for them; without a word it is the page of a port, or the table of all listeners.
COMMANDS: dict[str, Command] = {
    "range": Command("which ports the system hands out by itself", _range_arguments, _range),
    "busy": Command("why a port cannot be bound; exit 1 where it cannot", _busy_arguments, _busy),
    "check": Command("whether fixed ports are safe to rely on; exit 1 where one is not", _check_arguments, _check),
}
_PAGE = Command("what a port is, how this machine treats it, and who listens on it", _port_arguments, _page)
_LIST = Command("every listening socket of this machine", _listeners_arguments, _list)


# --- reading the command line --------------------------------------------------------------------------------------


def _choose(arguments: Sequence[str]) -> tuple[str, Command, list[str]]:
    """The command that is asked for, and the arguments that are left for it."""
    for index, word in enumerate(arguments):
        if word in COMMANDS:
            return f"portrange {word}", COMMANDS[word], [*arguments[:index], *arguments[index + 1 :]]
    if any(_looks_like_a_port(word, before) for before, word in zip(["", *arguments], arguments, strict=False)):
        return "portrange", _PAGE, list(arguments)
    return "portrange", _LIST, list(arguments)


def _looks_like_a_port(word: str, before: str) -> bool:
    is_value = before.startswith("--") and before in ("--protocol", "--procfs")
    return not is_value and (not word.startswith("-") or word[1:2].isdigit())


def _parser(name: str, command: Command, version: str) -> argparse.ArgumentParser:
    overview = ""
    if name == "portrange":
        words = [f"  portrange {word:<10} {other.summary}" for word, other in COMMANDS.items()]
        overview = "\n".join(
            [f"  portrange PORT       {_PAGE.summary}", f"  portrange            {_LIST.summary}", *words, "", ""]
        )
    parser = _Parser(
        prog=name,
        description=command.summary[0].upper() + command.summary[1:] + ".",
        epilog=overview + _STATUS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="JSON for programs")
    parser.add_argument("--procfs", metavar="PATH", default="/proc", help="where the machine's procfs is mounted")
    parser.add_argument("--version", action="version", version=f"portrange {version}")
    return parser


def main(arguments: Sequence[str], version: str) -> int:
    """Answer one command line; the exit status is returned."""
    name, command, rest = _choose(arguments)
    parsed = _parser(name, command, version).parse_args(rest)
    parsed.host = Host(parsed.procfs)
    try:
        output = command.run(parsed)
    except InvalidPortError as error:
        return _complain(name, error, _BAD_INPUT)
    except PortrangeError as error:
        return _complain(name, error, _NO_ANSWER)
    except (TypeError, ValueError) as error:
        return _complain(name, error, _BAD_INPUT)
    return _show(json.dumps(output.data, indent=2) if parsed.json else output.text, output.status)


def _complain(name: str, error: Exception, status: int) -> int:
    print(f"{name}: {text.visible(str(error))}", file=sys.stderr)
    return status


def _show(answer: str, status: int) -> int:
    """Print an answer; a reader who stops listening, or a terminal that lacks a sign, is no reason to fail."""
    stream: Any = sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    try:
        print(answer, flush=True)
    except BrokenPipeError:
        # Python flushes once more at its end; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
