"""Parse the arguments of a command, and format its help like a manual page."""

from __future__ import annotations

import argparse
import sys
from argparse import ArgumentParser, ArgumentTypeError

from .._answers.address import PROTOCOLS
from .._answers.span import HIGHEST_PORT, parse_decimal
from .._render import text
from . import output
from .output import COMMANDS, LIST, PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, NoReturn

    from typing_extensions import override

    from .output import Command
else:

    def override(method):  # noqa: ANN001, ANN202 - type checkers see the real one
        return method


#: The argument that stands for standard input.
STDIN = "-"
#: The widest manual page; longer lines are hard to read.
_WIDEST = 100
_WITHOUT_TERMINAL = 80

_STATUS = (
    ("0", "yes, or printed"),
    ("1", "no: a port is not safe to hard-code, or busy"),
    ("2", "bad input"),
    ("3", "the OS could not be queried (output may be partial), or output could not be written"),
)
_ENVIRONMENT = (
    ("NO_COLOR", "if set and not empty: no colours; only terminals get colours"),
    ("TERM", '"dumb": no colours'),
    ("COLUMNS", "the width of the terminal, in place of the width that it reports"),
)
_STABLE = (
    "One JSON value in UTF-8; the order of keys is stable. Later versions may add keys; no key is renamed, removed or "
    "changes its meaning within a major version. null means unknown, or none (of a name, a unit, a container)."
)


# --- arguments of several commands -----------------------------------------------------------------------------------


def port(argument: str) -> int:
    """Return a port from the command line: decimal digits."""
    digits = argument.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ArgumentTypeError(f"{argument!r} is not a port: use a whole number from 0 to {HIGHEST_PORT}")
    number = parse_decimal(argument) if len(digits) <= 6 else None
    if number is None:
        raise ArgumentTypeError(f"{argument[:40]} is not a port: ports are whole numbers from 0 to {HIGHEST_PORT}")
    return number


def add_ports(parser: ArgumentParser) -> None:
    """Add the argument PORT, which may be repeated; `given_ports` returns its values."""
    parser.add_argument(
        "ports",
        type=_port_or_stdin,
        nargs="*",
        metavar="PORT",
        help="port numbers, 0 to 65535; - reads them from standard input, separated by white space",
    )


def _port_or_stdin(argument: str) -> int | str:
    return argument if argument == STDIN else port(argument)


def given_ports(ports: Iterable[int | str]) -> list[int]:
    """Return the ports of the command line, with those of standard input in place of ``-``; `ValueError` for others."""
    numbers: list[int] = []
    for given in ports:
        numbers += _ports_of_stdin() if isinstance(given, str) else [given]
    return numbers


def _ports_of_stdin() -> list[int]:
    try:
        numbers = [port(item) for item in read_stdin().decode("ascii", "backslashreplace").split()]
    except ArgumentTypeError as error:
        raise ValueError(f"standard input: {error}") from None
    if not numbers:
        raise ValueError("standard input has no port numbers")
    return numbers


def read_stdin() -> bytes:
    """Return the contents of standard input; `ValueError` if it is closed or cannot be read."""
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise ValueError(f"cannot read standard input: {error.strerror}") from error


def add_listening(parser: ArgumentParser) -> None:
    """Add the options of commands that look for listeners."""
    add_protocol(parser)
    parser.add_argument("--exhaustive", action="store_true", help="search every process for further owners")


def add_protocol(parser: ArgumentParser, default: str | None = None) -> None:
    """Add the option --protocol."""
    explanation = f"the protocol (default: {default})" if default else "one protocol only"
    parser.add_argument("--protocol", choices=PROTOCOLS, default=default, help=explanation)


# --- the parser ------------------------------------------------------------------------------------------------------


class Parser(ArgumentParser):
    """An argument parser with one-line errors and help in the form of a manual page."""

    def __init__(self, name: str, command: Command) -> None:
        self.command = command
        self.added: list[argparse.Action] = []
        super().__init__(prog=name, add_help=False, allow_abbrev=False)

    @override
    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        self.added.append(super().add_argument(*names, **options))
        return self.added[-1]

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(output.complain(self.prog, message, output.BAD_INPUT))

    @override
    def format_help(self) -> str:
        style = output.terminal_style()
        style = text.Style(min(style.columns or _WITHOUT_TERMINAL, _WIDEST), style.colour)
        parts: list[str] = []
        for heading, entries in self._sections():
            lines = [text.Line(label, explanation, "") for label, explanation in entries]
            parts.append(style.paint("heading", heading) + "\n" + text.labelled(lines, style, indent="    ", gap=2))
        return "\n\n".join(parts) + "\n"

    def _sections(self) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
        command = self.command
        yield "NAME", _unlabelled([f"{self.prog} - {command.summary}"])
        yield "SYNOPSIS", _unlabelled(self._synopsis())
        yield "ARGUMENTS", [(_usage(action), action.help or "") for action in self.added]
        if self.prog == "portrange":
            yield (
                "COMMANDS",
                [
                    ("portrange", LIST[1]),
                    ("portrange PORT", PAGE[1]),
                    *((f"portrange {name}", summary) for name, (_, summary) in COMMANDS.items()),
                    ("", "each has --help for its own arguments"),
                ],
            )
        yield "JSON", _unlabelled([command.json, _STABLE])
        yield "EXIT STATUS", _STATUS
        yield "ENVIRONMENT", _ENVIRONMENT
        yield "EXAMPLES", [(f"portrange {line}".rstrip(), explanation) for line, explanation in command.examples]

    def _synopsis(self) -> Iterator[str]:
        positional = [_usage(action) for action in self.added if not action.option_strings]
        yield " ".join([self.prog, *positional, "[OPTION]..."])
        if self.command.summary == LIST[1]:
            yield "portrange PORT [OPTION]..."
            yield "portrange COMMAND [ARGUMENT]... [OPTION]..."


def _unlabelled(lines: Iterator[str] | Sequence[str]) -> list[tuple[str, str]]:
    return [("", line) for line in lines]


def _usage(action: argparse.Action) -> str:
    """Return an argument as it is typed."""
    if not action.option_strings:
        return f"{action.metavar}{'...' if action.nargs == '*' else ''}"
    value = "" if action.nargs == 0 else f" {action.metavar or '{' + ','.join(map(str, action.choices or ())) + '}'}"
    return ", ".join(action.option_strings) + value


class _Show(argparse.Action):
    """An option that prints text and exits; argparse's own options ignore write errors."""

    def __init__(self, option_strings: Sequence[str], dest: str, text: Callable[[], str], **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)
        self.text = text

    @override
    def __call__(self, parser: ArgumentParser, *_: object) -> NoReturn:
        parser.exit(output.show(parser.prog, self.text().rstrip("\n"), output.OK))


def parser_for(name: str, command: Command, version: str) -> ArgumentParser:
    """Return the parser of a command, with the options that all commands take."""
    parser = Parser(name, command)
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="JSON for programs")
    parser.add_argument("--procfs", metavar="PATH", default="/proc", help="where the machine's procfs is mounted")
    parser.add_argument("--version", action=_Show, text=lambda: f"portrange {version}", help="print the version")
    parser.add_argument("--help", "-h", action=_Show, text=parser.format_help, help="print this page")
    return parser
