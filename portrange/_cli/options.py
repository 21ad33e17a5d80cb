"""The arguments of the commands as tables: argparse, the manual page and shell completion are made from them.

`argparse` takes as long to import as a query takes to run, so command lines without options are read without it.
"""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace

from .._answers.address import PROTOCOLS
from .._frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    #: The arguments of a command line as attributes.
    Parsed: TypeAlias = SimpleNamespace


class Argument(Frozen):
    """An argument of a command."""

    names: tuple[str, ...]
    """The option strings, the short one first; for a positional argument its name."""
    help: str
    """One line of explanation."""
    options: Mapping[str, Any] = MappingProxyType({})
    """Further keywords of `ArgumentParser.add_argument`."""

    @property
    def is_option(self) -> bool:
        """True for an option, False for a positional argument."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """True if the argument is followed by a value or is one."""
        return "action" not in self.options or self.options["action"] == "append"

    @property
    def dest(self) -> str:
        """The name of the attribute."""
        name: str = self.options.get("dest") or self.names[-1].lstrip("-").replace("-", "_")
        return name

    @property
    def default(self) -> object:
        """The value if the argument is not given."""
        return self.options.get("default", None if self.takes_value else False)


def option(*names: str, help: str, **options: Any) -> Argument:  # noqa: A002 - as argparse calls it
    """Return an option, or a positional argument if the name has no dash."""
    return Argument(names, help, options)


#: What PORT can be, for the manual.
PORT_FORMS = (
    "PORT is a number from 0 to 65535 or a registered service name (https), alone or as :8080, 80/udp, 127.0.0.1:80, "
    "[::1]:80 or localhost:80."
)
#: The options of every command.
COMMON = (
    option("-j", "--json", action="store_true", help="print JSON for programs"),
    option(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        metavar="WHEN",
        help="colours: auto (on terminals), always or never",
    ),
    option("--procfs", metavar="PATH", default="/proc", help="where the machine's procfs is mounted (default: /proc)"),
)
PORTS = option(
    "ports",
    nargs="*",
    metavar="PORT",
    help="ports, or ranges such as 8000-8010; - reads them from standard input",
)
EXHAUSTIVE = option("--exhaustive", action="store_true", help="search every process for further owners")
ALL = option("--all", action="store_true", help="one row for each socket")
ALL_NAMESPACES = option("--all-namespaces", action="store_true", help="query every network namespace (Linux, as root)")


PROCESS = option("--process", metavar="PID", help="only the listeners of this process and its descendants")


def process_id(argument: str) -> int:
    """Return a pid from the command line; `ValueError` for other texts."""
    if not (argument.isascii() and argument.isdigit() and len(argument) < 11 and int(argument)):
        raise ValueError(f"--process: {argument[:40]!r} is not a pid: use a number from 1 on")
    return int(argument)


def protocol(default: str | None = None, choices: Sequence[str] = PROTOCOLS) -> Argument:
    """Return the option --protocol."""
    explanation = f"{', '.join(choices)} (default: {default or 'all of them'})"
    return option(
        "-p",
        "--protocol",
        type=str.lower,
        choices=tuple(choices),
        default=default,
        metavar="NAME",
        help=explanation,
    )


#: Options that take a value, to tell values from commands and ports. A test compares them with the commands.
WITH_VALUE = frozenset(
    {
        "--accept",
        "--address",
        "--avoid",
        "--color",
        "--family",
        "--from",
        "--procfs",
        "--process",
        "--protocol",
        "--target",
        "--timeout",
        "-p",
    }
)


def plain(arguments: Sequence[Argument], given: Sequence[str]) -> Parsed | None:
    """Return the arguments of a command line that has no options; None if only argparse can read it."""
    if any(argument.startswith("-") for argument in given):
        return None
    parsed = SimpleNamespace(**{argument.dest: argument.default for argument in (*arguments, *COMMON)})
    rest = list(given)
    for argument in arguments:
        if argument.is_option:
            continue
        count = argument.options.get("nargs")
        if count == "*":
            setattr(parsed, argument.dest, rest)
            rest = []
        elif rest:
            setattr(parsed, argument.dest, rest.pop(0))
        elif count != "?":
            return None
    return None if rest else parsed
