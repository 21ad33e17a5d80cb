"""Reading a command's arguments, and its help in the form of a manual page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from .._compat import override
from .._render import text
from . import terminal
from .commands import COMMANDS, LIST, PAGE
from .output import BAD_INPUT, OK, Command

#: A manual page is not wider than this: longer lines are hard to read.
_WIDEST = 100
_WITHOUT_TERMINAL = 80

_STATUS = (
    ("0", "yes, or shown"),
    ("1", "no: a port is not safe to hard-code, or busy"),
    ("2", "bad input"),
    ("3", "the operating system could not be asked (the answer may have a part), or the answer not be written"),
)
_ENVIRONMENT = (
    ("NO_COLOR", "where it is set and not empty, a terminal gets no colours; nothing else ever gets any"),
    ("TERM", '"dumb" is a terminal without colours'),
    ("COLUMNS", "how wide the terminal is, if not as wide as it says"),
)
_STABLE = (
    "One JSON value in UTF-8, its keys always in this order. Later versions may add keys; none is renamed, removed or "
    "given another meaning while the first number of the version stays the same. null means: could not be "
    "read, or that there is none (of a name, a unit, a container)."
)


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, and whose help reads like a manual page."""

    def __init__(self, name: str, command: Command) -> None:
        self.command = command
        self.taken: list[argparse.Action] = []
        super().__init__(prog=name, add_help=False, allow_abbrev=False)

    @override
    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        self.taken.append(super().add_argument(*names, **options))
        return self.taken[-1]

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(terminal.complain(self.prog, message, BAD_INPUT))

    @override
    def format_help(self) -> str:
        look = terminal.look()
        columns = min(look.columns or _WITHOUT_TERMINAL, _WIDEST)
        look = look._replace(columns=columns)
        parts: list[str] = []
        for heading, lines in self._sections():
            told = [text.Line(label, words, "") for label, words in lines]
            parts.append(look.paint("heading", heading) + "\n" + text.labelled(told, look, indent="    ", gap=2))
        return "\n\n".join(parts) + "\n"

    def _sections(self) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
        command = self.command
        yield "NAME", _unlabelled([f"{self.prog} - {command.summary}"])
        yield "SYNOPSIS", _unlabelled(self._synopsis())
        yield "ARGUMENTS", [(_usage(one), one.help or "") for one in self.taken]
        if self.prog == "portrange":
            yield (
                "COMMANDS",
                [
                    ("portrange", LIST.summary),
                    ("portrange PORT", PAGE.summary),
                    *((f"portrange {word}", other.summary) for word, other in COMMANDS.items()),
                    ("", "each with --help for its own arguments"),
                ],
            )
        yield "JSON", _unlabelled([command.json, _STABLE])
        yield "EXIT STATUS", _STATUS
        yield "ENVIRONMENT", _ENVIRONMENT
        yield "EXAMPLES", [(f"portrange {line}".rstrip(), words) for line, words in command.examples]

    def _synopsis(self) -> Iterator[str]:
        positional = [_usage(one) for one in self.taken if not one.option_strings]
        yield " ".join([self.prog, *positional, "[OPTION]..."])
        if self.command is LIST:
            yield "portrange PORT [OPTION]..."
            yield "portrange COMMAND [ARGUMENT]... [OPTION]..."


def _unlabelled(lines: Iterator[str] | Sequence[str]) -> list[tuple[str, str]]:
    return [("", line) for line in lines]


def _usage(action: argparse.Action) -> str:
    """An argument as it is typed."""
    if not action.option_strings:
        return f"{action.metavar}{'...' if action.nargs == '+' else ''}"
    value = "" if action.nargs == 0 else f" {action.metavar or '{' + ','.join(map(str, action.choices or ())) + '}'}"
    return ", ".join(action.option_strings) + value


class _Show(argparse.Action):
    """An option that prints something and ends; argparse's own do not say so where it could not be written."""

    def __init__(self, option_strings: Sequence[str], dest: str, words: Callable[[], str], **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)
        self.words = words

    @override
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.exit(terminal.show(parser.prog, self.words().rstrip("\n"), OK))


def parser_for(name: str, command: Command, version: str) -> argparse.ArgumentParser:
    """The parser of one command, with the arguments that all of them take."""
    parser = Parser(name, command)
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="JSON for programs")
    parser.add_argument("--procfs", metavar="PATH", default="/proc", help="where the machine's procfs is mounted")
    parser.add_argument("--version", action=_Show, words=lambda: f"portrange {version}", help="print the version")
    parser.add_argument("--help", "-h", action=_Show, words=parser.format_help, help="print this page")
    return parser
