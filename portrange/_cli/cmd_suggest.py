"""`portrange suggest NAME`: a stable port number for a configuration file."""

from __future__ import annotations

from .._errors import PortrangeError, SourceError
from .._questions.suggest import AVOIDABLE, suggest_port
from .cmd_check import in_use
from .cmd_show import listening
from .inputs import parse_target
from .options import option
from .output import Command, Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .options import Parsed


def _avoided(argument: str) -> list[tuple[int, int] | str]:
    """Return ports, ranges or the name of a system or an orchestrator from the command line."""
    if argument.lower() in AVOIDABLE:
        return [argument.lower()]
    try:
        return [(target.first, target.last) for target in parse_target(argument)]
    except ValueError:
        raise ValueError(
            f"--avoid: {argument!r} is neither a port, a range such as 8000-8999, nor one of {', '.join(AVOIDABLE)}"
        ) from None


def _run(arguments: Parsed) -> Output:
    avoid = [item for argument in arguments.avoid or () for item in _avoided(argument)]
    try:
        number = suggest_port(arguments.name, avoid=avoid, host=arguments.host)
    except SourceError:
        raise
    except PortrangeError as error:
        raise ValueError(str(error)) from error  # --avoid leaves no port
    found, failure = listening(number, arguments.host)
    # Standard output has the number only, for PORT=$(portrange suggest NAME).
    remarks = [f"{number} is {in_use(found)}"] if found else []
    data = {"name": arguments.name, "port": number, "listening": None if found is None else found.to_dict()}
    return Output(f"{number}", data, remarks=remarks, failure=failure)


COMMAND = Command(
    (
        option("name", metavar="NAME", help="the project, service or test setup that needs a port"),
        option(
            "--avoid",
            action="append",
            metavar="PORT",
            help="a port, a range (8000-8999), or a name (freebsd, nomad) for its default range; may be repeated",
        ),
    ),
    _run,
    "an object with the keys name, port and listening (as for show).",
    [("suggest my-service", "the same number on every machine"), ("suggest my-service --avoid freebsd", "")],
)
