"""Read command lines with argparse: a parser with a subparser for each command, made from the tables of arguments.

The parser of all commands is for shell completion; a command line needs that of its own command only. Help is not
formatted by argparse, because its output differs between versions of Python and it has one level of help only.
"""

from __future__ import annotations

import argparse
from argparse import ArgumentParser

from .._answers.address import PROTOCOLS
from .._lazy import import_lock
from . import output
from .options import COMMON
from .output import COMMANDS, PROGRAM, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, NoReturn

    from typing_extensions import override

    from .options import Argument, Parsed
else:

    def override(method):  # noqa: ANN001, ANN202 - type checkers see the real one
        return method


class Parser(ArgumentParser):
    """An argument parser with one-line errors."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(output.complain(self.prog, message.removeprefix("argument "), output.BAD_INPUT))


class _Show(argparse.Action):
    """An option that prints text and exits; argparse's own options ignore write errors."""

    def __init__(self, option_strings: Sequence[str], dest: str, text: Callable[[], str], **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **options)
        self.text = text

    @override
    def __call__(self, parser: ArgumentParser, *_: object) -> NoReturn:
        parser.exit(output.show(parser.prog, self.text(), output.OK))


def parse(name: str, word: str, arguments: Sequence[str], version: str) -> Parsed:
    """Return the arguments of a command; print an error and exit if they are invalid."""
    with import_lock:
        from types import SimpleNamespace

    # argparse takes -help for -h with the value elp.
    shortened = [argument for argument in arguments if len(argument) > 2 and f"-{argument}" in _long_options(word)]
    if shortened:
        Parser(name, add_help=False).error(f"unknown option {shortened[0]}; did you mean -{shortened[0]}?")
    parser = parser_of([word], version, name)
    parsed, unknown = parser.parse_known_args([word, *arguments], SimpleNamespace())
    if unknown:
        Parser(name, add_help=False).error(_unknown(name, word, unknown))
    return parsed


#: What is meant by options of similar programs.
_MEANT = {
    "--port": "ports are arguments, as in portrange 80",
    "--tcp": "did you mean -p tcp?",
    "--udp": "did you mean -p udp?",
    "-t": "did you mean -p tcp?",
    "-u": "did you mean -p udp?",
    "-a": "did you mean --all?",
    "-v": "did you mean -V or --verbose?",
}


def _unknown(name: str, word: str, arguments: Sequence[str]) -> str:
    """Return the message about arguments that the command does not take."""
    first = arguments[0]
    if first in PROTOCOLS:
        return f"unexpected argument {first!r}; did you mean -p {first}?"
    if not first.startswith("-"):
        return f"unexpected argument {first!r}: {name} -h lists the arguments"
    if first in _MEANT:
        return f"unknown option {first}; {_MEANT[first]}"
    with import_lock:
        from difflib import get_close_matches

    names = _long_options(word)
    option = first.partition("=")[0]
    for other in COMMANDS:
        if option in _long_options(other):
            return f"unknown option {option}; {PROGRAM} {other} has it"
    hint = "".join(f"; did you mean {match}?" for match in get_close_matches(option, names, 1))
    return f"unknown option {option}{hint or f': {name} -h lists the options'}"


def _long_options(word: str) -> list[str]:
    arguments = (*load(word).arguments, *COMMON)
    return ["--help", "--version", *(name for argument in arguments for name in argument.names if name[:2] == "--")]


def parser_of(words: Iterable[str] = tuple(COMMANDS), version: str = "", name: str = "") -> ArgumentParser:
    """Return the parser of the program with the subparsers of some commands.

    *name* replaces the name of the program and the command in messages.
    """
    root = Parser(PROGRAM, add_help=False, allow_abbrev=False)
    _add(root, COMMON, version, "")
    commands = root.add_subparsers(metavar="COMMAND", prog=PROGRAM)
    for word in words:
        command = commands.add_parser(word, help=COMMANDS[word][2], add_help=False, allow_abbrev=False)
        command.prog = name or command.prog
        # Without a command, -h is about the whole program.
        _add(command, (*load(word).arguments, *COMMON), version, "" if name == PROGRAM else word)
    return root


def _add(parser: ArgumentParser, arguments: Iterable[Argument], version: str, word: str) -> None:
    """Add arguments, and the options that print text."""
    for argument in arguments:
        parser.add_argument(*argument.names, help=argument.help, **argument.options)
    parser.add_argument("-V", "--version", action=_Show, text=lambda: _version(version), help="print the version")
    parser.add_argument("-h", action=_Show, text=lambda: _help("short_help", word), help="print a short help")
    parser.add_argument("--help", action=_Show, text=lambda: _help("manual", word), help="print the manual")


def _version(version: str) -> str:
    """Return the version; a second line states where the readers of this system are experimental."""
    with import_lock:
        import sys

        from .._backends.select import experimental

    note = experimental(sys.platform)
    return f"{PROGRAM} {version}" + (f"\n{note}" if note else "")


def _help(function: str, word: str) -> str:
    with import_lock:
        from . import manual

    text: str = getattr(manual, function)(word)
    return text
