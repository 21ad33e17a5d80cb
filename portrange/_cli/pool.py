"""The commands about the pool of ports: what it is, how full it is, and which port lies outside of it."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from .._answers.explain_pool import pool_page
from .._answers.listener import Listeners
from .._answers.pool import EphemeralRange
from .._answers.usage import EphemeralUsage
from .._backends.base import FAMILIES
from .._questions.ephemeral import ephemeral_range
from .._questions.suggest import suggest_port
from .._questions.usage import ephemeral_usage
from .._registry.pools import DEFAULT_POOLS
from .._render import text
from .arguments import add_protocol, port
from .output import Command, Output, described
from .pages import described_listeners, listening

_SYSTEMS = [pool.system for pool in DEFAULT_POOLS]


def _range_arguments(parser: ArgumentParser) -> None:
    add_protocol(parser, "tcp")
    parser.add_argument("--family", choices=FAMILIES, default="ipv4", help="the address family (default: ipv4)")


def _range(arguments: Namespace) -> Output:
    pool = ephemeral_range(protocol=arguments.protocol, family=arguments.family, host=arguments.host)
    return Output(text.page("Ephemeral range", pool_page(pool), arguments.look), pool.to_dict())


def _usage_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--protocol", choices=("tcp", "udp"), default="tcp", help="the transport (default: tcp)")


def _usage(arguments: Namespace) -> Output:
    usage = ephemeral_usage(protocol=arguments.protocol, host=arguments.host)
    return Output(usage.explain(min(100, arguments.look.columns or 100)), usage.to_dict())


def _avoided(argument: str) -> int | tuple[int, int] | str:
    """A port, a range or a system, as a person types it."""
    if argument.lower() in _SYSTEMS:
        return argument.lower()
    first, dash, last = argument.partition("-")
    try:
        return (port(first), port(last)) if dash and first else port(argument)
    except ArgumentTypeError:
        raise ArgumentTypeError(
            f"{argument!r} is no port, no range such as 8000-8999, and none of {', '.join(_SYSTEMS)}"
        ) from None


def _suggest_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the project, service or test setup that needs a port")
    parser.add_argument(
        "--avoid",
        action="append",
        type=_avoided,
        default=[],
        metavar="PORT",
        help="a port, a range (8000-8999) or the default pool of a system (freebsd); may be repeated",
    )


def _suggest(arguments: Namespace) -> Output:
    number = suggest_port(arguments.name, avoid=arguments.avoid, host=arguments.host)
    found, failure = listening(number, arguments.host)
    # The number alone, for PORT=$(portrange suggest NAME).
    there = Listeners(found.listeners if found else ())
    remarks = [f"somebody listens there now: {line}" for line in described_listeners(there)]
    data = {"name": arguments.name, "port": number, "listening": None if found is None else found.to_dict()}
    return Output(f"{number}", data, remarks=remarks, failure=failure)


RANGE = Command(
    "which ports the system hands out by itself",
    _range_arguments,
    _range,
    f"{described(EphemeralRange).capitalize()}; reserved is an array of [first, last].",
    [("range", "the pool for TCP over IPv4"), ("range --protocol udp --json", "the pool for UDP, for a program")],
)
USAGE = Command(
    "whether the pool is running out, and towards whom",
    _usage_arguments,
    _usage,
    f"{described(EphemeralUsage).capitalize()}.",
    [("usage", "why connect() fails with EADDRNOTAVAIL"), ("usage --protocol udp", "the same for UDP")],
)
SUGGEST = Command(
    "a stable port number to write down for a name; it reserves nothing",
    _suggest_arguments,
    _suggest,
    "An object with the keys name, port and listening (who listens on that port now).",
    [("suggest my-service", "the same number on every machine"), ("suggest my-service --avoid freebsd", "")],
)
