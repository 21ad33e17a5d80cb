"""`portrange wait --process PID [PORT]`: wait until a process listens."""

from __future__ import annotations

from .._answers.listener import Listeners
from .._errors import NotListeningError
from .._questions.wait import wait_for_listener
from .cmd_list import LISTENERS_IN_JSON
from .inputs import one_target
from .options import option, process_id, protocol
from .output import NO, Command, Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .options import Parsed

_TIMEOUT = 30.0


def _run(arguments: Parsed) -> Output:
    if arguments.process is None:
        raise ValueError("no process: name it with --process PID, as in portrange wait 8080 --process $!")
    target = None if arguments.port is None else one_target(arguments.port)
    kind: Any = (target.protocol if target else None) or arguments.protocol
    try:
        found = wait_for_listener(
            process_id(arguments.process),
            target.first if target else None,
            protocol=kind,
            timeout=_seconds(arguments.timeout),
            host=arguments.host,
        )
    except NotListeningError as error:
        data = {"listening": Listeners().to_dict(), "reason": error.reason, "detail": str(error)}
        return Output("", data, NO, remarks=[str(error)])
    return Output(
        found.to_text(arguments.style.columns), {"listening": found.to_dict(), "reason": None, "detail": None}
    )


def _seconds(argument: str | float) -> float:
    try:
        seconds = float(argument)
    except ValueError:
        raise ValueError(f"--timeout: {argument!r} is not a number of seconds, such as 10 or 0.5") from None
    if not seconds >= 0:  # NaN as well
        raise ValueError(f"--timeout: {argument!r} is not a number of seconds from 0 on (inf: until it ends)")
    return seconds


COMMAND = Command(
    (
        option("port", nargs="?", metavar="PORT", help="the port to wait for; any port without it"),
        option("--process", metavar="PID", help="the process (required); its descendants are included"),
        option(
            "--timeout", metavar="SECONDS", default=_TIMEOUT, help=f"give up after this time (default: {_TIMEOUT:g})"
        ),
        protocol("tcp"),
    ),
    _run,
    f"an object with the keys listening, reason and detail: listening is {LISTENERS_IN_JSON}; reason is null, or "
    "timeout, ended (the process exited) or taken (another program has the port), and detail is the sentence.",
    [
        ("wait 8080 --process $!", "in a script, after server --port 8080 &"),
        ("wait --process $! --timeout 5", "which port did it get?"),
    ],
    "the process does not listen: it exited, another program has the port, or the time is over",
)
