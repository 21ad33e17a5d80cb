"""`portrange suggest NAME`: a stable port number for a configuration file."""

from __future__ import annotations

from argparse import ArgumentTypeError

from .._answers.listener import Listeners
from .._questions.suggest import AVOIDABLE, suggest_port
from .cmd_page import listener_lines, listening
from .options import port
from .output import COMMANDS, Command, Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _avoided(argument: str) -> int | tuple[int, int] | str:
    """Return a port, a range or the name of a system or an orchestrator from the command line."""
    if argument.lower() in AVOIDABLE:
        return argument.lower()
    first, dash, last = argument.partition("-")
    try:
        return (port(first), port(last)) if dash and first else port(argument)
    except ArgumentTypeError:
        raise ArgumentTypeError(
            f"{argument!r} is neither a port, a range such as 8000-8999, nor one of {', '.join(AVOIDABLE)}"
        ) from None


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the project, service or test setup that needs a port")
    parser.add_argument(
        "--avoid",
        action="append",
        type=_avoided,
        default=[],
        metavar="PORT",
        help="a port, a range (8000-8999), or a name (freebsd, nomad) for its default range; may be repeated",
    )


def _run(arguments: Namespace) -> Output:
    number = suggest_port(arguments.name, avoid=arguments.avoid, host=arguments.host)
    found, failure = listening(number, arguments.host)
    # Standard output has the number only, for PORT=$(portrange suggest NAME).
    remarks = [f"in use now: {line}" for line in listener_lines(Listeners(found.listeners if found else ()))]
    data = {"name": arguments.name, "port": number, "listening": None if found is None else found.to_dict()}
    return Output(f"{number}", data, remarks=remarks, failure=failure)


COMMAND = Command(
    COMMANDS["suggest"][1],
    _add_arguments,
    _run,
    "An object with the keys name, port and listening (who listens on that port now).",
    [("suggest my-service", "the same number on every machine"), ("suggest my-service --avoid freebsd", "")],
)
