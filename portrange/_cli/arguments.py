"""Arguments that several commands take."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

from .._backends.base import PROTOCOLS


def port(argument: str) -> int:
    """A port as a person types it: decimal digits."""
    digits = argument.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ArgumentTypeError(f"{argument!r} is not a port: give a whole number from 0 to 65535")
    if len(digits) > 6 or not 0 <= int(argument) <= 65535:
        raise ArgumentTypeError(f"{argument[:40]} is not a port: ports are whole numbers from 0 to 65535")
    return int(argument)


def add_port(parser: ArgumentParser) -> None:
    """One port."""
    parser.add_argument("port", type=port, metavar="PORT", help="a port number, 0 to 65535")


def add_listening(parser: ArgumentParser) -> None:
    """How to look for listeners."""
    add_protocol(parser)
    parser.add_argument("--exhaustive", action="store_true", help="look into every process for further holders")


def add_protocol(parser: ArgumentParser, default: str | None = None) -> None:
    """One transport."""
    told = f"the transport (default: {default})" if default else "one transport only"
    parser.add_argument("--protocol", choices=PROTOCOLS, default=default, help=told)
